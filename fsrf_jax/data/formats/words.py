"""Word tuples: the pickle of MAG-BERT and CMAD, and the folder of MISA.

A sample is ((words, visual, acoustic), label, segment), in MISA ((word ids, visual, acoustic,
words), label, segment); the three are aligned: a frame is a word.
"""

import re
from pathlib import Path
from typing import Any

from fsrf_jax.data import frames
from fsrf_jax.data.assemble import Raw, assemble, no_modality
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import tables
from fsrf_jax.data.names import not_read
from fsrf_jax.errors import DataError

_SEGMENT = re.compile(r"(.+)\[\d+\]")  # video[number]
_PLACES = {"vision": 1, "audio": 2}


def recognises(path: Path) -> bool:
    """Whether it is a pickle of splits of word tuples, or a folder of one pickle a split."""
    if path.is_dir():
        return "train" in _files(path)
    found = tables.pickled(path)
    return isinstance(found, dict) and any(_is_sample(part) for part in found.values())


def read(path: Path, modalities: tuple[str, ...]) -> Dataset:
    """Read word tuples.

    `language` is the words as token ids (see `frames.word_ids`), `audio` the acoustic and `vision`
    the visual features. The group of a sample is the video of its segment, `video[number]`.

    Args:
        path: the pickle; or the folder of train.pkl, dev.pkl and test.pkl, of which other files,
            such as the embedding, are not read.
        modalities: names of the modalities to read.

    Returns:
        The splits as they stand in the file, not cleaned yet.

    Raises:
        DataError: the file holds something else, or a modality is none of the three.
    """
    path = Path(path)
    files = _files(path) if path.is_dir() else {}
    found = {name: tables.content(file) for name, file in files.items()} or tables.content(path)
    parts = found.items() if isinstance(found, dict) else ()
    samples = {str(name): part for name, part in parts if _is_sample(part)}
    if not samples:
        raise DataError(
            f"{path} holds a {type(found).__name__} without word tuples; expected a dictionary of "
            "train, dev and test, each a list of ((words, visual, acoustic), label, segment)"
        )
    for modality in modalities:
        if modality not in ("language", *_PLACES):
            raise no_modality(path, modality, ("language", *_PLACES))
    ids = {}
    if "language" in modalities:
        ids = frames.word_ids(
            {name: [_words(s[0]) for s in part] for name, part in samples.items()}
        )

    def split(name: str) -> Raw:
        features, lengths = {}, {}
        for m in modalities:
            own = [s[0][_PLACES[m]] for s in samples[name]] if m in _PLACES else ids[name]
            features[m], counts = frames.padded(own, f"{path}, split {name!r}: {m}")
            lengths[m] = ("", counts)
        segments = [frames.as_ids([s[2]])[0] for s in samples[name]]
        videos = [match[1] for segment in segments if (match := _SEGMENT.fullmatch(segment))]
        return Raw(
            labels=[_flat(s[1]) for s in samples[name]],
            features=features,
            lengths=lengths,
            ids=segments,
            groups=videos if len(videos) == len(segments) else None,
            tokens=("language",) if ids else (),
        )

    notes = not_read(("language", *_PLACES), modalities)
    if ids:
        notes.append("language: words are token ids, in the sorted order of the words of train")
    return assemble(path, samples, split, modalities, notes)


def _files(folder: Path) -> dict[str, Path]:
    """The pickles of a folder that are named as splits."""
    names = ("train", "dev", "valid", "test")
    paths = [folder / f"{name}{end}" for name in names for end in (".pkl", ".pickle", ".p")]
    return {path.stem: path for path in paths if path.is_file()}


def _is_sample(part: Any) -> bool:
    """Whether a part of the file is a list of samples, by its first one."""
    sample = part[0] if isinstance(part, list) and part else ()
    return (
        isinstance(sample, tuple | list)
        and len(sample) == 3
        and isinstance(sample[0], tuple | list)
        and len(sample[0]) in (3, 4)
    )


def _words(parts: Any) -> list[Any]:
    return list(parts[3] if len(parts) == 4 else parts[0])


def _flat(label: Any) -> Any:
    """A label of one sample: a number, or [1, e], or [e]."""
    array = frames.as_labels([label], "label")
    return array.reshape(-1).tolist() if array.size > 1 else array.reshape(-1)[0]
