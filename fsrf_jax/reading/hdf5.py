"""Opens HDF5 files that hold all that they name: no data from other files, no bombs."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5t

from fsrf_jax.errors import DataError, UserError
from fsrf_jax.reading import limits, plain

# Those that come with h5py; any other would be looked for on the disk.
_FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_NBIT,
    h5py.h5z.FILTER_SCALEOFFSET,
    h5py.h5z.FILTER_LZF,
}
_PIECE = 10**8
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)


@contextlib.contextmanager
def open_hdf5(path: str | Path, error: type[UserError] = DataError) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading, once all that it holds was looked at and nothing read.

    Args:
        path: the file.
        error: what is raised if it cannot be read, also while it is open.

    Raises:
        UserError: it is no HDF5 file, is damaged, is a bomb, or points outside itself: by a link,
            external storage, a virtual data set, or a filter that does not come with h5py.
    """
    path = Path(path)
    limits.check_regular(path, error)
    with limits.one_message(path, "HDF5", error):
        file = h5py.File(path, "r", locking=False)
    with file:
        with limits.one_message(path, "HDF5", error):
            wanted = _Walk(path, error).group(file.id, "", 0)
        limits.check_expansion(path, wanted, error)
        try:
            yield file
        except UnicodeError:
            raise error(f"{path}: cannot be read as HDF5: a text in it is not UTF-8") from None
        except _DAMAGE as problem:
            # By h5py, on what is damaged or of another type than was looked for.
            with limits.one_message(path, "HDF5", error):
                raise problem


def attribute(file: h5py.File, name: str) -> Any:
    """An attribute of an open file that is one number or one text; None for anything else."""
    found = file.attrs.get_id(name) if name in file.attrs else None
    return file.attrs[name] if found is not None and found.shape == () else None


def read_array(dataset: Any) -> np.ndarray:
    """All of a data set of numbers or text; text of any width is an array of bytes objects.

    Args:
        dataset: of an open file.

    Raises:
        DataError: it is a group, or holds anything else.
        OutOfMemory: it is larger than the memory at hand.
    """
    path = Path(dataset.file.filename)
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{path}: {dataset.name} is a group; expected an array")
    limits.check_memory(path, dataset.size * dataset.dtype.itemsize)
    if h5py.check_string_dtype(dataset.dtype) is None:
        with limits.one_message(path, f"HDF5, array {dataset.name!r},"):
            plain.check_dtype(dataset.dtype)
    return plain.checked(dataset[()])


class _Walk:
    """Looks at all objects of a file through its hard links, without reading data."""

    def __init__(self, path: Path, error: type[UserError]) -> None:
        self._path, self._error = path, error
        self._groups: set[Any] = set()

    def _refuse(self, name: str, found: str) -> None:
        raise self._error(
            f"{self._path}: {name} {found}; expected a file that holds all of its data: read it "
            "where it was made, and write the arrays anew with h5py"
        )

    def group(self, group: h5g.GroupID, name: str, depth: int) -> int:
        """The bytes that everything below a group would take."""
        if depth > limits.MAX_DEPTH:
            self._refuse(name[:100], f"is nested more than {limits.MAX_DEPTH} deep")
        place = h5o.get_info(group)
        if (place.fileno, place.addr) in self._groups:
            self._refuse(name or "/", "is a group with two names")
        self._groups.add((place.fileno, place.addr))
        total = 0
        for raw in group:
            below = f"{name}/{raw.decode(errors='replace')}"
            if group.links.get_info(raw).type != h5l.TYPE_HARD:
                self._refuse(below, "is a link by name, to another place or file")
            item = h5o.open(group, raw)
            if isinstance(item, h5g.GroupID):
                total += self.group(item, below, depth + 1)
            elif isinstance(item, h5d.DatasetID):
                total += self.dataset(item, below)
        return total

    def dataset(self, dataset: h5d.DatasetID, name: str) -> int:
        """The bytes that a data set would take."""
        made = dataset.get_create_plist()
        if made.get_external_count():
            self._refuse(name, "has its data in another file")
        if made.get_layout() == h5d.VIRTUAL:
            self._refuse(name, "is a virtual data set, of parts of other files")
        for index in range(made.get_nfilters()):
            code, _, _, title = made.get_filter(index)
            if code not in _FILTERS:
                self._refuse(name, f"is compressed by the filter {code} ({title.decode()})")
        kind = dataset.get_type()
        shape = dataset.shape or ()
        count = math.prod(shape)
        if made.get_layout() == h5d.CHUNKED:  # a chunk is read whole
            count = math.prod(-(-n // c) * c for n, c in zip(shape, made.get_chunk(), strict=False))
        bytes_ = count * kind.get_size()
        if kind.detect_class(h5t.VLEN) or (
            isinstance(kind, h5t.TypeStringID) and kind.is_variable_str()
        ):
            limits.check_expansion(self._path, bytes_, self._error)
            bytes_ += self._pointed(h5py.Dataset(dataset))
        return bytes_

    def _pointed(self, dataset: h5py.Dataset) -> int:
        """The bytes of text or lists of any length, several of which may be one in the file."""
        size = self._path.stat().st_size
        most, step, total = limits.most_bytes(size), max(1, _PIECE // size), 0
        if dataset.shape == ():
            return size
        for start in range(0, len(dataset), step):
            found = np.asarray(dataset[start : start + step], object).reshape(-1)
            total += sum(len(item) for item in found)
            if total > most:
                break
        return total
