"""Reads .npz and .npy files of numbers and text; a pickle inside one is never loaded."""

import contextlib
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from fsrf_jax.errors import DataError, UserError
from fsrf_jax.reading import limits, plain, signature

_PIECE = 2**20
SKIPPED = 64  # rows at a time that are read for those behind them
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@contextlib.contextmanager
def open_npz(
    path: str | Path, error: type[UserError] = DataError, *, stays: bool = False
) -> Iterator["Arrays"]:
    """The arrays of an .npz file by name, each read when it is asked for.

    Args:
        path: the file.
        error: what is raised if it cannot be read.
        stays: it is open after the context, as long as anything holds the arrays.

    Raises:
        UserError: it is no .npz file, is damaged, is a bomb, or an array that is asked for holds
            anything but numbers and text.
        OutOfMemory: an array that is asked for is larger than the memory at hand.
    """
    path = Path(path)
    limits.check_regular(path, error)
    if signature.kind(path) == "npy":
        raise error(f"{path}: is one array without a name; expected .npz, with named arrays")
    with limits.one_message(path, ".npz", error):
        archive = zipfile.ZipFile(path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(archive)
        entries = archive.infolist()
        limits.check_expansion(path, sum(entry.file_size for entry in entries), error)
        if any(entry.filename.endswith("/data.pkl") for entry in entries):
            raise error(
                f"{path}: is a file of torch.save; expected arrays of NumPy: convert it where "
                "torch is installed, with numpy.savez(NEW, **{k: v.numpy() for k, v in "
                "torch.load(FILE).items()})"
            )
        yield Arrays(path, archive, error)
        if stays:
            stack.pop_all()


def read_npz(path: str | Path, error: type[UserError] = DataError) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, see `open_npz`."""
    with open_npz(path, error) as arrays:
        return dict(arrays)


def members(path: Path) -> list[str]:
    """The names in a zip archive; none of one that is damaged."""
    try:
        with limits.one_message(path, "an archive"), zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except DataError:
        return []


class Arrays(Mapping[str, np.ndarray]):
    """Those of an open archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, error: type[UserError]) -> None:
        self._path, self._archive, self._error = path, archive, error
        self._entries = {
            entry.filename.removesuffix(".npy"): entry
            for entry in archive.infolist()
            if entry.filename.endswith(".npy")
        }

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        limits.check_memory(self._path, entry.file_size)
        with (
            limits.one_message(self._path, f".npz, array {name!r},", self._error),
            self._archive.open(_written_by_numpy(entry)) as file,
        ):
            return _read(file, entry.file_size)

    @contextlib.contextmanager
    def rows(self, name: str) -> Iterator["Rows"]:
        """An array that is read some rows at a time."""
        entry = self._entries[name]
        guard = partial(limits.one_message, self._path, f".npz, array {name!r},", self._error)
        with contextlib.ExitStack() as stack:
            with guard():
                file = stack.enter_context(self._archive.open(_written_by_numpy(entry)))
                rows = Rows(file, entry.file_size, guard)
            yield rows

    def samples(self, name: str) -> "Samples":
        """An array of numbers whose rows are read when they are asked for, from a file that stays.

        A shape or dtype that is no array's is an error now.
        """
        return Samples(lambda: self.rows(name))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def read_npy(path: str | Path, error: type[UserError] = DataError) -> np.ndarray:
    """The array of an .npy file.

    Args:
        path: the file.
        error: what is raised if it cannot be read.

    Raises:
        UserError: it is no such file, is damaged, or holds anything but numbers and text.
        OutOfMemory: the array is larger than the memory at hand.
    """
    path = Path(path)
    size = limits.check_regular(path, error)
    limits.check_memory(path, size)
    with limits.one_message(path, ".npy", error), path.open("rb") as file:
        return _read(file, size)


class Rows:
    """An array of an open file, read from the first row to the last, some at a time.

    Attributes:
        shape: of all of it.
        dtype: of what is read.
    """

    def __init__(
        self, file: IO[bytes], size: int, guard: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._file, self._guard = file, guard
        self.shape, fortran, self.dtype = _header(file, size)
        self._whole = None
        if fortran and len(self.shape) > 1:  # its rows do not stand together
            flat = _filled(file, math.prod(self.shape), self.dtype)
            self._whole = flat.reshape(self.shape, order="F")
        self._at = 0

    def next(self, count: int) -> np.ndarray:
        """The next `count` rows."""
        if self._whole is not None:
            self._at += count
            return plain.checked(self._whole[self._at - count : self._at])
        shape = (count, *self.shape[1:])
        with self._guard():
            return plain.checked(_filled(self._file, math.prod(shape), self.dtype).reshape(shape))


class Samples:
    """Reads rows of an array from front to back; for one that it is past it begins anew.

    What lies between the first and the last row that are asked for is read as well.

    Attributes:
        shape: of all of it.
        dtype: of what is read.
    """

    def __init__(self, open_rows: Callable[[], AbstractContextManager[Rows]]) -> None:
        self._open = open_rows
        self._begin()
        self.shape, self.dtype = self._rows.shape, self._rows.dtype

    def _begin(self) -> None:
        self._stack = contextlib.ExitStack()
        self._rows, self._at = self._stack.enter_context(self._open()), 0

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Rows int [k] as an array [k, ..]."""
        if not len(index):
            return np.empty((0, *self.shape[1:]), self.dtype)
        first, end = int(index.min()), int(index.max()) + 1
        if first < self._at:
            self._stack.close()
            self._begin()
        while self._at < first:
            self._next(min(first - self._at, SKIPPED))
        return self._next(end - first)[index - first]

    def _next(self, count: int) -> np.ndarray:
        self._at += count
        return self._rows.next(count)


def _written_by_numpy(entry: zipfile.ZipInfo) -> zipfile.ZipInfo:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed in a way that NumPy does not write")
    return entry


def _read(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an open file of that size, whose header has to agree with it."""
    shape, fortran, dtype = _header(file, size)
    array = _filled(file, math.prod(shape), dtype)
    return plain.checked(array.reshape(shape, order="F" if fortran else "C"))


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype, which agree with the size of the file."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it has version {version} of the format, expected {list(_HEADERS)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Python 2 wrote it
        shape, fortran, dtype = _HEADERS[version](file)
    plain.check_dtype(dtype)
    plain.check_shape(shape, dtype.itemsize, size - file.tell())
    return shape, fortran, dtype


def _filled(file: IO[bytes], count: int, dtype: np.dtype) -> np.ndarray:
    """The next `count` numbers of an open file."""
    array = np.empty(count, dtype)
    left = memoryview(array.view(np.uint8).data if array.nbytes else b"")
    while left:
        read = file.readinto(left[:_PIECE])  # type: ignore[attr-defined]
        if not read:
            raise EOFError("it ends too early")
        left = left[read:]
    return array
