"""Bytes of an array that are left in their file until the array is made, or some of its rows.

So there is no copy of the bytes beside the array, and no array beside rows.
"""

import math
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fsrf_jax.errors import DataError
from fsrf_jax.reading import limits, plain

LARGE = 2**20
"""Bytes from which on they are left."""
_PIECE = 2**30  # what the system reads at once is bounded


class Span(NamedTuple):
    """So many bytes of a file."""

    start: int
    size: int


class File:
    """A file that is open as long as anything holds it; threads may read it together."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._number)

    def fill(self, array: np.ndarray, start: int) -> None:
        """Read a contiguous array from a place of the file.

        Raises:
            DataError: the file is shorter than it was.
        """
        left = memoryview(array.reshape(-1).view(np.uint8).data if array.nbytes else b"")
        while left:
            read = os.preadv(self._number, [left[:_PIECE]], start)
            if not read:
                raise DataError(f"{self.path}: ends too early: expected it to stay as it was")
            left, start = left[read:], start + read


class Samples:
    """Numbers [n, ..] in a file, in the order of C, whose rows are read when they are asked for.

    `np.asarray` reads all of them.

    Attributes:
        shape: of all of it.
        dtype: of what is read.
    """

    def __init__(self, file: File, span: Span, dtype: np.dtype, shape: Sequence[int]) -> None:
        self._file, self._start = file, span.start
        self.shape, self.dtype = tuple(shape), dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Rows int [k], in any order, as an array [k, ..]."""
        found = np.empty((len(index), *self.shape[1:]), self.dtype)
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        starts = np.flatnonzero(np.diff(index, prepend=-2) != 1)  # of runs of neighbours
        for start, end in zip(starts, [*starts[1:], len(index)], strict=False):
            self._file.fill(found[start:end], self._start + int(index[start]) * size)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it.

        Raises:
            OutOfMemory: there is not as much memory.
        """
        del copy
        span = Span(self._start, math.prod(self.shape) * self.dtype.itemsize)
        whole = array_of(self._file, span, self.dtype, self.shape, "C")
        return whole if dtype is None else whole.astype(dtype, copy=False)


def array_of(
    file: File, span: Span, dtype: np.dtype, shape: Sequence[int], order: str
) -> np.ndarray:
    """A new array of exactly these bytes; see `plain.from_bytes`.

    Raises:
        ValueError: a value is not what it has to be.
        OutOfMemory: there is not as much memory.
    """
    plain.check_dtype(dtype)
    count = plain.check_shape(shape, dtype.itemsize, span.size)
    limits.check_memory(file.path, span.size)
    array = np.empty(count, dtype)
    file.fill(array, span.start)
    return plain.checked(array).reshape(shape, order="F" if order == "F" else "C")
