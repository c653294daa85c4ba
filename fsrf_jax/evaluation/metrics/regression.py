"""Metrics of sentiment regression.

The semantics are those of MMSA, the field's reference, with labels in [-3, 3].
"""

import numpy as np

from fsrf_jax.evaluation.metrics import tallies
from fsrf_jax.evaluation.metrics.figures import Metrics, paired_vectors
from fsrf_jax.evaluation.metrics.tallies import Tallies, swapped_f1

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
    return tallies.figures(tally_numbers(*paired_vectors(predictions, labels)))


def tally_numbers(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """What `regression_metrics` counts; two vectors [n]."""
    y_n, x_n = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    signed_n, all_n = y_n != 0, np.ones(len(y_n), bool)
    sides = {"non0": (x_n > 0, y_n > 0, signed_n), "has0": (x_n >= 0, y_n >= 0, all_n)}
    found = {"mae": tallies.mean(np.abs(x_n - y_n)), "corr": tallies.pearson(x_n, y_n)}
    for name, (predicted_n, true_n, counted_n) in sides.items():
        found[f"acc2_{name}"] = tallies.mean(predicted_n == true_n, counted_n)
        found[f"f1_{name}"] = tallies.weighted_f1(predicted_n, true_n, counted_n)
    for name, limit in (("acc5", 2), ("acc7", 3)):
        sides_n = [np.round(np.clip(side, -limit, limit)) for side in (x_n, y_n)]
        found[name] = tallies.mean(sides_n[0] == sides_n[1])
    return {name: found[name] for name in METRICS}


def constants(labels: np.ndarray) -> list[np.ndarray]:
    """Constant predictions [n] of which one is best, whatever the metric.

    -3, -2, .., 3 and the median of the labels: they reach every class of every accuracy and F1, and
    the median minimises the absolute error.
    """
    values = (*range(-3, 4), np.median(labels) if len(labels) else 0.0)
    return [np.full(len(labels), value, np.float64) for value in values]


def swapped_metrics(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """`f1_non0_swapped` and `f1_has0_swapped`, see `swapped_f1`; None where F1 is undefined."""
    predictions, labels = paired_vectors(predictions, labels)
    signed = labels != 0
    sides = {
        "f1_non0_swapped": (predictions[signed] > 0, labels[signed] > 0),
        "f1_has0_swapped": (predictions >= 0, labels >= 0),
    }
    return {name: swapped_f1(*side) for name, side in sides.items()}
