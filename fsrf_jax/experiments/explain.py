"""What a prediction owes to each modality and each frame, by the model's own missingness.

A modality, or a frame, is taken away as it is when it is missing: nothing else stands in for it.
Axis letters: n sample, t frame, o class or task.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fsrf_jax.data.dataset import Masks, Split
from fsrf_jax.evaluation.shapley import shapley_values

Values = Callable[[Masks], np.ndarray]
"""Predictions [n] or [n, o] of samples, given which of their frames are observed."""


class Explanation(NamedTuple):
    """What the predictions [n], or [n, o], of some samples owe to their parts.

    Attributes:
        nothing: the predictions with nothing observed.
        shapley: by modality, float [n] or [n, o]: exact Shapley values; their sum and `nothing`
            are the prediction. 0 for a modality of which nothing is there.
        occlusion: by modality, float [n, t] or [n, t, o]: by how much the prediction is lower
            without one frame; 0 for a frame that is not there.
    """

    nothing: np.ndarray
    shapley: dict[str, np.ndarray]
    occlusion: dict[str, np.ndarray]


def explain(values: Values, split: Split) -> Explanation:
    """Explain the predictions of samples: 2^m passes for m modalities, and one for each frame.

    Args:
        values: of these samples.
        split: the samples; of them only what is present is looked at.
    """
    shapley, nothing = modality_shapley(values, split.present)
    whole = np.asarray(values(split.present), np.float64)
    occlusion = {}
    for m, present in split.present.items():
        without = np.zeros((present.shape[1], *whole.shape))
        for t in np.flatnonzero(present.any(axis=0)):
            masked = present.copy()
            masked[:, t] = False
            without[t] = whole - values({**split.present, m: masked})
        occlusion[m] = np.where(
            present.reshape(*present.shape, *[1] * (whole.ndim - 1)), np.moveaxis(without, 0, 1), 0
        )
    return Explanation(nothing, shapley, occlusion)


def modality_shapley(values: Values, present: Masks) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Exact Shapley values of the modalities, and the predictions with nothing observed."""

    def of_subset(subset: tuple[str, ...]) -> np.ndarray:
        return values({m: p if m in subset else np.zeros_like(p) for m, p in present.items()})

    return shapley_values(of_subset, tuple(present))
