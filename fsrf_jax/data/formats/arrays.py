"""Plain arrays, `.npz` or HDF5, under the keys `{split}_{modality}` and `{split}_label`.

In HDF5 the parts of a key may be groups: `{split}/{modality}`.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from fsrf_jax.data.assemble import Raw, assemble
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.lazy import Lazy
from fsrf_jax.data.names import SPLITS, hint, key_of, listed, not_read, split_names
from fsrf_jax.errors import DataError
from fsrf_jax.reading import hdf5, npz, signature

_LABEL_SUFFIXES = ("_regression_labels", "_classification_labels", "_labels", "_label")


def recognises(path: Path) -> bool:
    """Whether the file is .npz, .npy or HDF5."""
    return path.is_file() and signature.kind(path) in ("zip", "npy", "hdf5")


def read(path: str | Path, modalities: tuple[str, ...], stays: bool = False) -> Dataset:
    """Read plain arrays.

    Keys: `{split}_{modality}` [n, t, f] or [n, f]; `{split}_label` (or `_labels`) [n], names of
    classes [n], or [n, e] for e tasks; optional `{split}_id` [n], `{split}_group` [n] and
    `{split}_{modality}_lengths` [n]. Without lengths a frame is valid where any feature is not
    zero. A split may lack a modality that another split has: its samples then have no valid frame.

    Args:
        path: the file.
        modalities: names of the modalities to read.
        stays: features stay in the file.

    Returns:
        The splits as they stand in the file, not cleaned yet.

    Raises:
        DataError: the file cannot be read, or no split has one of the modalities, or labels lack.
    """
    path = Path(path)
    with opened(path, stays) as arrays:
        labels = _label_keys(path, arrays, modalities)
        for modality in modalities:
            if not any(_key(arrays, split, modality) for split in labels):
                raise _no_modality(path, modality, arrays, labels)

        def split(name: str) -> Raw:
            keys = {m: key for m in modalities if (key := _key(arrays, name, m))}
            counted = {m: f"{key}_lengths" for m, key in keys.items() if f"{key}_lengths" in arrays}
            return Raw(
                labels=arrays[labels[name]],
                features={
                    m: _lazy(arrays, key) if stays else arrays[key] for m, key in keys.items()
                },
                lengths={m: (key, arrays[key]) for m, key in counted.items()},
                ids=arrays.get(f"{name}_id"),
                groups=arrays.get(f"{name}_group"),
            )

        notes = not_read(_modalities(arrays, labels), modalities)
        return assemble(path, labels, split, modalities, notes)


class Rows(Protocol):
    """An array of a file that is read some rows at a time; `shape` is that of all of it."""

    shape: tuple[int, ...]

    def next(self, count: int) -> np.ndarray:
        """The next `count` rows."""


class Samples(Protocol):
    """Reads rows int [k] of an array of a file that stays open, [k, ..]."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """These rows."""


class Arrays(Protocol):
    """The arrays of an open file by key: a mapping that reads one when it is asked for."""

    def rows(self, key: str) -> AbstractContextManager[Rows]:
        """One of them, some rows at a time."""

    def __getitem__(self, key: str) -> np.ndarray: ...
    def __contains__(self, key: object) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def get(self, key: str) -> np.ndarray | None:
        """One of them, or None."""


class InFile(Arrays, Protocol):
    """Those of a file that may stay open."""

    def samples(self, key: str) -> Samples:
        """One of them, whose rows are read when they are asked for."""


@contextmanager
def opened(path: Path, stays: bool = False) -> Iterator[InFile]:
    """The arrays of the file by key, each read when it is asked for.

    `stays`: the file is open as long as anything holds `samples` of it.
    """
    if signature.kind(path) == "hdf5":
        with hdf5.open_hdf5(path, stays=stays) as file:
            yield _InHdf5(file)
    else:
        with npz.open_npz(path, stays=stays) as arrays:
            yield arrays


def _lazy(arrays: InFile, key: str) -> Lazy:
    samples = arrays.samples(key)
    return Lazy(samples.shape, samples.dtype, samples)


class _InHdf5(Mapping[str, np.ndarray]):
    """The arrays of an HDF5 file; those in groups by their path with `_` for `/`."""

    def __init__(self, file: h5py.File) -> None:
        self._arrays: dict[str, h5py.Dataset] = {}
        file.visititems(self._add)

    def _add(self, path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            self._arrays[path.replace("/", "_")] = item

    def __getitem__(self, key: str) -> np.ndarray:
        return hdf5.read_array(self._arrays[key])

    @contextmanager
    def rows(self, key: str) -> Iterator[Rows]:
        """An array that is read some rows at a time."""
        yield hdf5.Rows(self._arrays[key])

    def samples(self, key: str) -> hdf5.Samples:
        """An array whose rows are read when they are asked for."""
        return hdf5.Samples(self._arrays[key])

    def __contains__(self, key: object) -> bool:
        return key in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def _label_keys(path: Path, arrays: Arrays, modalities: tuple[str, ...]) -> dict[str, str]:
    """The key of the labels of every split, in the order of the file."""
    labels: dict[str, str] = {}
    for key in arrays:
        split = next((key.removesuffix(s) for s in _LABEL_SUFFIXES if key.endswith(s)), None)
        if split:
            labels[split] = next(k for s in _LABEL_SUFFIXES if (k := f"{split}{s}") in arrays)
    starts = split_names(key.split("_")[0] for key in arrays)
    needed = [name for name, new in starts.items() if new in SPLITS]
    for key in arrays:
        split = next((key.removesuffix(f"_{m}") for m in modalities if key.endswith(f"_{m}")), None)
        if split in needed and split not in labels:
            raise DataError(
                f"{path}: split {split!r} has {key!r} but no labels; expected '{split}_label', "
                f"found {listed(arrays)}"
            )
    if not labels:
        raise DataError(
            f"{path}: no labels; expected keys such as 'train_label', found {listed(arrays)}"
        )
    return labels


def _key(arrays: Arrays, split: str, modality: str) -> str | None:
    start = f"{split}_"
    known = (key.removeprefix(start) for key in arrays if key.startswith(start))
    key = key_of(modality, known)
    return key and start + key


def _modalities(arrays: Arrays, labels: Mapping[str, str]) -> list[str]:
    """The names of all modalities in the file."""
    found = dict.fromkeys(
        key.removeprefix(f"{split}_")
        for key in arrays
        for split in labels
        if key.startswith(f"{split}_")
        and key not in labels.values()
        and not key.endswith(("_id", "_group", "_lengths", *_LABEL_SUFFIXES))
    )
    return list(found)


def _no_modality(path: Path, modality: str, arrays: Arrays, labels: Mapping[str, str]) -> DataError:
    known = _modalities(arrays, labels)
    return DataError(
        f"{path}: no split has the modality {modality!r} (key '{next(iter(labels))}_{modality}'); "
        f"found {listed(known)}{hint(modality, known)}"
    )
