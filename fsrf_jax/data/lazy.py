"""Arrays that stay in their file: the shape is known, and rows are read when they are asked for.

A `Lazy` stands in a `Split` where an array of features would stand. What takes arrays apart by rows
works on either; `np.asarray` reads all of it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from fsrf_jax.reading.limits import check_wanted

ROWS = 256
"""Samples at a time, where an array is looked through."""

Read = Callable[[np.ndarray], np.ndarray]
"""Row numbers int [k], in any order, to rows [k, ..]."""


class Lazy:
    """Rows that are read when they are asked for.

    Attributes:
        shape: of all of it.
        dtype: of what is read.
        digests: bytes [n, 16] by which rows can be told apart without reading them, see
            `fsrf_jax.data.overlaps`; None where nobody knows them.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, read: Read, digests: np.ndarray | None = None
    ) -> None:
        self.shape, self.dtype, self.digests = tuple(shape), np.dtype(dtype), digests
        self._read = read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What all of it would take in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows by number, slice, mask or numbers, as an array."""
        index = np.arange(len(self))[rows]
        return self._read(index) if index.ndim else self._read(index[None])[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it.

        Raises:
            OutOfMemory: there is not as much memory.
        """
        del copy
        check_wanted(self.nbytes)
        whole = np.empty(self.shape, self.dtype)
        for rows in pieces(self):
            whole[rows] = self[rows]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def take(self, rows: Any) -> "Lazy":
        """Some rows, which stay where they are."""
        index = np.arange(len(self))[rows]
        digests = None if self.digests is None else self.digests[index]
        shape = (len(index), *self.shape[1:])
        return Lazy(shape, self.dtype, lambda k: self._read(index[k]), digests)

    def map(
        self, change: Callable[[np.ndarray, np.ndarray], np.ndarray], shape: Any, dtype: Any
    ) -> "Lazy":
        """What becomes of the rows when they are read: `change` is given them and their numbers."""
        return Lazy((len(self), *shape), dtype, lambda k: change(self._read(k), k))


def as_array(lazy: Lazy) -> np.ndarray:
    """The same object, for the type checker: it stands where arrays stand."""
    return cast(np.ndarray, lazy)


def taken(x: np.ndarray, rows: Any) -> np.ndarray:
    """Some rows of an array, or of a `Lazy`, which stay where they are."""
    return as_array(x.take(rows)) if isinstance(x, Lazy) else x[rows]


def pieces(x: Any, rows: int = ROWS) -> Iterator[slice]:
    """Slices of so many rows, which make up all rows of x."""
    return (slice(start, start + rows) for start in range(0, len(x), rows))


def joined(arrays: Sequence[Any]) -> np.ndarray:
    """Arrays [n, t, f], of which one at least is a `Lazy`, one after the other.

    Those of fewer frames are padded at the end with zeros.
    """
    longest = max(x.shape[1] for x in arrays)
    ends = np.cumsum([len(x) for x in arrays])
    digests = [x.digests if isinstance(x, Lazy) else None for x in arrays]
    known: list[np.ndarray] = [found for found in digests if found is not None]
    first = arrays[0]

    def read(index: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(index), longest, first.shape[2]), first.dtype)
        part_of = np.searchsorted(ends, index, side="right")
        for number, x in enumerate(arrays):
            chosen = part_of == number
            if chosen.any():
                start = ends[number] - len(x)
                rows[chosen, : x.shape[1]] = x[index[chosen] - start]
        return rows

    shape = (int(ends[-1]), longest, first.shape[2])
    whole = np.concatenate(known) if len(known) == len(arrays) else None
    return as_array(Lazy(shape, first.dtype, read, whole))
