"""A folder of one file a sample, or with a folder of one file a sample for each modality.

ID.npz ..     or     language/ID.npy  audio/ID.csv  vision/ID.npy     (and labels.csv with ids)
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsrf_jax.data.dataset import Split
from fsrf_jax.data.formats import folders
from fsrf_jax.data.load import DAMAGE, strange
from fsrf_jax.data.names import listed
from fsrf_jax.data.streaming import keyed, parts
from fsrf_jax.data.streaming.parts import Sample
from fsrf_jax.data.streaming.wanted import Unread, Wanted
from fsrf_jax.errors import DataError
from fsrf_jax.reading import signature
from fsrf_jax.reading.text import read_csv

_LIST = "labels.csv"


def stream(path: Path, wanted: Wanted) -> Iterator[Split | Unread]:
    """The samples of a folder in the order of labels.csv, or else of their names."""
    entries = sorted(e for e in path.iterdir() if not e.name.startswith("."))
    inside = {entry.name: entry for entry in entries if entry.is_dir()}
    if (path / _LIST).is_file() or not wanted.names.isdisjoint(inside):
        chosen = {m: inside[name] for m, name in wanted.chosen(path, inside).items()}
        samples = _in_folders(_ids(path, chosen, wanted), chosen, wanted)
    else:
        if not entries:
            raise DataError(
                f"{path}: holds no file; expected one a sample, with arrays named "
                f"{listed(wanted.modalities)}, or a folder for each modality with one a sample"
            )
        wanted.check_splits(path, [""])
        samples = _in_files(entries, wanted)
    yield from _together(samples, wanted, path)


def _in_folders(
    ids: Sequence[str], chosen: Mapping[str, Path], wanted: Wanted
) -> Iterator[Sample | Unread]:
    for name in ids:
        try:
            read = {m: folders.read_sequence(folder, name) for m, folder in chosen.items()}
            features = {
                m: parts.frames_of(x, m, wanted, name) for m, x in read.items() if x is not None
            }
            wanted.check_widths(name, features)
        except DataError as error:
            yield Unread(name, str(error))
        else:
            yield name, features


def _ids(path: Path, chosen: Mapping[str, Path], wanted: Wanted) -> list[str]:
    """Those of labels.csv, else the names of all files."""
    if not (path / _LIST).is_file():
        wanted.check_splits(path, [""])
        entries = [entry for folder in chosen.values() for entry in folder.iterdir()]
        names = {e.name if e.is_dir() else e.stem for e in entries if not e.name.startswith(".")}
        if not names:
            raise DataError(f"{path}: holds no sample; expected one file a sample in its folders")
        return sorted(names)
    rows = read_csv(path / _LIST)
    if not rows or "id" not in rows[0]:
        found = listed(rows[0]) if rows else "no row"
        raise DataError(f"{path / _LIST} has {found}; expected the column id and a row a sample")
    wanted.check_splits(path, [row.get("split", "") for row in rows])
    return [row["id"] for row in rows if not wanted.splits or row["split"] in wanted.splits]


def _in_files(files: Sequence[Path], wanted: Wanted) -> Iterator[Sample | Unread]:
    for file in files:
        try:
            with keyed.opened(file) as found:
                if found is None:
                    what = "a folder" if file.is_dir() else signature.describe(file)
                    raise DataError(
                        f"{file}: is {what}; expected .npz, HDF5 or a pickle of one sample"
                    )
                features = keyed.one(file, found, wanted)
        except DataError as error:
            yield Unread(file.stem, str(error))
        except DAMAGE as error:
            yield Unread(file.stem, str(strange(file, "arrays", error)))
        else:
            yield file.stem, features


def _together(
    samples: Iterator[Sample | Unread], wanted: Wanted, where: Any
) -> Iterator[Split | Unread]:
    """So many samples at a time as one split."""
    waiting: list[Sample] = []
    for sample in samples:
        if isinstance(sample, Unread):
            yield sample
            continue
        waiting.append(sample)
        if len(waiting) == wanted.rows:
            yield parts.from_samples(waiting, wanted, where)
            waiting = []
    if waiting:
        yield parts.from_samples(waiting, wanted, where)
