"""Opens HDF5 files that hold all that they name: no data from other files, no bombs."""

import contextlib
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5t, h5z

from fsrf_jax.errors import DataError, UserError
from fsrf_jax.reading import limits, plain

# Those that come with h5py; any other would be looked for on the disk.
_FILTERS = {
    h5z.FILTER_DEFLATE,
    h5z.FILTER_SHUFFLE,
    h5z.FILTER_FLETCHER32,
    h5z.FILTER_SZIP,
    h5z.FILTER_NBIT,
    h5z.FILTER_SCALEOFFSET,
    h5z.FILTER_LZF,
}
# How the library stores texts of any length, see the HDF5 file format specification, III.E.
_REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
_HEAP = struct.Struct("<8sQ")
_PART = struct.Struct("<H6xQ")
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)


@contextlib.contextmanager
def open_hdf5(
    path: str | Path, error: type[UserError] = DataError, *, stays: bool = False
) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading, once all that it holds was looked at and nothing read.

    Args:
        path: the file.
        error: what is raised if it cannot be read, also while it is open.
        stays: it is open after the context, as long as anything holds an array of it.

    Raises:
        UserError: it is no HDF5 file, is damaged, is a bomb, or points outside itself: by a link,
            external storage, a virtual data set, or a filter that does not come with h5py.
    """
    path = Path(path)
    limits.check_regular(path, error)
    with contextlib.ExitStack() as stack:
        with limits.one_message(path, "HDF5", error):
            file = stack.enter_context(h5py.File(path, "r", locking=False))
            made = file.id.get_create_plist()
            if made.get_sizes() != (8, 8) or made.get_userblock():
                raise ValueError(
                    "it has a user block, or addresses and lengths of other than 8 bytes"
                )
            wanted = _Walk(path, error).group(file.id, "", 0)
        limits.check_expansion(path, wanted, error)
        with _damage(path, error):
            yield file
        if stays:
            stack.pop_all()


@contextlib.contextmanager
def _damage(path: Path, error: type[UserError]) -> Iterator[None]:
    """One message for what h5py raises on what is damaged, or of another type than looked for."""
    try:
        yield
    except UnicodeError:
        raise error(f"{path}: cannot be read as HDF5: a text in it is not UTF-8") from None
    except _DAMAGE as problem:
        with limits.one_message(path, "HDF5", error):
            raise problem


def number_of(file: h5py.File, name: str) -> Any:
    """An attribute of an open file that is one number; None for anything else."""
    found = file.attrs.get_id(name) if name in file.attrs else None
    plain_number = found is not None and found.shape == () and found.dtype.kind in "iuf"
    return file.attrs[name] if plain_number else None


def read_array(dataset: Any, rows: slice = slice(None)) -> np.ndarray:
    """A data set of numbers or text; text of any width is an array of bytes objects.

    Args:
        dataset: of an open file.
        rows: which of them, of step 1; all of a single number.

    Raises:
        DataError: it is a group, or holds anything else.
        OutOfMemory: it is larger than the memory at hand.
    """
    path = Path(dataset.file.filename)
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{path}: {dataset.name} is a group; expected an array")
    n = dataset.shape[0] if dataset.shape else 1
    share = len(range(*rows.indices(n))) / n if n else 0
    limits.check_memory(path, int(share * dataset.size) * dataset.dtype.itemsize)
    if h5py.check_string_dtype(dataset.dtype) is None:
        with limits.one_message(path, f"HDF5, array {dataset.name!r},"):
            plain.check_dtype(dataset.dtype)
    return plain.checked(dataset[rows] if dataset.shape else np.asarray(dataset[()]))


class Rows:
    """A data set of an open file, read from the first row to the last, some at a time.

    Attributes:
        shape: of all of it.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset, self._at, self.shape = dataset, 0, dataset.shape

    def next(self, count: int) -> np.ndarray:
        """The next `count` rows."""
        self._at += count
        return read_array(self._dataset, slice(self._at - count, self._at))


class Samples:
    """Reads rows of a data set of numbers, in any order, from a file that stays open.

    Raises DataError where the rows are damaged. Threads take turns: the library lets in one.

    Attributes:
        shape: of all of it.
        dtype: of what is read.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset, self._path = dataset, Path(dataset.file.filename)
        self.shape, self.dtype = dataset.shape, dataset.dtype
        with limits.one_message(self._path, f"HDF5, array {dataset.name!r},"):
            plain.check_dtype(dataset.dtype)

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Rows int [k] as an array [k, ..]."""
        dataset = self._dataset
        found = np.empty((len(index), *self.shape[1:]), self.dtype)
        # One by one, or where neighbours are asked for a run at once: what the library does with a
        # list of rows takes several times as long.
        starts = np.flatnonzero(np.diff(index, prepend=-2) != 1)
        with _damage(self._path, DataError):
            for start, end in zip(starts, [*starts[1:], len(index)], strict=False):
                first = int(index[start])
                there = np.s_[first : first + int(end - start)]
                dataset.read_direct(found, there, np.s_[int(start) : int(end)])
        return plain.checked(found)


class _Walk:
    """Looks at all objects of a file through its hard links, without reading data."""

    def __init__(self, path: Path, error: type[UserError]) -> None:
        self._path, self._error = path, error
        self._size = path.stat().st_size
        self._groups: set[Any] = set()
        self._heaps: dict[int, dict[int, int]] = {}

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
        filters = {made.get_filter(index)[0] for index in range(made.get_nfilters())}
        if not filters <= _FILTERS:
            self._refuse(name, f"has a filter that h5py has not, {min(filters - _FILTERS)}")
        kind, shape = dataset.get_type(), dataset.shape or ()
        count = math.prod(shape)
        if made.get_layout() == h5d.CHUNKED:
            self._chunks(dataset, 5 if h5z.FILTER_FLETCHER32 in filters else 1)
            # A chunk is read whole.
            count = math.prod(-(-n // c) * c for n, c in zip(shape, made.get_chunk(), strict=False))
        wanted = count * kind.get_size()
        if isinstance(kind, h5t.TypeStringID) and kind.is_variable_str():
            limits.check_expansion(self._path, wanted, self._error)
            wanted += self._texts(dataset, made)
        return wanted

    def _chunks(self, dataset: h5d.DatasetID, least: int) -> None:
        """Refuse chunks without bytes or outside the file: the library crashes on them."""

        def wrong(chunk: Any) -> Any:
            inside = chunk.byte_offset + chunk.size <= self._size
            return None if inside and chunk.size >= least else chunk  # anything but None ends it

        found = dataset.chunk_iter(wrong)
        if found is not None:
            raise ValueError(f"a chunk has {found.size} bytes at {found.byte_offset}")

    def _texts(self, dataset: h5d.DatasetID, made: Any) -> int:
        """The bytes of texts of any length, several of which may be one in the file.

        Each is a length and a place in a heap. The library makes room for the length before it
        looks at the heap, copies as much as the heap says, and never ends a damaged heap.
        """
        if made.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
            raise ValueError("texts have a default")
        total = 0
        with self._path.open("rb") as file:
            for part in self._parts(dataset, made, file):
                found = np.frombuffer(part, _REFERENCE)
                found = found[found["length"] > 0]
                total += int(found["length"].sum(dtype=np.uint64))
                for address in np.unique(found["address"]):
                    of_heap = found[found["address"] == address]
                    sizes = self._heap(file, int(address))
                    for index, length in zip(of_heap["index"], of_heap["length"], strict=True):
                        if sizes.get(int(index)) != length:
                            raise ValueError(f"a text has {length} bytes, found others")
        return total

    def _parts(self, dataset: h5d.DatasetID, made: Any, file: IO[bytes]) -> Iterator[bytes]:
        """The stored bytes of a data set, as they are once the filters are undone."""
        if made.get_layout() == h5d.CONTIGUOUS:
            place, size = dataset.get_offset(), dataset.get_storage_size()
            if place is not None:
                if place + size > self._size:
                    raise ValueError(f"texts end at {place + size}, beyond the file")
                file.seek(place)
                yield file.read(size)
            return
        if made.get_layout() != h5d.CHUNKED:
            raise ValueError("texts are stored in a header")
        chunks: list[Any] = []
        dataset.chunk_iter(chunks.append)
        filters = [made.get_filter(index)[0] for index in range(made.get_nfilters())]
        size = math.prod(made.get_chunk()) * _REFERENCE.itemsize
        limits.check_expansion(self._path, size, self._error)
        for chunk in chunks:
            file.seek(chunk.byte_offset)
            content = file.read(chunk.size)
            for index in reversed(range(len(filters))):
                if not chunk.filter_mask & (1 << index):
                    content = _undo(filters[index], content, size)
            if len(content) != size:
                raise ValueError(f"a chunk has {len(content)} bytes, expected {size}")
            yield content

    def _heap(self, file: IO[bytes], address: int) -> dict[int, int]:
        """The size of every text of a heap, by its number."""
        if address not in self._heaps:
            file.seek(address)
            head = file.read(_HEAP.size)
            magic, size = _HEAP.unpack(head) if len(head) == _HEAP.size else (b"", 0)
            if magic != b"GCOL\x01\0\0\0" or not _HEAP.size <= size <= self._size - address:
                raise ValueError(f"there are no texts at {address}")
            content, place, sizes = file.read(size - _HEAP.size), 0, {}
            while place + _PART.size <= len(content):
                index, length = _PART.unpack_from(content, place)
                step = _PART.size + -(-length // 8) * 8 if index else length
                if step < _PART.size or place + step > len(content) or index in sizes:
                    raise ValueError(f"the texts at {address} are damaged")
                if index:
                    sizes[index] = length
                place += step
            self._heaps[address] = sizes
        return self._heaps[address]


def _undo(code: int, content: bytes, size: int) -> bytes:
    """What a filter was given, of at most `size` bytes and a checksum."""
    if code == h5z.FILTER_FLETCHER32:
        return content[:-4]
    if code == h5z.FILTER_DEFLATE:
        return zlib.decompressobj().decompress(content, size + 4)
    if code == h5z.FILTER_SHUFFLE:
        return np.frombuffer(content, np.uint8).reshape(_REFERENCE.itemsize, -1).T.tobytes()
    raise ValueError(f"texts have the filter {code}")
