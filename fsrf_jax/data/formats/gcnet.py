"""The folder of GCNet: features as one .npy an utterance, and a pickled list of videos.

    CMUMOSI_features_raw_2way.pkl  features/wav2vec-large-c-UTT/UTTERANCE.npy  features/...

The list is [utterances of each video, labels, speakers, sentences, train, valid, test videos], of
IEMOCAP without the validation videos. A folder UTTERANCE of .npy files, one a face, is a sequence.
"""

from pathlib import Path

from fsrf_jax.data import frames
from fsrf_jax.data.assemble import Raw, assemble, no_modality
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import folders, tables
from fsrf_jax.errors import DataError


def recognises(path: Path) -> bool:
    """Whether it is a folder with `features` and a pickle."""
    return path.is_dir() and (path / "features").is_dir() and len(_lists(path)) > 0


def read(path: Path, modalities: tuple[str, ...]) -> Dataset:
    """Read the folder of GCNet.

    The name of a modality is that of its folder in `features`. An utterance without a file, or
    with an empty folder, lacks the modality. The group of a sample is its video.

    Args:
        path: the folder.
        modalities: names of the modalities to read.

    Returns:
        The splits as they stand in the files, not cleaned yet.

    Raises:
        DataError: there is no such list, or no folder of a modality.
    """
    path = Path(path)
    lists = _lists(path)
    if len(lists) != 1:
        raise DataError(f"{path} has {len(lists)} pickles; expected one, the list of its videos")
    content = tables.content(lists[0])
    if not isinstance(content, list | tuple) or len(content) not in (6, 7):
        raise DataError(
            f"{lists[0]} holds a {type(content).__name__}; expected a list of 6 or 7 parts: "
            "utterances, labels, speakers and sentences of each video, and the videos of the splits"
        )
    utterances, labels = content[:2]
    names = ("train", "valid", "test") if len(content) == 7 else ("train", "test")
    videos = dict(zip(names, content[4:], strict=True))
    for modality in modalities:
        if not (path / "features" / modality).is_dir():
            found = sorted(folder.name for folder in (path / "features").iterdir())
            raise no_modality(path, modality, found)

    def split(name: str) -> Raw:
        # A set has no order that could be repeated.
        rows = [
            (video, utterance, label)
            for video in sorted(videos[name])
            for utterance, label in zip(utterances[video], labels[video], strict=True)
        ]
        features, lengths = {}, {}
        for m in modalities:
            folder = path / "features" / m
            sequences = [folders.read_sequence(folder, str(utterance)) for _, utterance, _ in rows]
            features[m], counts = frames.padded(sequences, f"{folder}, {name}")
            lengths[m] = ("", counts)
        return Raw(
            labels=[label for _, _, label in rows],
            features=features,
            lengths=lengths,
            ids=[utterance for _, utterance, _ in rows],
            groups=[video for video, _, _ in rows],
        )

    return assemble(path, videos, split, modalities)


def _lists(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix in (".pkl", ".pickle") and f.is_file())
