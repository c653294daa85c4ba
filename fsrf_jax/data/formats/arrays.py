"""Plain arrays, `.npz` or HDF5, under the keys `{split}_{modality}` and `{split}_label`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fsrf_jax.data import frames
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.names import hint, listed
from fsrf_jax.errors import DataError
from fsrf_jax.reading import hdf5, npz, signature

_LABEL_SUFFIXES = ("_label", "_labels")


def read(path: str | Path, modalities: tuple[str, ...]) -> Dataset:
    """Read plain arrays.

    Keys: `{split}_{modality}` [n, t, f] or [n, f]; `{split}_label` (or `_labels`) [n], or
    [n, e] for e tasks; optional `{split}_id` [n] and `{split}_{modality}_lengths` [n]. Without
    lengths a frame is valid where any feature is not zero. A split may lack a modality that another
    split has: its samples then have no valid frame of it.

    Args:
        path: the file.
        modalities: names of the modalities to read.

    Returns:
        The splits as they stand in the file, not cleaned yet.

    Raises:
        DataError: the file cannot be read, or no split has one of the modalities, or labels lack.
    """
    path = Path(path)
    with _opened(path) as arrays:
        labels = _label_keys(path, arrays, modalities)
        raw = {
            (split, modality): frames.as_sequences(arrays[key], f"{path}: {key!r}")
            for split in labels
            for modality in modalities
            if (key := f"{split}_{modality}") in arrays
        }
        empty = {m: _shape_where_absent(path, raw, m, arrays, labels) for m in modalities}
        notes: list[str] = []
        splits = {}
        for split, key in labels.items():
            values = frames.as_numbers(arrays[key], f"{path}: {key!r}")
            features, valid = {}, {}
            for m in modalities:
                absent = np.zeros((len(values), *empty[m]), np.float32)
                features[m] = raw.get((split, m), absent)
                valid[m] = _valid(split, m, features[m], arrays, notes)
            splits[split] = Split(_ids(split, arrays, len(values)), features, valid, values)
    return Dataset(splits, tuple(dict.fromkeys(notes)))


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Any]]:
    """The arrays of the file by key, each read when it is asked for."""
    if signature.kind(path) == "hdf5":
        with hdf5.open_hdf5(path) as file:
            yield _Lazy(file)
    else:
        with npz.open_npz(path) as arrays:
            yield arrays


class _Lazy(Mapping[str, np.ndarray]):
    """The top-level arrays of an HDF5 file."""

    def __init__(self, file: h5py.File) -> None:
        self._found = {k: item for k, item in file.items() if isinstance(item, h5py.Dataset)}

    def __getitem__(self, key: str) -> np.ndarray:
        return hdf5.read_array(self._found[key])

    def __contains__(self, key: object) -> bool:
        return key in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _label_keys(
    path: Path, arrays: Mapping[str, Any], modalities: tuple[str, ...]
) -> dict[str, str]:
    """The key of the labels of every split, in the order of the file."""
    labels = {
        key.removesuffix(suffix): key
        for key in arrays
        for suffix in _LABEL_SUFFIXES
        if key.endswith(suffix)
    }
    for key in arrays:
        split = next((key.removesuffix(f"_{m}") for m in modalities if key.endswith(f"_{m}")), None)
        if split and split not in labels and not split.startswith(tuple(f"{s}_" for s in labels)):
            raise DataError(
                f"{path}: split {split!r} has {key!r} but no labels; expected '{split}_label', "
                f"found {listed(arrays)}"
            )
    if not labels:
        raise DataError(
            f"{path}: no labels; expected keys such as 'train_label', found {listed(arrays)}"
        )
    return labels


def _shape_where_absent(
    path: Path,
    raw: Mapping[tuple[str, str], np.ndarray],
    modality: str,
    arrays: Mapping[str, Any],
    labels: Mapping[str, str],
) -> tuple[int, int]:
    """Frames and features of a modality in the splits that have it."""
    shapes = [values.shape for (_, m), values in raw.items() if m == modality]
    if shapes:
        return max(shape[1] for shape in shapes), shapes[0][2]
    known = dict.fromkeys(
        key.removeprefix(f"{split}_")
        for key in arrays
        for split in labels
        if key.startswith(f"{split}_")
        and key not in labels.values()
        and not key.endswith(("_id", "_lengths"))
    )
    raise DataError(
        f"{path}: no split has the modality {modality!r} (key '{next(iter(labels))}_{modality}'); "
        f"found {listed(known)}{hint(modality, known)}"
    )


def _valid(
    split: str,
    modality: str,
    features: np.ndarray,
    arrays: Mapping[str, Any],
    notes: list[str],
) -> np.ndarray:
    key = f"{split}_{modality}_lengths"
    if key in arrays:
        notes.append(f"{split} {modality}: valid frames are counted by {key!r}")
        valid, assumed = frames.within_lengths(features, arrays[key], f"{split} {modality}")
        notes.extend(assumed)
        return valid
    if f"{split}_{modality}" in arrays:
        notes.append(f"{modality}: a frame is valid where any feature is not zero")
    return frames.filled(features)


def _ids(split: str, arrays: Mapping[str, Any], n: int) -> np.ndarray:
    if f"{split}_id" in arrays:
        return frames.as_ids(arrays[f"{split}_id"])
    return np.array([f"{split}/{index}" for index in range(n)])
