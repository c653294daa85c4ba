"""A folder of your own: `labels.csv`, and for each modality a folder of one file a sample.

    labels.csv  language/ID.npy  audio/ID.csv  vision/ID.npy

`labels.csv` has the columns id, split and label, or one `label_NAME` for each task, and optionally
group.
"""

from pathlib import Path, PurePosixPath

from fsrf_jax.data import frames
from fsrf_jax.data.assemble import Raw, assemble, no_modality
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import folders
from fsrf_jax.data.names import key_of, listed, not_read
from fsrf_jax.errors import DataError
from fsrf_jax.reading.text import read_csv

_LIST = "labels.csv"


def recognises(path: Path) -> bool:
    """Whether it is a folder with `labels.csv`."""
    return (path / _LIST).is_file()


def read(path: Path, modalities: tuple[str, ...]) -> Dataset:
    """Read a folder of samples.

    A file is [t, f], or [f] for one frame; a CSV file has a row a frame, and may have a header. A
    sample without a file lacks the modality. A file without a sample is left out, with a note.

    Args:
        path: the folder.
        modalities: names of the modalities to read, which are names of folders.

    Returns:
        The splits as they stand in the files, not cleaned yet.

    Raises:
        DataError: the list lacks a column, or a modality has no folder or no file.
    """
    path = Path(path)
    samples = read_csv(path / _LIST)
    header = list(samples[0]) if samples else []
    labels = [c for c in header if c == "label" or c.startswith("label_")]
    if not labels or not {"id", "split"} <= set(header):
        raise DataError(
            f"{path / _LIST} has the columns {listed(header)}; expected id, split and label, and "
            "group where there are any, and a row a sample"
        )
    present = [folder.name for folder in sorted(path.iterdir()) if folder.is_dir()]
    folder_of = {}
    for modality in modalities:
        key = key_of(modality, present)
        if key is None:
            raise no_modality(path, modality, present)
        folder_of[modality] = path / key

    def split(name: str) -> Raw:
        own = [sample for sample in samples if sample["split"] == name]
        features, lengths = {}, {}
        for m, folder in folder_of.items():
            sequences = [folders.read_sequence(folder, sample["id"]) for sample in own]
            if all(sequence is None for sequence in sequences):
                continue  # the split lacks the modality
            features[m], counts = frames.padded(sequences, f"{folder}, split {name!r}")
            lengths[m] = ("", counts)
        values = [[sample[c] for c in labels] for sample in own]
        groups = [sample["group"] for sample in own] if "group" in header else None
        return Raw(values, features, lengths, [sample["id"] for sample in own], groups)

    # A name that is written otherwise in the list would be a sample without the modality.
    named = {PurePosixPath(sample["id"].replace("\\", "/")).parts[:1] for sample in samples}
    notes = not_read(present, modalities)
    for m, folder in folder_of.items():
        if others := sorted(name for name in folders.names_in(folder) if (name,) not in named):
            some = "1 file has" if len(others) == 1 else f"{len(others)} files have"
            notes.append(f"{m}: {some} no row in {_LIST}, such as {others[0]!r}")
    names = dict.fromkeys(sample["split"] for sample in samples)
    return assemble(path, names, split, modalities, notes)
