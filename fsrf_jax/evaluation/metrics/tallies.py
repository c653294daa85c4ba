"""Every metric as a function of sums over samples, so that many resamples cost one product.

A resample counts each sample so many times. With these counts C [r, n] and a metric's columns X
[n, k], the sums C X [r, k] of all resamples give the metric of each: nothing is computed again.

Axis letters: n sample, r resample, k column, c class, e task.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fsrf_jax.data.labels import SMALLEST_PROBABILITY
from fsrf_jax.evaluation.metrics import regression, sims
from fsrf_jax.evaluation.metrics.figures import is_constant


class Tally(NamedTuple):
    """One metric.

    Attributes:
        columns: float64 [n, k].
        figure: sums of the columns [r, k] to the metric [r]; NaN where it is undefined.
    """

    columns: np.ndarray
    figure: Callable[[np.ndarray], np.ndarray]


Tallies = dict[str, Tally]


def tally_numbers(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """The metrics of `regression.regression_metrics`; two vectors [n]."""
    y_n, x_n = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    signed_n, all_n = y_n != 0, np.ones(len(y_n), bool)
    sides = {"non0": (x_n > 0, y_n > 0, signed_n), "has0": (x_n >= 0, y_n >= 0, all_n)}
    tallies = {"mae": _mean(np.abs(x_n - y_n)), "corr": _pearson(x_n, y_n)}
    for name, (predicted_n, true_n, counted_n) in sides.items():
        tallies[f"acc2_{name}"] = _mean(predicted_n == true_n, counted_n)
        tallies[f"f1_{name}"] = _weighted_f1(predicted_n, true_n, counted_n)
    for name, limit in (("acc5", 2), ("acc7", 3)):
        sides_n = [np.round(np.clip(side, -limit, limit)) for side in (x_n, y_n)]
        tallies[name] = _mean(sides_n[0] == sides_n[1])
    return {name: tallies[name] for name in regression.METRICS}


def tally_sims(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """The metrics of `fsrf_jax.evaluation.metrics.sims.sims_metrics`; two vectors [n]."""
    x_n, y_n = sims.clipped(predictions, labels)
    bins = {name: (sims.bin_of(x_n, name), sims.bin_of(y_n, name)) for name in sims.BINS}
    accuracies = {name: _mean(predicted == true) for name, (predicted, true) in bins.items()}
    tallies = {"mae": _mean(np.abs(x_n - y_n)), "corr": _pearson(x_n, y_n), **accuracies}
    tallies["f1"] = _weighted_f1(*bins["acc2"])
    return {name: tallies[name] for name in sims.METRICS}


def tally_classes(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """The metrics of `fsrf_jax.evaluation.metrics.classification.class_metrics`; [n, c] and [n]."""
    p_nc, true_n = np.asarray(predictions, np.float64), np.asarray(labels).astype(np.int64)
    predicted_n = p_nc.argmax(axis=1)
    p_true_n = np.take_along_axis(p_nc, true_n[:, None], axis=1)[:, 0]
    return {
        "accuracy": _mean(predicted_n == true_n),
        "balanced_accuracy": _balanced(predicted_n, true_n),
        "f1": _weighted_f1(predicted_n, true_n),
        "cross_entropy": _mean(_surprise(p_true_n)),
    }


def tally_tasks(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """The means of `fsrf_jax.evaluation.metrics.classification.binary_metrics`; both [n, e]."""
    p_ne, true_ne = np.asarray(predictions, np.float64), np.asarray(labels) > 0.5
    predicted_ne = p_ne > 0.5
    own = [_weighted_f1(a, b) for a, b in zip(predicted_ne.T, true_ne.T, strict=True)]
    widths = np.cumsum([tally.columns.shape[1] for tally in own])[:-1]

    def mean_f1(sums_rk: np.ndarray) -> np.ndarray:
        parts = zip(own, np.split(sums_rk, widths, axis=1), strict=True)
        return np.mean([tally.figure(part_rk) for tally, part_rk in parts], axis=0)

    return {
        "accuracy": _mean((predicted_ne == true_ne).mean(axis=1)),
        "f1": Tally(np.concatenate([tally.columns for tally in own], axis=1), mean_f1),
        "cross_entropy": _mean(_surprise(np.where(true_ne, p_ne, 1 - p_ne)).mean(axis=1)),
    }


def _surprise(p_true: np.ndarray) -> np.ndarray:
    return -np.log(np.clip(p_true, SMALLEST_PROBABILITY, 1.0))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotient of two arrays of one shape, NaN where the lower one is 0."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _mean(value_n: np.ndarray, counted_n: np.ndarray | None = None) -> Tally:
    """Mean of a value over the samples that count."""
    counted_n = np.ones(len(value_n)) if counted_n is None else counted_n.astype(np.float64)
    columns_nk = np.stack([value_n * counted_n, counted_n], axis=1)
    return Tally(columns_nk, lambda sums_rk: _ratio(sums_rk[:, 0], sums_rk[:, 1]))


def _by_class(
    predicted_n: np.ndarray, true_n: np.ndarray, counted_n: np.ndarray | None = None
) -> np.ndarray:
    """Hits, support and calls of every class that occurs, [n, 3c]."""
    class_c = np.unique(np.concatenate([predicted_n, true_n]))
    true_nc, called_nc = true_n[:, None] == class_c, predicted_n[:, None] == class_c
    columns_nk = np.concatenate([true_nc & called_nc, true_nc, called_nc], axis=1)
    return columns_nk * (1.0 if counted_n is None else counted_n[:, None])


def _weighted_f1(
    predicted_n: np.ndarray, true_n: np.ndarray, counted_n: np.ndarray | None = None
) -> Tally:
    def figure(sums_rk: np.ndarray) -> np.ndarray:
        hits_rc, support_rc, called_rc = np.split(sums_rk, 3, axis=1)
        f1_rc = np.nan_to_num(_ratio(2 * hits_rc, support_rc + called_rc))
        return _ratio((support_rc * f1_rc).sum(axis=1), support_rc.sum(axis=1))

    return Tally(_by_class(predicted_n, true_n, counted_n), figure)


def _balanced(predicted_n: np.ndarray, true_n: np.ndarray) -> Tally:
    """Mean recall of the classes that a resample has."""

    def figure(sums_rk: np.ndarray) -> np.ndarray:
        hits_rc, support_rc, _ = np.split(sums_rk, 3, axis=1)
        recall_rc = np.nan_to_num(_ratio(hits_rc, support_rc))
        return _ratio(recall_rc.sum(axis=1), np.count_nonzero(support_rc, axis=1))

    return Tally(_by_class(predicted_n, true_n), figure)


def _pearson(x_n: np.ndarray, y_n: np.ndarray) -> Tally:
    """Pearson correlation; the columns are centred, so that their squares lose no digits."""
    if not len(x_n) or is_constant(x_n) or is_constant(y_n):
        return Tally(np.zeros((len(x_n), 1)), lambda sums_rk: np.full(len(sums_rk), np.nan))
    a, b = ((side - side.mean()) / side.std() for side in (x_n, y_n))

    def figure(sums_rk: np.ndarray) -> np.ndarray:
        n, a, b, aa, bb, ab = sums_rk.T
        spread = (aa - a * a / n) * (bb - b * b / n)
        spread = np.where(spread > 1e-12 * n * n, spread, 0.0)  # rounding of a constant
        return np.clip(_ratio(ab - a * b / n, np.sqrt(spread)), -1, 1)

    return Tally(np.stack([np.ones(len(a)), a, b, a * a, b * b, a * b], axis=1), figure)
