"""Every metric as a function of sums over samples, so that many resamples cost one product.

A resample counts each sample so many times. With these counts C [r, n] and a metric's columns X
[n, k], the sums C X [r, k] of all resamples give the metric of each: nothing is computed again. The
figure of the samples themselves is that of the one resample which counts each of them once. Here,
and nowhere else, is what a metric means.

Axis letters: n sample, r resample, k column, c class, e task.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fsrf_jax.data.labels import SMALLEST_PROBABILITY
from fsrf_jax.evaluation.metrics.figures import Metrics, is_constant


class Tally(NamedTuple):
    """One metric.

    Attributes:
        columns: float64 [n, k].
        figure: sums of the columns [r, k] to the metric [r]; NaN where it is undefined.
        swapped: of an F1, the same weighted by the *predicted* supports: a defect of public code,
            for comparison alone. It comes from calling a library with its two arguments exchanged,
            as MulT, MISA, MPLMM and the first TFR-Net do, and rewards a constant prediction.
    """

    columns: np.ndarray
    figure: Callable[[np.ndarray], np.ndarray]
    swapped: Callable[[np.ndarray], np.ndarray] | None = None


Tallies = dict[str, Tally]


def figures(tallies: Tallies) -> Metrics:
    """The figures of the samples as they are; None where one is undefined."""
    return {name: _of_all(tally.columns, tally.figure) for name, tally in tallies.items()}


def swapped_figures(tallies: Tallies) -> Metrics:
    """Every F1 weighted by the predicted supports, as `NAME_swapped`."""
    return {
        f"{name}_swapped": _of_all(tally.columns, tally.swapped)
        for name, tally in tallies.items()
        if tally.swapped is not None
    }


def _of_all(columns_nk: np.ndarray, figure: Callable[[np.ndarray], np.ndarray]) -> float | None:
    found = float(figure(columns_nk.sum(axis=0, keepdims=True))[0])
    return None if np.isnan(found) else found


def surprise(p_true: np.ndarray) -> np.ndarray:
    """-log p of what came true, in nats."""
    return -np.log(np.clip(p_true, SMALLEST_PROBABILITY, 1.0))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotient of two arrays of one shape, NaN where the lower one is 0."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def mean(value_n: np.ndarray, counted_n: np.ndarray | None = None) -> Tally:
    """Mean of a value over the samples that count."""
    counted_n = np.ones(len(value_n)) if counted_n is None else counted_n.astype(np.float64)
    columns_nk = np.stack([value_n * counted_n, counted_n], axis=1)
    return Tally(columns_nk, lambda sums_rk: ratio(sums_rk[:, 0], sums_rk[:, 1]))


def _by_class(
    predicted_n: np.ndarray, true_n: np.ndarray, counted_n: np.ndarray | None = None
) -> np.ndarray:
    """Hits, support and calls of every class that occurs, [n, 3c]."""
    class_c = np.unique(np.concatenate([predicted_n, true_n]))
    true_nc, called_nc = true_n[:, None] == class_c, predicted_n[:, None] == class_c
    columns_nk = np.concatenate([true_nc & called_nc, true_nc, called_nc], axis=1)
    return columns_nk * (1.0 if counted_n is None else counted_n[:, None])


def weighted_f1(
    predicted_n: np.ndarray, true_n: np.ndarray, counted_n: np.ndarray | None = None
) -> Tally:
    """F1 of each class that occurs, weighted by its true support."""

    def weighted_by(side: int) -> Callable[[np.ndarray], np.ndarray]:
        def figure(sums_rk: np.ndarray) -> np.ndarray:
            hits_rc, support_rc, called_rc = parts = np.split(sums_rk, 3, axis=1)
            f1_rc = np.nan_to_num(ratio(2 * hits_rc, support_rc + called_rc))
            return ratio((parts[side] * f1_rc).sum(axis=1), parts[side].sum(axis=1))

        return figure

    return Tally(_by_class(predicted_n, true_n, counted_n), weighted_by(1), weighted_by(2))


def mean_of_tallies(tallies: Sequence[Tally]) -> Tally:
    """The mean of several F1, as of binary tasks."""
    widths = np.cumsum([tally.columns.shape[1] for tally in tallies])[:-1]

    def mean_of(of_each: Sequence[Callable[[np.ndarray], np.ndarray] | None]) -> Any:
        def figure(sums_rk: np.ndarray) -> np.ndarray:
            parts = zip(of_each, np.split(sums_rk, widths, axis=1), strict=True)
            return np.mean([one(part_rk) for one, part_rk in parts if one], axis=0)

        return figure

    columns_nk = np.concatenate([tally.columns for tally in tallies], axis=1)
    of_figures, of_swapped = zip(*((tally.figure, tally.swapped) for tally in tallies), strict=True)
    return Tally(columns_nk, mean_of(of_figures), mean_of(of_swapped))


def balanced(predicted_n: np.ndarray, true_n: np.ndarray) -> Tally:
    """Mean recall of the classes that a resample has."""

    def figure(sums_rk: np.ndarray) -> np.ndarray:
        hits_rc, support_rc, _ = np.split(sums_rk, 3, axis=1)
        recall_rc = np.nan_to_num(ratio(hits_rc, support_rc))
        return ratio(recall_rc.sum(axis=1), np.count_nonzero(support_rc, axis=1))

    return Tally(_by_class(predicted_n, true_n), figure)


def pearson(x_n: np.ndarray, y_n: np.ndarray) -> Tally:
    """Pearson correlation; the columns are centred, so that their squares lose no digits."""
    if not len(x_n) or is_constant(x_n) or is_constant(y_n):
        return Tally(np.zeros((len(x_n), 1)), lambda sums_rk: np.full(len(sums_rk), np.nan))
    a, b = ((side - side.mean()) / side.std() for side in (x_n, y_n))

    def figure(sums_rk: np.ndarray) -> np.ndarray:
        n, a, b, aa, bb, ab = sums_rk.T
        spread = (aa - a * a / n) * (bb - b * b / n)
        spread = np.where(spread > 1e-12 * n * n, spread, 0.0)  # rounding of a constant
        return np.clip(ratio(ab - a * b / n, np.sqrt(spread)), -1, 1)

    return Tally(np.stack([np.ones(len(a)), a, b, a * a, b * b, a * b], axis=1), figure)
