"""Standard scores from the training split; they travel with the checkpoint.

Token ids, which are features of a whole-number type, stay as they are, and have no statistics.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsrf_jax.data.dataset import Split
from fsrf_jax.data.lazy import Lazy, as_array, pieces
from fsrf_jax.data.names import listed
from fsrf_jax.errors import DataError


@dataclass(frozen=True)
class Normaliser:
    """(x - mean) / scale in float64, clipped, as float32.

    Attributes:
        mean: float64 [f] per modality, each the sum of two float32, which is how it is stored: one
            alone is off by half the standard deviation of a column at 1e7 that varies by 1.
        scale: float32 [f] per modality, positive.
        clip: largest absolute value that comes out, in standard deviations.
    """

    mean: Mapping[str, np.ndarray]
    scale: Mapping[str, np.ndarray]
    clip: float

    def apply(self, split: Split) -> Split:
        """The split with standard scores, within +-clip; frames that are not present are zero.

        Features that stay in their file do so, and become scores whenever they are read.

        Raises:
            DataError: modalities or feature widths are not those of the training split.
        """
        numbers = _numbers(split)
        if set(numbers) != set(self.mean):
            raise DataError(
                f"the data have the modalities {listed(numbers)}, the training data had "
                f"{listed(self.mean)}; give the same ones (data.modalities)"
            )
        scores = {m: self._scores(m, x, split.present[m]) for m, x in numbers.items()}
        return dataclasses.replace(split, features={**split.features, **scores})

    def _scores(self, modality: str, x: np.ndarray, present: np.ndarray) -> np.ndarray:
        mean, scale = self.mean[modality], self.scale[modality]
        if x.shape[-1:] != mean.shape:
            raise DataError(
                f"{modality} has {x.shape[-1]} features, the training data had {mean.shape[0]}; "
                "give data with the same feature extraction"
            )

        def scored(x: np.ndarray, rows: np.ndarray | slice, out: np.ndarray) -> np.ndarray:
            z = x - mean[None, None]
            z /= scale[None, None]
            np.clip(z, -self.clip, self.clip, out=out)
            out[~present[rows]] = 0
            return out

        if isinstance(x, Lazy):
            read = x.map(lambda x, k: scored(x, k, np.empty_like(x)), x.shape[1:], np.float32)
            return as_array(read)
        scores = np.empty(x.shape, np.float32)
        for rows in pieces(x):
            scored(x[rows], rows, scores[rows])
        return scores

    def to_tree(self) -> dict[str, Any]:
        """Nested dictionaries of arrays, to be stored with a checkpoint."""
        parts = {m: _parts(mean) for m, mean in self.mean.items()}
        return {
            "mean": {m: high for m, (high, _) in parts.items()},
            "mean_rest": {m: low for m, (_, low) in parts.items()},
            "scale": dict(self.scale),
            "clip": np.asarray(self.clip, np.float32),
        }

    @classmethod
    def shaped(cls, widths: Mapping[str, int]) -> "Normaliser":
        """One for so many features of each modality, for a checkpoint to be read into."""
        empty = {m: np.zeros(width, np.float32) for m, width in widths.items()}
        return cls(empty, empty, 0.0)

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> "Normaliser":
        """The normaliser that `to_tree` made a tree of; the leaves may be arrays of any kind."""
        high, low, scale = (
            {m: np.asarray(values, np.float32) for m, values in tree[name].items()}
            for name in ("mean", "mean_rest", "scale")
        )
        mean = {m: _sum((high[m], low[m])) for m in high}
        return cls(mean, scale, float(tree["clip"]))


def _parts(mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 whose sum is the mean: arrays of a checkpoint are no float64."""
    high = mean.astype(np.float32)
    return high, (mean - high).astype(np.float32)


def _sum(parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return parts[0].astype(np.float64) + parts[1]


def fit(split: Split, clip: float) -> Normaliser:
    """Mean and standard deviation (population) of every feature over the frames that are present.

    Args:
        split: the training split.
        clip: largest absolute standard score to let through; positive.

    Returns:
        The normaliser; a feature that does not vary has scale 1.

    Raises:
        DataError: a modality has no frame in the split, or clip is not positive.
    """
    if not clip > 0:
        raise DataError(f"clip is {clip}; expected a positive number of standard deviations")
    for m, present in split.present.items():
        if not present.any():
            raise DataError(
                f"no training sample has modality {m}; nothing can be learnt about it: remove "
                "it from data.modalities, or pool samples that have it (data.folds)"
            )
    moments = {m: _mean_and_scale(x, split.present[m]) for m, x in _numbers(split).items()}
    # As it is stored, from the start: the clip of a restored normaliser is the same number.
    return Normaliser(
        {m: mean for m, (mean, _) in moments.items()},
        {m: scale for m, (_, scale) in moments.items()},
        float(np.float32(clip)),
    )


def _numbers(split: Split) -> dict[str, np.ndarray]:
    return {m: x for m, x in split.features.items() if x.dtype.kind == "f"}


def _mean_and_scale(x: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = moments(x, present)
    # What is below the rounding of float32 is no variation.
    limits = np.finfo(np.float32)
    varies = deviation > np.maximum(limits.eps * np.abs(mean), limits.tiny)
    return _sum(_parts(mean)), np.where(varies, deviation, 1).astype(np.float32)


def moments(x: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [f] over the frames that are present, of which there are some."""
    count, zeros = int(present.sum()), np.zeros(x.shape[-1])
    mean = sum((f.sum(axis=0) for f in frames_of(x, present)), zeros) / count
    square = sum((((f - mean) ** 2).sum(axis=0) for f in frames_of(x, present)), zeros)
    return mean, np.sqrt(square / count)


def frames_of(x: np.ndarray, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """The frames that a mask chooses, as float64 [k, f], some samples at a time."""
    for rows in pieces(x):  # so that float64 copies stay small
        with np.errstate(invalid="ignore"):  # a signalling NaN warns that it is one
            frames = x[rows][chosen[rows]].astype(np.float64)
        yield frames
