"""Reads .npz and .npy files of numbers and text; a pickle inside one is never loaded."""

import contextlib
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from fsrf_jax.errors import DataError, UserError
from fsrf_jax.reading import limits, plain, signature

_PIECE = 2**20
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@contextlib.contextmanager
def open_npz(
    path: str | Path, error: type[UserError] = DataError
) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of an .npz file by name, each read when it is asked for.

    Args:
        path: the file.
        error: what is raised if it cannot be read.

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
    with archive:
        entries = archive.infolist()
        limits.check_expansion(path, sum(entry.file_size for entry in entries), error)
        if any(entry.filename.endswith("/data.pkl") for entry in entries):
            raise error(
                f"{path}: is a file of torch.save; expected arrays of NumPy: convert it where "
                "torch is installed, with numpy.savez(NEW, **{k: v.numpy() for k, v in "
                "torch.load(FILE).items()})"
            )
        yield _Arrays(path, archive, error)


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


class _Arrays(Mapping[str, np.ndarray]):
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
        with limits.one_message(self._path, f".npz, array {name!r},", self._error):
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is compressed in a way that NumPy does not write")
            with self._archive.open(entry) as file:
                return _read(file, entry.file_size)

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


def _read(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an open file of that size, whose header has to agree with it."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it has version {version} of the format, expected {list(_HEADERS)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Python 2 wrote it
        shape, fortran, dtype = _HEADERS[version](file)
    plain.check_dtype(dtype)
    count = plain.check_shape(shape, dtype.itemsize, size - file.tell())
    array = np.empty(count, dtype)
    left = memoryview(array.view(np.uint8).data if array.nbytes else b"")
    while left:
        read = file.readinto(left[:_PIECE])  # type: ignore[attr-defined]
        if not read:
            raise EOFError("it ends too early")
        left = left[read:]
    return plain.checked(array.reshape(shape, order="F" if fortran else "C"))
