"""Metrics of sentiment as a number: those of CMU-MOSI, labels in [-3, 3], and of CH-SIMS, [-1, 1].

The semantics are those of MMSA, the field's reference.
"""

import numpy as np

from fsrf_jax.evaluation.metrics import tallies
from fsrf_jax.evaluation.metrics.figures import Metrics, check_finite
from fsrf_jax.evaluation.metrics.tallies import Tallies

METRICS = ("mae", "corr", "acc2_non0", "f1_non0", "acc2_has0", "f1_has0", "acc5", "acc7")
SIMS_METRICS = ("mae", "corr", "acc2", "f1", "acc3", "acc5")
LOWER_IS_BETTER = frozenset({"mae"})

# Of CH-SIMS: upper ends, included, of all bins but the last.
BINS = {"acc2": (0.0,), "acc3": (-0.1, 0.1), "acc5": (-0.7, -0.1, 0.1, 0.7)}


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
    return tallies.figures(tally_numbers(predictions, labels))


def sims_metrics(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """Compute every metric of `SIMS_METRICS`; both sides are clipped to [-1, 1] first.

    - `mae`, `corr`: as in `regression_metrics`.
    - `acc2`: up to 0, above: a 0 is negative, unlike in CMU-MOSI; `f1` of the same two, weighted by
      their true supports.
    - `acc3`: up to -0.1, up to 0.1, above.
    - `acc5`: up to -0.7, up to -0.1, up to 0.1, up to 0.7, above.

    Arguments and errors are those of `regression_metrics`; all None for n = 0.
    """
    return tallies.figures(tally_sims(predictions, labels))


def tally_numbers(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """What `regression_metrics` counts; two vectors [n]."""
    x_n, y_n = _vectors(predictions, labels)
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


def tally_sims(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """What `sims_metrics` counts; two vectors [n]."""
    x_n, y_n = (np.clip(side, -1, 1) for side in _vectors(predictions, labels))
    bins = {name: (bin_of(x_n, name), bin_of(y_n, name)) for name in BINS}
    found = {name: tallies.mean(predicted == true) for name, (predicted, true) in bins.items()}
    found |= {"mae": tallies.mean(np.abs(x_n - y_n)), "corr": tallies.pearson(x_n, y_n)}
    found["f1"] = tallies.weighted_f1(*bins["acc2"])
    return {name: found[name] for name in SIMS_METRICS}


def bin_of(values: np.ndarray, name: str) -> np.ndarray:
    """Number of the bin of each value [n], for a name of `BINS`; its upper end belongs to a bin.

    Labels come as float32, where 0.1 is a little more than 0.1: the ends are compared as float32.
    """
    ends = np.asarray(BINS[name], np.float32)
    return np.searchsorted(ends, np.asarray(values, np.float32), side="left")


def constants(labels: np.ndarray) -> list[np.ndarray]:
    """Constant predictions [n] of which one is best, whatever the metric.

    -3, -2, .., 3 and the median of the labels: they reach every class of every accuracy and F1, and
    the median minimises the absolute error.
    """
    return _constants(labels, range(-3, 4))


def sims_constants(labels: np.ndarray) -> list[np.ndarray]:
    """As `constants`: one value of each bin, and the median of the labels."""
    return _constants(labels, (-1.0, -0.4, 0.0, 0.4, 1.0))


def _constants(labels: np.ndarray, values: range | tuple[float, ...]) -> list[np.ndarray]:
    median = np.median(labels) if len(labels) else 0.0
    return [np.full(len(labels), value, np.float64) for value in (*values, median)]


def _vectors(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [n]."""
    x_n, y_n = np.asarray(predictions, np.float64), np.asarray(labels, np.float64)
    if x_n.ndim != 1 or x_n.shape != y_n.shape:
        raise ValueError(
            f"expected predictions and labels of one shape [n], found {x_n.shape} and {y_n.shape}"
        )
    check_finite(x_n)
    return x_n, y_n
