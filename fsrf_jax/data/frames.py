"""Raw arrays of a file as padded sequences, and which of their frames are real."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fsrf_jax.data.lazy import Lazy, as_array, pieces
from fsrf_jax.errors import DataError

_LONGEST_ID = 1000
_MOST_TEXT = 10**8


def as_sequences(values: Any, name: str) -> np.ndarray:
    """A file's array as numbers [n, t, f]; [n, f] becomes [n, 1, f].

    Raises:
        DataError: it is not an array of real numbers, or not of two or three axes.
    """
    if isinstance(values, Lazy) and values.ndim == 2:
        values = values.map(lambda x, _: x[:, None], (1, *values.shape[1:]), values.dtype)
    array = as_array(values) if isinstance(values, Lazy) else as_numbers(values, name)
    if array.ndim == 2:
        array = array[:, None, :]
    if array.ndim != 3 or 0 in array.shape[1:] or array.dtype.kind not in "biuf":
        raise DataError(
            f"{name} has shape {np.shape(values)}; expected [samples, frames, features] "
            "or [samples, features], with at least one frame and feature"
        )
    return array


def as_numbers(values: Any, name: str) -> np.ndarray:
    """A file's array or nested list as an array of real numbers.

    Raises:
        DataError: it holds anything else, such as sequences of unequal length.
    """
    try:
        array = _as_array(values, name)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise DataError(
            f"{name} is not one array of numbers; if its sequences differ in length, "
            "pad them with zeros to the longest and give the lengths beside them"
        ) from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {array.dtype}; expected real numbers")
    return array


def _as_array(values: Any, name: str) -> np.ndarray:
    """The array that NumPy makes of values, unless text in it would fill the memory."""
    array = np.array(values, object) if isinstance(values, list | tuple) else np.asarray(values)
    if array.dtype != object:
        return array
    # Text among numbers makes text of them all, each as long as the longest.
    texts = (len(item) for item in array.flat if isinstance(item, str | bytes))
    if max(texts, default=0) * array.size > _MOST_TEXT:
        raise DataError(f"{name} holds a text that is too long; expected numbers, or short names")
    return np.asarray(values)


def as_labels(values: Any, name: str) -> np.ndarray:
    """Labels of a file: numbers, or names of classes as str [n]; text of numbers is numbers.

    Raises:
        DataError: they are neither, or not one row a sample.
    """
    try:
        array = _as_array(values, name)
        mixed = array.dtype == object and any(isinstance(v, str | bytes) for v in array.flat)
        if array.dtype.kind in "US" or mixed:
            texts = as_ids(array.reshape(-1)).reshape(array.shape)
            try:
                array = np.where(texts == "", "nan", texts).astype(np.float64)
            except ValueError:
                array = texts
    except ValueError:
        array = values  # of unequal length
    if not (isinstance(array, np.ndarray) and array.dtype.kind == "U"):
        array = as_numbers(array, name)
    if not array.ndim:
        raise DataError(f"{name} is one value; expected one a sample, [n] or [n, tasks]")
    return array.reshape(-1) if array.size == len(array) else array


def as_ids(values: Any) -> np.ndarray:
    """Ids of a file as str [n]; bytes are decoded as UTF-8.

    Ids of several parts, [n, k], such as video, start and end, are joined by `$_$`.

    Raises:
        DataError: an id is longer than `_LONGEST_ID`.
    """
    parts = np.asarray(values, dtype=object)
    rows = parts.reshape(len(parts), -1).tolist() if parts.size else []
    texts = ["$_$".join(map(_text, row)) for row in rows]
    longest = max(map(len, texts), default=0)
    if longest > _LONGEST_ID:  # the array has as much room for each of them
        raise DataError(f"an id has {longest} characters; expected at most {_LONGEST_ID}")
    return np.array(texts, dtype=np.str_)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def padded(sequences: Sequence[Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of different length as one array, zero-padded at the end.

    Args:
        sequences: numbers [t, f], or [f] for one frame; None or an empty one is missing.
        name: of them, for messages.

    Returns:
        float32 [n, t, f] with the longest t, at least 1; and lengths [n].

    Raises:
        DataError: they are not of that shape, or differ in f.
    """
    arrays = [None if s is None or not len(s) else as_numbers(s, name) for s in sequences]
    arrays = [a[None] if a is not None and a.ndim == 1 else a for a in arrays]
    given = [a for a in arrays if a is not None]
    shapes = {a.shape[1:] for a in given}
    if len(shapes) > 1 or any(a.ndim != 2 for a in given):
        raise DataError(
            f"{name} has sequences of shapes {', '.join(map(str, sorted(a.shape for a in given)))}"
            "; expected [frames, features] with the same features in all"
        )
    lengths = np.array([0 if a is None else len(a) for a in arrays])
    width = next(iter(shapes))[0] if shapes else 1
    out = np.zeros((len(arrays), max([1, *lengths]), width), np.float32)
    with np.errstate(over="ignore"):
        for row, array in zip(out, arrays, strict=True):
            if array is not None:
                row[: len(array)] = array
    return out, lengths


def word_ids(words: Mapping[str, Iterable[Sequence[Any]]]) -> dict[str, list[np.ndarray]]:
    """Words of every split as token ids [t, 1].

    The words of `train` (of all splits where there is none) have the ids 2, 3, .. in sorted order;
    1 is any other word, 0 is padding.
    """
    texts = {
        split: [[_text(word) for word in of_sample] for of_sample in samples]
        for split, samples in words.items()
    }
    known = [texts["train"]] if "train" in texts else list(texts.values())
    vocabulary = sorted({word for samples in known for sample in samples for word in sample})
    id_of = {word: index for index, word in enumerate(vocabulary, 2)}
    return {
        split: [np.array([[id_of.get(word, 1)] for word in s]).reshape(-1, 1) for s in samples]
        for split, samples in texts.items()
    }


def filled(features: np.ndarray) -> np.ndarray:
    """Bool [n, t]: the frames of [n, t, f] with any feature that is not zero (NaN is not zero)."""
    if isinstance(features, Lazy):
        return np.concatenate([filled(features[rows]) for rows in pieces(features)])
    return (features != 0).any(axis=-1)


def span(real: np.ndarray) -> np.ndarray:
    """Bool [n, t]: from the first to the last real frame of each sequence."""
    seen, to_come = (np.maximum.accumulate(x, axis=1) for x in (real, real[:, ::-1]))
    return seen & to_come[:, ::-1]


def within_lengths(
    features: np.ndarray, lengths: Any, name: str, at_front: bool | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The frames that the lengths of the sequences declare real.

    Padding is taken to be at the end, or at the front where that leaves out fewer frames that are
    not zero. A sequence that is zero all over has no valid frame: the sample lacks the modality.

    Args:
        features: [n, t, f].
        lengths: integers [n], each from 0 to t.
        name: of the features, for messages.
        at_front: whether padding is at the front, where that is known.

    Returns:
        Bool [n, t], and notes on what was assumed.

    Raises:
        DataError: the lengths do not fit the features.
    """
    real = filled(features)
    end, front = _sides(features, lengths, name)
    lost_end, lost_front = (int((real & ~inside).sum()) for inside in (end, front))
    if at_front is None:
        at_front = lost_front < lost_end
    valid, lost = (front, lost_front) if at_front else (end, lost_end)
    notes = [f"{name}: padding is at the front"] if at_front else []
    if lost:
        notes.append(f"{name}: {lost} frames beyond their sequence's length are not zero; left out")
    return valid & real.any(axis=1, keepdims=True), tuple(notes)


def lost_beyond(features: np.ndarray, lengths: Any, name: str) -> tuple[int, int]:
    """How many frames that are not zero are left out where padding is at the end, and in front."""
    real = filled(features)
    end, front = _sides(features, lengths, name)
    return int((real & ~end).sum()), int((real & ~front).sum())


def _sides(features: np.ndarray, lengths: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    n, t, _ = features.shape
    lengths_n1 = _checked_lengths(lengths, (n, t), name)[:, None]
    frame_1t = np.arange(t)[None, :]
    return frame_1t < lengths_n1, frame_1t >= t - lengths_n1


def _checked_lengths(lengths: Any, shape: tuple[int, int], name: str) -> np.ndarray:
    array = np.atleast_1d(as_numbers(lengths, f"the lengths of {name}"))
    if array.size == len(array):
        array = array.reshape(-1)
    if array.shape != shape[:1]:
        raise DataError(
            f"{name} has {shape[0]} samples, but its lengths have shape {array.shape}; "
            "expected one length a sample"
        )
    wrong = (array < 0) | (array > shape[1]) | (array != np.floor(array))
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(
            f"{name} has {shape[1]} frames, but {int(wrong.sum())} of its lengths do not fit "
            f"(first: {array[first]:g} at sample {first}); expected whole numbers "
            f"from 0 to {shape[1]}"
        )
    return array.astype(np.int64)
