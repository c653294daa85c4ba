"""Arrays by key: `{split}_{modality}`, or `{modality}` where there are no splits.

Without splits features are [n, t, f], or [t, f] of one sample. `id` and `{modality}_lengths` may
stand beside them.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data import frames
from fsrf_jax.data.dataset import Split
from fsrf_jax.data.formats import arrays, tables
from fsrf_jax.data.names import split_names
from fsrf_jax.data.streaming import parts
from fsrf_jax.data.streaming.wanted import Wanted
from fsrf_jax.errors import DataError
from fsrf_jax.reading import signature


@contextmanager
def opened(path: Path) -> Iterator[arrays.Arrays | None]:
    """The arrays of an .npz, HDF5 or pickled file by key; None for a file of another kind."""
    if path.is_file() and signature.kind(path) in ("zip", "hdf5"):
        with arrays.opened(path) as found:
            yield found
        return
    try:
        content = tables.pickled(path)
        values = content.values() if isinstance(content, dict) else ()
        keyed = any(isinstance(value, np.ndarray | list) for value in values)
        yield _InMemory({str(key): value for key, value in content.items()}) if keyed else None
    finally:
        tables.forget()


def stream(path: Path, found: arrays.Arrays, wanted: Wanted) -> Iterator[Split]:
    """The samples of all splits that are to be read, in the order of the file."""
    splits = _by_split(path, found, wanted)
    wanted.check_splits(path, splits)
    for name, keys in splits.items():
        if not wanted.splits or name in wanted.splits:
            yield from _of_split(path, name, keys, found, wanted)


def one(path: Path, found: arrays.Arrays, wanted: Wanted) -> dict[str, np.ndarray]:
    """The features [t, f] of the only sample of a file, by modality."""
    chosen = wanted.chosen(path, found)
    features = {m: parts.frames_of(found[key], m, wanted, path) for m, key in chosen.items()}
    for m, x in features.items():
        if x.ndim != 2:
            raise DataError(f"{path}: {m} has shape {x.shape}; expected [t, f] of one sample")
    wanted.check_widths(path, features)
    return features


def _by_split(path: Path, found: arrays.Arrays, wanted: Wanted) -> dict[str, dict[str, str]]:
    """The key of every modality in every split; the split is "" where the file has none."""
    starts = dict.fromkeys(
        key.removesuffix(f"_{name}")
        for key in found
        for name in wanted.names
        if key.endswith(f"_{name}")
    )
    if not starts or any(name in found for name in wanted.names):
        return {"": wanted.chosen(path, found)}
    of_split = {
        start: [key.removeprefix(f"{start}_") for key in found if key.startswith(f"{start}_")]
        for start in starts
    }
    chosen = wanted.chosen(path, dict.fromkeys(n for there in of_split.values() for n in there))
    renamed = split_names(of_split)
    return {
        renamed[start]: {m: f"{start}_{name}" for m, name in chosen.items() if name in there}
        for start, there in of_split.items()
    }


def _of_split(
    path: Path, name: str, keys: Mapping[str, str], found: arrays.Arrays, wanted: Wanted
) -> Iterator[Split]:
    where = f"{path}, split {name!r}" if name else str(path)
    # In the file the split may have another name.
    start = next(iter(keys.values())).rpartition("_")[0] + "_" if name else ""
    ids = found.get(f"{start}id")
    lengths = {m: found[k] for m, key in keys.items() if (k := f"{key}_lengths") in found}
    with ExitStack() as stack:
        rows = {m: stack.enter_context(found.rows(key)) for m, key in keys.items()}
        axes = {len(of.shape) + (m in wanted.tokens) for m, of in rows.items()}
        if not name and axes == {2}:
            whole = {m: of.next(of.shape[0]) for m, of in rows.items()}
            sample = {m: parts.frames_of(x, m, wanted, where) for m, x in whole.items()}
            own = path.stem if ids is None else frames.as_ids([ids])[0]
            yield parts.from_samples([(own, sample)], wanted, where)
            return
        n = _count(where, rows)
        known = None if ids is None else frames.as_ids(ids)
        if known is not None and len(known) != n:
            raise DataError(f"{where}: {len(known)} ids, {n} samples; expected one id a sample")
        for first in range(0, n, wanted.rows):
            own_rows = range(first, min(first + wanted.rows, n))
            taken = slice(own_rows.start, own_rows.stop)
            features = {
                m: parts.sequences_of(of.next(len(own_rows)), m, wanted, where)
                for m, of in rows.items()
            }
            counted = {m: ("", np.asarray(x)[taken]) for m, x in lengths.items()}
            numbered = [f"{name or path.stem}/{i}" for i in own_rows]
            own_ids = numbered if known is None else known[taken]
            yield parts.from_arrays(own_ids, features, counted, wanted, where)


def _count(where: str, rows: Mapping[str, arrays.Rows]) -> int:
    counts = {m: of.shape[0] if of.shape else 0 for m, of in rows.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        found = ", ".join(f"{m} {count}" for m, count in counts.items())
        raise DataError(f"{where}: found {found} samples; expected one or more, as many in all")
    return next(iter(counts.values()))


class _InMemory(dict[str, Any]):
    """Arrays that are read already."""

    @contextmanager
    def rows(self, key: str) -> Iterator[arrays.Rows]:
        """One of them, some rows at a time."""
        yield _Rows(frames.as_numbers(self[key], key))


class _Rows:
    def __init__(self, array: np.ndarray) -> None:
        self._array, self._at, self.shape = array, 0, array.shape

    def next(self, count: int) -> np.ndarray:
        self._at += count
        return self._array[self._at - count : self._at]
