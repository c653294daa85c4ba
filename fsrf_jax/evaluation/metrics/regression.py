"""Metrics of sentiment regression, and the best figure that a constant prediction reaches.

The semantics are those of MMSA, the field's reference, with labels in [-3, 3].
"""

import numpy as np

from fsrf_jax.evaluation.metrics.figures import (
    Metrics,
    best_of,
    paired_vectors,
    pearson,
    swapped_f1,
    weighted_f1,
)

METRICS = ("mae", "corr", "acc2_non0", "f1_non0", "acc2_has0", "f1_has0", "acc5", "acc7")
LOWER_IS_BETTER = frozenset({"mae"})


def regression_metrics(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """Compute every metric of `METRICS`.

    - `mae`: mean absolute error; `corr`: Pearson, None if either side is constant.
    - `non0`: samples with label 0 are dropped; classes y > 0 and y < 0, prediction > 0.
    - `has0`: classes y >= 0 and y < 0, prediction >= 0.
    - `f1`: weighted by the supports of the true classes.
    - `acc5`, `acc7`: both sides clipped to [-2, 2] or [-3, 3] and rounded, half to even.

    Args:
        predictions: real [n].
        labels: real [n], finite.

    Returns:
        The figures by name; all None for n = 0, `non0` None where every label is 0.

    Raises:
        UserError: a prediction is not finite.
        ValueError: the arguments are not two vectors of one length.
    """
    predictions, labels = paired_vectors(predictions, labels)
    if not len(labels):
        return dict.fromkeys(METRICS)
    signed = labels != 0
    acc2_non0, f1_non0 = _binary(predictions[signed] > 0, labels[signed] > 0)
    acc2_has0, f1_has0 = _binary(predictions >= 0, labels >= 0)
    return {
        "mae": float(np.abs(predictions - labels).mean()),
        "corr": pearson(predictions, labels),
        "acc2_non0": acc2_non0,
        "f1_non0": f1_non0,
        "acc2_has0": acc2_has0,
        "f1_has0": f1_has0,
        "acc5": _rounded_accuracy(predictions, labels, 2),
        "acc7": _rounded_accuracy(predictions, labels, 3),
    }


def floor(labels: np.ndarray) -> Metrics:
    """Return, metric by metric, the best figure that any constant prediction gives.

    The candidates are -3, -2, .., 3 and the median of the labels: they reach every class of every
    accuracy and F1, and the median minimises the absolute error. `corr` is None.

    Args:
        labels: real [n], finite.
    """
    labels = np.asarray(labels, np.float64)
    if not len(labels):
        return dict.fromkeys(METRICS)
    tables = [
        regression_metrics(np.full(len(labels), candidate), labels)
        for candidate in (*range(-3, 4), np.median(labels))
    ]
    return best_of(tables, LOWER_IS_BETTER)


def swapped_metrics(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """`f1_non0_swapped` and `f1_has0_swapped`, see `swapped_f1`; None where F1 is undefined."""
    predictions, labels = paired_vectors(predictions, labels)
    signed = labels != 0
    sides = {
        "f1_non0_swapped": (predictions[signed] > 0, labels[signed] > 0),
        "f1_has0_swapped": (predictions >= 0, labels >= 0),
    }
    return {name: swapped_f1(*side) if len(side[0]) else None for name, side in sides.items()}


def swapped_floor(labels: np.ndarray) -> Metrics:
    """The best of `swapped_metrics` that any constant prediction gives, for labels [n]."""
    tables = [swapped_metrics(np.full(len(labels), sign), labels) for sign in (-1.0, 1.0)]
    return best_of(tables, ())


def _binary(predicted: np.ndarray, true: np.ndarray) -> tuple[float | None, float | None]:
    """Accuracy, and F1 weighted by the supports of the true classes, of two bool vectors [n]."""
    if not len(true):
        return None, None
    return float(np.mean(predicted == true)), weighted_f1(predicted, true)


def _rounded_accuracy(predictions: np.ndarray, labels: np.ndarray, limit: int) -> float:
    """Share of equal values after clipping to [-limit, limit] and rounding half to even."""
    predicted, true = (np.round(np.clip(x, -limit, limit)) for x in (predictions, labels))
    return float(np.mean(predicted == true))
