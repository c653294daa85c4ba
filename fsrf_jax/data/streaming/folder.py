"""A folder of one file a sample, or with a folder of one file a sample for each modality.

ID.npz ..     or     language/ID.npy  audio/ID.csv  vision/ID.npy     (and labels.csv with ids)
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data.dataset import Split
from fsrf_jax.data.formats import folders
from fsrf_jax.data.load import DAMAGE, strange
from fsrf_jax.data.names import listed, split_names
from fsrf_jax.data.streaming import keyed, parts
from fsrf_jax.data.streaming.parts import Sample
from fsrf_jax.data.streaming.wanted import Unread, Wanted
from fsrf_jax.errors import DataError
from fsrf_jax.reading import signature
from fsrf_jax.reading.limits import check_regular
from fsrf_jax.reading.text import read_csv

_LIST = "labels.csv"
_MOST_FRAMES = 2**17  # of all samples of a part together, with padding


def stream(path: Path, wanted: Wanted) -> Iterator[Split | Unread]:
    """The samples of a folder in the order of labels.csv, or else of their names."""
    entries = sorted(e for e in path.iterdir() if not e.name.startswith("."))
    inside = {entry.name: entry for entry in entries if entry.is_dir()}
    ids = _listed(path, wanted)
    if not wanted.names.isdisjoint(inside):
        chosen = {m: inside[name] for m, name in wanted.chosen(path, inside).items()}
        names = _in_all(path, chosen) if ids is None else ids
        yield from _together(_in_folders(names, chosen, wanted), wanted, path)
        return
    files = [entry for entry in entries if entry.name != _LIST]
    if not files:
        raise DataError(
            f"{path}: holds no file; expected one a sample, with arrays named "
            f"{listed(wanted.modalities)}, or a folder for each modality with one a sample"
        )
    if ids is not None:
        by_name = {entry.stem: entry for entry in files}
        files = [by_name.get(name, path / name) for name in ids]
    yield from _together(_in_files(files, wanted), wanted, path)


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
        except (DataError, OSError) as error:
            yield Unread(name, str(error))
        else:
            yield name, features


def _listed(path: Path, wanted: Wanted) -> list[str] | None:
    """The ids of labels.csv; None where there is none."""
    if not (path / _LIST).is_file():
        wanted.check_splits(path, [""])
        return None
    rows = read_csv(path / _LIST)
    if not rows or "id" not in rows[0]:
        found = listed(rows[0]) if rows else "no row"
        raise DataError(f"{path / _LIST} has {found}; expected the column id and a row a sample")
    name_of = split_names(dict.fromkeys(row.get("split", "") for row in rows))
    wanted.check_splits(path, name_of.values())
    splits = wanted.splits or tuple(name_of.values())
    return [row["id"] for row in rows if name_of[row.get("split", "")] in splits]


def _in_all(path: Path, chosen: Mapping[str, Path]) -> list[str]:
    """The names of the files and folders of all modalities."""
    names: set[str] = set().union(*(folders.names_in(folder) for folder in chosen.values()))
    if not names:
        raise DataError(f"{path}: holds no sample; expected one file a sample in its folders")
    return sorted(names)


def _in_files(files: Sequence[Path], wanted: Wanted) -> Iterator[Sample | Unread]:
    for file in files:
        try:
            features = _one(file, wanted)
        except (DataError, OSError) as error:
            yield Unread(file.stem, str(error))
        except DAMAGE as error:
            yield Unread(file.stem, str(strange(file, "arrays", error)))
        else:
            yield file.stem, features


def _one(file: Path, wanted: Wanted) -> dict[str, np.ndarray]:
    check_regular(file)
    with keyed.opened(file, wanted) as found:
        if found is None:
            raise DataError(
                f"{file}: is {signature.describe(file)}; expected .npz, HDF5 or a pickle with "
                f"arrays named {listed(wanted.modalities)}"
            )
        return keyed.one(file, found, wanted)


def _together(
    samples: Iterator[Sample | Unread], wanted: Wanted, where: Any
) -> Iterator[Split | Unread]:
    """So many samples at a time as one split; fewer of long ones, which all are padded to."""
    waiting: list[Sample] = []
    longest = 1
    for sample in samples:
        if isinstance(sample, Unread):
            yield sample
            continue
        own = max([1, *(len(x) for x in sample[1].values())])
        full = len(waiting) == wanted.rows or (len(waiting) + 1) * max(longest, own) > _MOST_FRAMES
        if waiting and full:
            yield parts.from_samples(waiting, wanted, where)
            waiting, longest = [], 1
        waiting.append(sample)
        longest = max(longest, own)
    if waiting:
        yield parts.from_samples(waiting, wanted, where)
