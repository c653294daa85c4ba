"""Raw arrays of a file as padded sequences, and which of their frames are real."""

from typing import Any

import numpy as np

from fsrf_jax.errors import DataError

_LONGEST_ID = 1000
_MOST_TEXT = 10**8


def as_sequences(values: Any, name: str) -> np.ndarray:
    """A file's array as numbers [n, t, f]; [n, f] becomes [n, 1, f].

    Raises:
        DataError: it is not an array of real numbers, or not of two or three axes.
    """
    array = as_numbers(values, name)
    if array.ndim == 2:
        array = array[:, None, :]
    if array.ndim != 3 or 0 in array.shape[1:]:
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
        array = np.array(values, object) if isinstance(values, list | tuple) else np.asarray(values)
        if array.dtype == object:
            # Text among numbers makes text of them all, each as long as the longest.
            texts = (len(item) for item in array.flat if isinstance(item, str | bytes))
            if max(texts, default=0) * array.size > _MOST_TEXT:
                raise TypeError("text")
            array = np.asarray(values)
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


def as_ids(values: Any) -> np.ndarray:
    """Ids of a file as str [n]; bytes are decoded as UTF-8.

    Raises:
        DataError: an id is longer than `_LONGEST_ID`.
    """
    flat = np.asarray(values, dtype=object).reshape(-1).tolist()
    texts = [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in flat]
    longest = max(map(len, texts), default=0)
    if longest > _LONGEST_ID:  # the array has as much room for each of them
        raise DataError(f"an id has {longest} characters; expected at most {_LONGEST_ID}")
    return np.array(texts, dtype=np.str_)


def filled(features: np.ndarray) -> np.ndarray:
    """Bool [n, t]: the frames of [n, t, f] with any feature that is not zero (NaN is not zero)."""
    return (features != 0).any(axis=-1)


def within_lengths(
    features: np.ndarray, lengths: Any, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The frames that the lengths of the sequences declare real.

    Padding is taken to be at the end, or at the front where that leaves out fewer frames that are
    not zero. A sequence that is zero all over has no valid frame: the sample lacks the modality.

    Args:
        features: [n, t, f].
        lengths: integers [n], each from 0 to t.
        name: of the features, for messages.

    Returns:
        Bool [n, t], and notes on what was assumed.

    Raises:
        DataError: the lengths do not fit the features.
    """
    n, t, _ = features.shape
    lengths_n1 = _checked_lengths(lengths, (n, t), name)[:, None]
    frame_1t = np.arange(t)[None, :]
    real = filled(features)
    end, front = frame_1t < lengths_n1, frame_1t >= t - lengths_n1
    lost_end, lost_front = (int((real & ~inside).sum()) for inside in (end, front))
    at_front = lost_front < lost_end
    valid, lost = (front, lost_front) if at_front else (end, lost_end)
    notes = [f"{name}: padding is at the front"] if at_front else []
    if lost:
        notes.append(f"{name}: {lost} frames beyond their sequence's length are not zero; left out")
    return valid & real.any(axis=1, keepdims=True), tuple(notes)


def _checked_lengths(lengths: Any, shape: tuple[int, int], name: str) -> np.ndarray:
    array = as_numbers(lengths, f"the lengths of {name}")
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
            f"(first: {array[first]} at sample {first}); expected whole numbers "
            f"from 0 to {shape[1]}"
        )
    return array.astype(np.int64)
