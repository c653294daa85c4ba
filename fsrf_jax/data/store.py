"""The project's own file: one HDF5 file a data set, exactly what is in memory, with checksums.

Chunks of features are whole samples, so that any sample is read without its neighbours. What
training must know of all samples before it reads them stands beside the features: which frames are
present, and digests by which samples are compared.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.frames import filled
from fsrf_jax.data.lazy import Lazy, as_array, pieces
from fsrf_jax.data.names import hint, listed, not_read
from fsrf_jax.data.overlaps import digests
from fsrf_jax.data.rounding import Precision, Rounding
from fsrf_jax.errors import DataError
from fsrf_jax.files import replacing
from fsrf_jax.reading import hdf5, signature

FORMAT = "fsrf_jax data set"
# 2 added classes, tokens and groups; 3 whole samples in chunks, present and digests. A file of an
# earlier version has none of what was added, and is read as a whole.
VERSION = 3
LAZY = 3
"""The first version whose features can stay in the file."""

CHUNK = 2**17  # bytes of a chunk, where a sample has less: many small reads cost more than a large
Compression = Literal["none", "lzf"]
"""Of features. lzf: about the half for sequences of half their padded length, and two fifths of the
speed of reading (benchmarks/streaming.py)."""

_TEXT = h5py.string_dtype()
_ALL = slice(None)


def check_new(path: Path) -> None:
    """Raise DataError if there is a file, or no folder to write it to."""
    if path.exists():
        raise DataError(f"{path} exists already; remove it, or choose another name")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no such folder; make it first")


def write(
    path: str | Path,
    dataset: Dataset,
    step: Callable[[str], None] = lambda what: None,
    compression: Compression = "none",
    precision: Precision = "float32",
) -> None:
    """Write a data set; the file appears whole or not at all.

    What float16 changes stands in the notes of the file, for each modality but those of token ids,
    which stay as they are.

    Args:
        path: the new file; its folder must exist.
        dataset: a clean data set; features that stay in a file are read some samples at a time.
        step: is called with what is written next.
        compression: of features.
        precision: of features.

    Raises:
        DataError: the file exists already, there is no such folder, or float16 cannot hold the
            features, see `Rounding`.
        WriteError: it cannot be written.
    """
    path = Path(path)
    check_new(path)
    with replacing(path) as part, part.open("x+b", buffering=0) as target:
        sink = _Sink(target)

        def checked(what: str) -> None:
            sink.check()
            step(what)

        with h5py.File(sink, "w", track_order=True) as file:
            _write(file, dataset, checked, compression, precision)
        sink.check()


class _Sink:
    """A file for HDF5, which crashes the process if it cannot write what it still holds at its end.

    After a write that failed all others are left out, as if they had gone well; `check` raises it.
    """

    def __init__(self, file: io.FileIO) -> None:
        # Without a buffer, which would be written, and fail, in any other call.
        self._file = file
        self._failure: OSError | None = None
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def check(self) -> None:
        """Raise the OSError of the first write that failed."""
        if self._failure is not None:
            raise self._failure

    def write(self, data: Any) -> int:
        """Write all of it; HDF5 sees success."""
        left = memoryview(data)
        while left and self._failure is None:
            try:
                left = left[self._file.write(left) :]
            except OSError as error:
                self._failure = error
        return len(data)

    def truncate(self, size: int) -> int:
        """Set the length; HDF5 sees success."""
        if self._failure is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self._failure = error
        return size

    def flush(self) -> None:
        """Nothing is held back."""


def _write(
    file: h5py.File,
    dataset: Dataset,
    step: Callable[[str], None],
    compression: Compression,
    precision: Precision,
) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["version"] = VERSION
    for name in ("classes", "tokens"):
        file.create_dataset(name, data=list(getattr(dataset, name)), dtype=_TEXT)
    roundings: dict[str, Rounding] = {}
    splits = file.create_group("splits", track_order=True)
    for name, split in dataset.splits.items():
        group = splits.create_group(name, track_order=True)
        group.create_dataset("ids", data=split.ids.tolist(), dtype=_TEXT)
        group.create_dataset("labels", data=split.labels.astype(np.float32), fletcher32=True)
        if split.groups is not None:
            group.create_dataset("groups", data=split.groups.tolist(), dtype=_TEXT)
        for kind in ("valid", "present"):
            arrays = group.create_group(kind, track_order=True)
            for modality, values in getattr(split, kind).items():
                made = arrays.create_dataset(
                    modality, data=values.astype(np.bool_), compression="gzip", fletcher32=True
                )
        features, known = (
            group.create_group(kind, track_order=True) for kind in ("features", "digests")
        )
        for modality, x in split.features.items():
            step(f"writing {name} {modality}")
            short = precision == "float16" and modality not in dataset.tokens
            rounding = roundings.setdefault(modality, Rounding(modality)) if short else None
            dtype = np.dtype(np.float16 if short else np.float32)
            chunk = max(1, min(len(x), CHUNK // (dtype.itemsize * x.shape[1] * x.shape[2])))
            made = features.create_dataset(
                modality,
                x.shape,
                dtype,
                chunks=(chunk, *x.shape[1:]),
                compression=None if compression == "none" else compression,
                shuffle=compression != "none",
                fletcher32=True,
            )
            found = np.zeros((len(x), 16), np.uint8)
            for rows in pieces(x):
                part = x[rows].astype(np.float32)
                if rounding is not None:
                    part = rounding(part)
                made[rows] = part
                found[rows] = digests(part, split.valid[modality][rows])
            known.create_dataset(modality, data=found, fletcher32=True)
    notes = [*dataset.notes, *(rounding.note() for rounding in roundings.values())]
    file.create_dataset("notes", data=notes, dtype=_TEXT)


def is_store(path: Path) -> bool:
    """Whether the file is one that `write` made."""
    if not path.is_file() or signature.kind(path) != "hdf5":
        return False
    try:
        with hdf5.open_hdf5(path) as file:
            return _is_ours(file)
    except DataError:
        return False


def _is_ours(file: h5py.File) -> bool:
    # Their names alone: a text of an attribute is not checked by the loader.
    return {"format", "version"} <= set(file.attrs) and {"splits", "notes"} <= set(file)


def read(path: str | Path, modalities: tuple[str, ...], stays: bool = False) -> Dataset:
    """Read a data set that `write` wrote, bit by bit the same.

    Args:
        path: the file.
        modalities: names of the modalities to read, in any order.
        stays: features stay in the file, but for token ids, which are small.

    Raises:
        DataError: the file is none of the project's, is damaged, or lacks a modality.
    """
    with opened(Path(path), stays=stays) as file:
        notes, classes, tokens = (_optional(file, k) or () for k in ("notes", "classes", "tokens"))
        groups, in_memory = file["splits"], tokens if stays else modalities
        found = [m for name in groups for m in groups[name]["features"]]
        notes = (*notes, *not_read(found, modalities))
        splits = {
            name: _read_split(groups[name], modalities, in_memory=in_memory) for name in groups
        }
    return Dataset(
        splits, tuple(notes), tuple(classes), tuple(m for m in modalities if m in tokens)
    )


def size(path: Path, modalities: tuple[str, ...]) -> tuple[int, int]:
    """The version of a store, and the bytes of its features of these modalities in memory."""
    with opened(path) as file:
        found = [
            file["splits"][name]["features"][m].size
            for name in file["splits"]
            for m in modalities
            if m in file["splits"][name]["features"]
        ]
        return int(hdf5.number_of(file, "version")), 4 * sum(found)


def contents(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the splits and of the modalities of a store; for errors see `read`."""
    with opened(path) as file:
        splits = tuple(file["splits"])
        found = [m for name in splits for m in file["splits"][name]["features"]]
    return splits, tuple(dict.fromkeys(found))


def notes(path: Path) -> tuple[str, ...]:
    """What stands in a store about its data; for errors see `read`."""
    with opened(path) as file:
        return tuple(_optional(file, "notes") or ())


def parts(path: Path, name: str, modalities: tuple[str, ...], rows: int) -> Iterator[Split]:
    """A split of a store, so many rows at a time; for errors see `read`."""
    with opened(path) as file:
        group = file["splits"][name]
        for start in range(0, len(group["labels"]), rows):
            yield _read_split(group, modalities, slice(start, start + rows))


@contextmanager
def opened(path: Path, stays: bool = False) -> Iterator[h5py.File]:
    """An open store of a version that can be read; for errors see `read`.

    `stays`: it is open as long as anything holds an array of it.
    """
    strange = DataError(
        f"{path} is not a store of this project: found {signature.describe(path)}; "
        "plain arrays in HDF5 are read with the format 'arrays'"
    )
    if signature.kind(path) != "hdf5" and not signature.turned(path):
        raise strange
    with hdf5.open_hdf5(path, stays=stays) as file:  # or an error that says how it is damaged
        if not _is_ours(file):
            raise strange
        version = hdf5.number_of(file, "version")
        if version not in range(1, VERSION + 1):
            raise DataError(
                f"{path} has version {version} of the store; this program reads "
                f"versions 1 to {VERSION}, so prepare the data set again"
            )
        yield file


def _optional(group: h5py.Group, name: str, rows: slice = _ALL) -> list[str] | None:
    return _texts(group[name], rows) if name in group else None


def _texts(dataset: h5py.Dataset, rows: slice = _ALL) -> list[str]:
    return [bytes(text).decode("utf-8") for text in hdf5.read_array(dataset, rows)]


def _read_split(
    group: h5py.Group,
    modalities: tuple[str, ...],
    rows: slice = _ALL,
    in_memory: Sequence[str] | None = None,
) -> Split:
    """A split, or rows of it; features of modalities that are not to be in memory stay in the file.

    None: all are to be in memory.
    """
    path = group.file.filename
    for modality in modalities:
        found = list(group["features"])
        if modality not in found:
            raise DataError(
                f"{path}: no modality {modality!r}; found {listed(found)}{hint(modality, found)}"
            )
    groups = _optional(group, "groups", rows)
    features, valid, present = {}, {}, {}
    for m in modalities:
        stored = group["features"][m]
        valid[m] = hdf5.read_array(group["valid"][m], rows)
        if in_memory is None or m in in_memory:
            features[m] = hdf5.read_array(stored, rows).astype(np.float32, copy=False)
            present[m] = valid[m] & filled(features[m])  # as `clean` has them
        else:
            features[m], present[m] = _in_file(group, m, valid[m])
    return Split(
        ids=np.array(_texts(group["ids"], rows), dtype=np.str_),
        features=features,
        valid=valid,
        present=present,
        labels=hdf5.read_array(group["labels"], rows),
        groups=None if groups is None else np.array(groups, dtype=np.str_),
    )


def _in_file(group: h5py.Group, m: str, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features that stay in the file, and which frames are present."""
    stored = group["features"][m]
    if "digests" not in group:  # of a version before `LAZY`: all of it is read for what is missing
        lazy = Lazy(stored.shape, np.float32, hdf5.Samples(stored))
        return as_array(lazy), valid & filled(as_array(lazy))
    known, present = (hdf5.read_array(group[kind][m]) for kind in ("digests", "present"))
    shapes = [x.shape for x in (valid, present, known)]
    wanted = [stored.shape[:2], stored.shape[:2], (*stored.shape[:1], 16)]
    if stored.ndim != 3 or stored.dtype not in (np.float32, np.float16) or shapes != wanted:
        raise DataError(
            f"{group.file.filename}: {stored.name} has shape {stored.shape} and dtype "
            f"{stored.dtype}, and beside it are arrays of {shapes}; expected float32 or float16 "
            f"[samples, frames, features] and {wanted}: prepare the data set again"
        )
    samples = hdf5.Samples(stored)
    read = samples if stored.dtype == np.float32 else lambda k: samples(k).astype(np.float32)
    return as_array(Lazy(stored.shape, np.float32, read, known)), present
