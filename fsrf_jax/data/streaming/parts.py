"""Samples, as a part of some data has them, as a split with all modalities and labels of 0."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fsrf_jax.data import frames
from fsrf_jax.data.assemble import Raw, to_split
from fsrf_jax.data.dataset import Split
from fsrf_jax.data.streaming.wanted import Wanted

Sample = tuple[str, Mapping[str, np.ndarray]]
"""The id of a sample, and its features [t, f] by modality."""


def from_samples(samples: Sequence[Sample], wanted: Wanted, where: Any) -> Split:
    """Samples of any length; all of their frames are valid."""
    features, lengths = {}, {}
    for m in wanted.modalities:
        own = [x if (x := of.get(m)) is not None and len(x) else None for _, of in samples]
        if any(x is not None for x in own):
            features[m], counts = frames.padded(own, f"{where}: {m}")
            lengths[m] = ("", counts)
    wanted.check_widths(where, features)
    ids = [name for name, _ in samples]
    raw = Raw(np.zeros(len(ids), np.float32), {}, lengths, ids)
    absent = {m: (1, width) for m, width in wanted.widths.items()}
    return to_split(str(where), raw, features, absent, [])


def from_valid(
    ids: np.ndarray,
    features: Mapping[str, np.ndarray],
    valid: Mapping[str, np.ndarray],
    wanted: Wanted,
    where: Any,
) -> Split:
    """Sequences [n, t, f] whose valid frames [n, t] are known."""
    wanted.check_widths(where, features)
    n = len(ids)
    every, seen = {}, {}
    for m, width in wanted.widths.items():
        every[m] = features.get(m, np.zeros((n, 1, width), np.float32))
        seen[m] = valid.get(m, np.zeros((n, 1), bool))
    return Split(ids, every, seen, np.zeros(n, np.float32))


def frames_of(x: Any, m: str, wanted: Wanted, where: Any) -> np.ndarray:
    """The features [t, f] of one sample; token ids may be [t]."""
    array = frames.as_numbers(x, f"{where}: {m}")
    if m in wanted.tokens and array.ndim and array.size == max(array.shape):
        return array.reshape(-1, 1)
    return array


def sequences_of(x: Any, m: str, wanted: Wanted, where: Any) -> np.ndarray:
    """The features [n, t, f] of several samples; token ids may be [n, t]."""
    array = np.asarray(x)
    if m in wanted.tokens and array.ndim == 2:
        array = array[:, :, None]
    return frames.as_sequences(array, f"{where}: {m}")
