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
from fsrf_jax.data.names import SPLITS, key_of, split_names
from fsrf_jax.data.streaming import parts
from fsrf_jax.data.streaming.wanted import Wanted
from fsrf_jax.errors import DataError
from fsrf_jax.reading import signature


@contextmanager
def opened(path: Path, wanted: Wanted) -> Iterator[arrays.Arrays | None]:
    """The arrays of a file by key: .npz, HDF5, or a pickle of them; None for any other file."""
    if path.is_file() and signature.kind(path) in ("zip", "hdf5"):
        with arrays.opened(path) as found:
            yield found
        return
    try:
        content = tables.pickled(path) if path.is_file() else None
        items = content.items() if isinstance(content, dict) else ()
        named = {str(key): tables.in_memory(value) for key, value in items}
        yield _InMemory(named) if not wanted.names.isdisjoint(named) else None
    finally:
        tables.forget()


def stream(path: Path, found: arrays.Arrays, wanted: Wanted) -> Iterator[Split]:
    """The samples of all splits that are to be read, in the order of the file."""
    starts = _starts(found, wanted)
    of_split = split_names(starts)
    wanted.check_splits(path, of_split.values())
    inside = {start: [n for key in found if (n := _within(key, start))] for start in starts}
    wanted.chosen(path, dict.fromkeys(name for names in inside.values() for name in names))
    for start, name in of_split.items():
        if not wanted.splits or name in wanted.splits:
            own = {m: key for m in wanted.modalities if (key := key_of(m, inside[start]))}
            keys = {m: f"{start}_{key}" if start else key for m, key in own.items()}
            yield from _of_split(path, (start, name), keys, found, wanted)


def one(path: Path, found: arrays.Arrays, wanted: Wanted) -> dict[str, np.ndarray]:
    """The features [t, f] of the only sample of a file, by modality."""
    chosen = wanted.chosen(path, found)
    whole = {m: found[key] for m, key in chosen.items()}
    return _alone(path, whole, _lengths(found, chosen), wanted)


def _alone(
    where: Any, whole: Mapping[str, Any], lengths: Mapping[str, Any], wanted: Wanted
) -> dict[str, np.ndarray]:
    features = {m: parts.frames_of(x, m, wanted, where) for m, x in whole.items()}
    for m, x in features.items():
        if x.ndim != 2:
            raise DataError(f"{where}: {m} has shape {x.shape}; expected [t, f] of one sample")
    wanted.check_widths(where, features)
    for m, length in lengths.items():
        valid, _ = frames.within_lengths(features[m][None], length, f"{where} {m}")
        features[m] = features[m][valid[0]]
    return features


def _starts(found: arrays.Arrays, wanted: Wanted) -> list[str]:
    """What keys of splits begin with, in the order of the file; "" where there are no splits."""
    if any(name in found for name in wanted.names):
        return [""]
    ends = [f"_{name}" for name in wanted.names]
    starts = dict.fromkeys(key.removesuffix(e) for key in found for e in ends if key.endswith(e))
    # Of train_raw_text beside train_audio the split is train.
    return [s for s in starts if not any(s.startswith(f"{o}_") for o in starts)] or [""]


def _within(key: str, start: str) -> str:
    """The name of an array in a split; empty if it is of another one."""
    if not start:
        return key
    return key.removeprefix(f"{start}_") if key.startswith(f"{start}_") else ""


def _of_split(
    path: Path,
    split: tuple[str, str],
    keys: Mapping[str, str],
    found: arrays.Arrays,
    wanted: Wanted,
) -> Iterator[Split]:
    start, name = split
    where = f"{path}, split {name!r}" if name else str(path)
    key = f"{start}_id" if start else "id"
    known = frames.as_ids(np.atleast_1d(found[key])) if key in found else None
    lengths = _lengths(found, keys)
    with ExitStack() as stack:
        rows = {m: stack.enter_context(found.rows(key)) for m, key in keys.items()}
        flat = {len(of.shape) + (m in wanted.tokens) for m, of in rows.items()} == {2}
        if flat and not name and (known is None or len(known) == 1):
            whole = {m: of.next(of.shape[0]) for m, of in rows.items()}
            own = path.stem if known is None else known[0]
            yield parts.from_samples([(own, _alone(where, whole, lengths, wanted))], wanted, where)
            return
        if flat and name and name not in SPLITS and known is None:
            shapes = ", ".join(f"{m} {of.shape}" for m, of in rows.items())
            raise DataError(
                f"{where}: found the shapes {shapes}, which can be [n, f] of n samples or [t, f] "
                "of one; expected [n, t, f], or ids beside them, or one file a sample"
            )
        n = _count(where, rows)
    if known is not None and len(known) != n:
        raise DataError(f"{where}: {len(known)} ids, {n} samples; expected one id a sample")
    in_front = _in_front(where, keys, lengths, found, wanted)
    for taken, features in _pieces(where, keys, found, n, wanted):
        valid = {}
        for m, x in features.items():
            if m in lengths:
                own_lengths = lengths[m][taken]
                valid[m], _ = frames.within_lengths(x, own_lengths, f"{where} {m}", in_front[m])
            else:
                valid[m] = frames.span(frames.filled(x))
        numbered = [f"{name or path.stem}/{i}" for i in range(n)[taken]]
        own_ids = np.array(numbered) if known is None else known[taken]
        yield parts.from_valid(own_ids, features, valid, wanted, where)


def _pieces(
    where: str, keys: Mapping[str, str], found: arrays.Arrays, n: int, wanted: Wanted
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """The features of some samples at a time, and which they are."""
    with ExitStack() as stack:
        rows = {m: stack.enter_context(found.rows(key)) for m, key in keys.items()}
        for first in range(0, n, wanted.rows):
            count = min(wanted.rows, n - first)
            yield (
                slice(first, first + count),
                {m: parts.sequences_of(of.next(count), m, wanted, where) for m, of in rows.items()},
            )


def _in_front(
    where: str,
    keys: Mapping[str, str],
    lengths: Mapping[str, np.ndarray],
    found: arrays.Arrays,
    wanted: Wanted,
) -> dict[str, bool]:
    """Whether padding is at the front, which all samples of a split decide together."""
    counts = dict.fromkeys(lengths, (0, 0))
    n = min(map(len, lengths.values()), default=0)
    for m in lengths:
        for taken, features in _pieces(where, {m: keys[m]}, found, n, wanted):
            lost = frames.lost_beyond(features[m], lengths[m][taken], f"{where} {m}")
            counts[m] = counts[m][0] + lost[0], counts[m][1] + lost[1]
    return {m: front < end for m, (end, front) in counts.items()}


def _lengths(found: arrays.Arrays, keys: Mapping[str, str]) -> dict[str, np.ndarray]:
    return {
        m: np.atleast_1d(frames.as_numbers(found[f"{key}_lengths"], f"the lengths of {m}"))
        for m, key in keys.items()
        if f"{key}_lengths" in found
    }


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
