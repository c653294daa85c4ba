"""A folder of computational sequences (.csd) of the CMU-MultimodalSDK, aligned to words here.

    CMU_MOSI_TimestampedWords.csd  CMU_MOSI_COVAREP.csd  CMU_MOSI_Opinion_Labels.csd  ...

Each is HDF5: for every video features [n, f] and intervals [n, 2] in seconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fsrf_jax.data import frames
from fsrf_jax.data.assemble import Raw, assemble
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.names import listed
from fsrf_jax.errors import DataError
from fsrf_jax.reading.hdf5 import open_hdf5, read_array
from fsrf_jax.reading.text import read_csv, read_json, read_yaml

_ARRAYS = ("features", "intervals")
_EPSILON = 1e-5  # seconds: shorter overlaps are none, as in the SDK
_PARTS = {
    "labels": ("label",),
    "words": ("words",),
    "language": ("wordvectors", "glove"),
    "audio": ("covarep", "opensmile", "acoustic"),
    "vision": ("facet", "openface", "visual"),
}
_SDK = (
    'python -c "import json; from mmsdk.mmdatasdk import cmu_mosei as d; f = d.standard_folds; '
    "json.dump(dict(train=f.standard_train_fold, valid=f.standard_valid_fold, "
    "test=f.standard_test_fold), open('folds.json', 'w'))\""
)

Track = tuple[np.ndarray, np.ndarray]
"""Features [n, f] and intervals [n, 2] of a video."""


def recognises(path: Path) -> bool:
    """Whether it is a folder with .csd files, or one of them."""
    return path.suffix == ".csd" or (path.is_dir() and any(path.glob("*.csd")))


def read(path: Path, modalities: tuple[str, ...]) -> Dataset:
    """Read a folder of computational sequences.

    A sample is an interval of the labels, and a frame is a word that overlaps it: the mean, of what
    is finite, of all that a modality has during the word; zero, where it has nothing. Pauses (`sp`)
    are no words. Words are those of the file `..Words`, else of `language`. A modality is the file
    of that name, or as the SDK names it: word vectors, COVAREP or openSMILE, Facet or OpenFace.
    Where there are no vectors, language is the words as token ids. Splits are the official folds
    of MOSI, or those in `folds.json` or `folds.yaml` ({train: [videos], ..}) or `folds.csv`
    (columns video and split). The group of a sample is its video.

    Args:
        path: the folder, or one of its files.
        modalities: names of the modalities to read.

    Returns:
        The splits as they stand in the files, not cleaned yet.

    Raises:
        DataError: a file lacks or is damaged, or nothing tells the splits.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    files = {f.stem: f for f in sorted(folder.glob("*.csd"))}
    found = {role: _file(folder, files, role) for role in ("labels", "words", *modalities)}
    times = found["words"] or found.get("language")
    tokens = "language" in found and not found["language"]
    lacking = [m for m in ("labels", *modalities) if not found[m] and m != "language"]
    if lacking or not times:
        what = lacking[0] if lacking else "the times of words, named ..TimestampedWords,"
        raise DataError(f"{folder}: no .csd file of {what}; found {listed(files)}")
    with _opened(found["labels"]) as tracks:
        labels = dict(tracks)
    with _opened(times) as tracks:
        words = _words(tracks)
    folds, notes = _folds(folder, labels)
    samples = {name: _samples(videos, labels, words) for name, videos in folds.items()}
    inside = {name: sum(len(labels[video][0]) for video in folds[name]) for name in folds}
    for name in folds:
        if inside[name] > len(samples[name]):
            count = inside[name] - len(samples[name])
            notes.append(f"{name}: {count} intervals of the labels have no word: left out")
    ids = {}
    if tokens:
        notes.append("language: words are token ids, in the sorted order of the words of train")
        ids = frames.word_ids(
            {n: [words[v][0][rows, 0] for v, _, rows in own] for n, own in samples.items()}
        )

    def split(name: str) -> Raw:
        own = samples[name]
        features, lengths = {}, {}
        for m in modalities:
            sequences: Sequence[Any] = ids.get(name, [])
            if found[m]:
                with _opened(found[m]) as tracks:
                    videos = [video for video in {v: 0 for v, _, _ in own} if video in tracks]
                    means = {v: _means(tracks[v], words[v][1]) for v in videos}
                sequences = [means[v][rows] if v in means else None for v, _, rows in own]
            features[m], counts = frames.padded(sequences, f"{folder}: {m}")
            lengths[m] = ("", counts)
        return Raw(
            labels=np.stack([labels[video][0][row] for video, row, _ in own]) if own else [],
            features=features,
            lengths=lengths,
            ids=[f"{video}[{row}]" for video, row, _ in own],
            groups=[video for video, _, _ in own],
            tokens=("language",) if tokens else (),
        )

    return assemble(folder, folds, split, modalities, notes)


def _file(folder: Path, files: dict[str, Path], role: str) -> Path | None:
    """The file of that name or, by a part of its name, of that role; None where there is none."""
    if role in files:
        return files[role]
    parts = _PARTS.get(role, ())
    near = [stem for stem in files if any(part in stem.lower() for part in parts)]
    if len(near) > 1:
        raise DataError(
            f"{folder}: {listed(near)} could all be {role}; keep one of them in the folder"
            + ("" if role in ("labels", "words") else ", or name the modality as its file")
        )
    return files[near[0]] if near else None


@contextmanager
def _opened(file: Path | None) -> Iterator["_Tracks"]:
    with open_hdf5(str(file)) as content:
        root = next(iter(content.values()), None)
        if not isinstance(root, h5py.Group) or not isinstance(root.get("data"), h5py.Group):
            raise DataError(
                f"{file} has the parts {listed(content)}; expected the groups NAME/data/VIDEO, "
                "each with features and intervals"
            )
        yield _Tracks(root["data"])


class _Tracks(Mapping[str, Track]):
    """Features and intervals by video; segments `video[0]`, `video[1]`, .. are put together."""

    def __init__(self, data: h5py.Group) -> None:
        self._data = data
        self._keys: dict[str, list[str]] = {}
        for key in data:
            self._keys.setdefault(key.split("[")[0], []).append(key)

    def __getitem__(self, video: str) -> Track:
        parts = [self._data[key] for key in self._keys[video]]
        x, t = (np.concatenate([read_array(part[key]) for part in parts]) for key in _ARRAYS)
        if t.shape != (len(x), 2):
            raise DataError(
                f"{self._data.file.filename}: {video!r} has features {x.shape} and intervals "
                f"{t.shape}; expected [n, features] and [n, 2]"
            )
        return x.reshape(len(x), -1), t

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _words(tracks: Mapping[str, Track]) -> dict[str, Track]:
    """The words in the order of time, without pauses and those of no length."""
    words = {}
    for video, (x, t) in tracks.items():
        real = t[:, 1] - t[:, 0] >= _EPSILON
        if x.dtype.kind in "SUO":
            real &= frames.as_ids(x[:, 0]) != "sp"
        order = np.flatnonzero(real)[np.argsort(t[real, 0], kind="stable")]
        words[video] = (x[order], t[order])
    return words


def _samples(
    videos: Iterable[str], labels: dict[str, Track], words: dict[str, Track]
) -> list[tuple[str, int, np.ndarray]]:
    """Video, row of the labels, and rows of the words that overlap it, where there are any."""
    found = []
    for video in videos:
        times = words[video][1] if video in words else np.zeros((0, 2))
        for row, (start, end) in enumerate(labels[video][1]):
            overlap = np.minimum(times[:, 1], end) - np.maximum(times[:, 0], start)
            if (overlap > _EPSILON).any():
                found.append((video, row, np.flatnonzero(overlap > _EPSILON)))
    return found


def _means(track: Track, words: np.ndarray) -> np.ndarray:
    """Means [w, f] over the words [w, 2] of a video."""
    order = np.argsort(track[1][:, 0], kind="stable")
    x, (starts, ends) = track[0][order].astype(np.float64), track[1][order].T
    latest = np.maximum.accumulate(ends)
    out = np.zeros((len(words), x.shape[1]))
    for row, (start, end) in zip(out, words, strict=True):
        low = np.searchsorted(latest, start + _EPSILON, "right")
        high = np.searchsorted(starts, end - _EPSILON, "left")
        during = x[low:high][ends[low:high] > start + _EPSILON]
        if len(during):
            finite = np.isfinite(during)
            with np.errstate(invalid="ignore"):  # NaN where nothing is finite
                row[:] = np.where(finite, during, 0).sum(axis=0) / finite.sum(axis=0)
    return out


def _folds(folder: Path, labels: dict[str, Track]) -> tuple[dict[str, list[str]], list[str]]:
    """The videos of every split that have labels, and a note where videos are in none."""
    suffixes = (".csv", ".json", ".yaml")
    given = next((f for s in suffixes if (f := folder / f"folds{s}").is_file()), None)
    if given:
        folds = _read_folds(given)
        note = f"splits by video: those of {given.name}"
    elif not labels.keys().isdisjoint(" ".join(_MOSI.values()).split()):
        folds = {name: videos.split() for name, videos in _MOSI.items()}
        note = "splits by video: the official folds of MOSI"
    else:
        raise DataError(
            f"{folder}: nothing tells the splits; expected folds.json with the videos of each, "
            f"{{train: [..], valid: [..], test: [..]}}: for MOSEI {_SDK}"
        )
    used = {name: [video for video in videos if video in labels] for name, videos in folds.items()}
    without = len(labels.keys() - {video for videos in used.values() for video in videos})
    return used, [note, *([f"{without} videos are in no split: left out"] if without else [])]


def _read_folds(file: Path) -> dict[str, list[str]]:
    folds: dict[str, list[str]] = {}
    if file.suffix == ".csv":
        rows = read_csv(file)
        if rows and not {"video", "split"} <= rows[0].keys():
            raise DataError(f"{file} has the columns {listed(rows[0])}; expected video and split")
        for row in rows:
            folds.setdefault(row["split"], []).append(row["video"])
        return folds
    content = read_json(file) if file.suffix == ".json" else read_yaml(file)
    parts = content if isinstance(content, dict) else {"": content}
    lists = {name: videos for name, videos in parts.items() if isinstance(videos, list)}
    if len(lists) < len(parts) or "" in lists:
        raise DataError(
            f"{file} is no list of videos for each split; expected "
            "{train: [video, ..], valid: [..], test: [..]}"
        )
    return {str(name): [str(video) for video in videos] for name, videos in lists.items()}


# The official folds of CMU-MOSI.
_MOSI = {
    "train": """
        03bSnISJMiM 0h-zjBukYpk 1DmNV9C1hbY 1iG0909rllw 2WGyTLYerpo 2iD-tVS8NPw
        5W7Z1C_fDaE 6Egk_28TtTM 6_0THN4chvY 73jzhE8R1TQ 7JsX8y1ysxY 8OtFthrtaJM
        8d-gEyoeBzc 8qrpnFRGt2A 9J25DZhivz8 9T9Hf74oK10 9c67fiY0wGQ 9qR7uwkblbs
        Af8D0E4ZXaw BI97DNYfe5I BXuRRbG0Ugk Bfr499ggo-0 BioHAh1qJAQ BvYR0L6f2Ig
        Ci-AH39fi3Y Clx4VXItLTE Dg_0XKD0Mf4 G-xst2euQUc G6GlGvlkxAQ GWuJjcEuzt8
        HEsqda8_d0Q I5y0__X72p0 Iu2PFX3z_1s IumbAb8q2dM Jkswaaud0hk LSi-o-IrDMs
        MLal-t_vJPM Njd1F0vZSm4 Nzq88NnDkEk OQvJTdtJ2H4 OtBXNcAL_lE Oz06ZWiO20M
        POKffnXeBds PZ-lDQFboO8 QN9ZIUWUXsY Qr1Ca94K55A Sqr0AcuoNnk TvyZBvOMOTc
        VCslbP0mgZI VbQk4H8hgr0 Vj1wYRQjB-o W8NXH0Djyww
    """,
    "valid": """
        WKA5OygbEKI X3j2zQgwYgE ZAIRrfG22O0 ZUXBRvtny7o _dI--eQ6qVU aiEXnCPZubE
        atnd_PF-Lbs bOL9jKpeJRs bvLlb-M3UXU c5xsKMxpXnc
    """,
    "test": """
        c7UH_rxdZv4 cM3Yna7AavY cW1FSBF59ik cXypl4FnoZo d3_k5Xpfmik d6hH302o4v8
        dq3Nf_lMPnE etzxEpPuc6I f9O3YtZ2VfI f_pcplsH_V0 fvVhgmXxadc iiK8YX8oH1E
        jUzDDGyPkXU k5Y_838nuGo lXPQBPVc5Cw nbWiPyCm4g0 nzpVDcQ0ywM ob23OKe5a9Q
        pLTX3ipuDJI phBUpBr1hSo rnaNMUZpvvg tIrG4oNLFzE tStelxIAHjw tmZoasNr4rU
        v0zCBqDeKcE vvZ4IcEtiZc vyB00TXsimI wMbj6ajWbic yDtzw_Y-7RU yvsjCA6Y5Fc
        zhpQhgha_KU
    """,
}
