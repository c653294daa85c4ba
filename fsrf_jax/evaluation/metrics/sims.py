"""Metrics of CH-SIMS, whose labels lie in [-1, 1].

The semantics are those of MMSA, the field's reference: a 0 is negative, unlike in CMU-MOSI.
"""

import numpy as np

from fsrf_jax.evaluation.metrics import tallies
from fsrf_jax.evaluation.metrics.figures import Metrics, paired_vectors
from fsrf_jax.evaluation.metrics.tallies import Tallies, swapped_f1

METRICS = ("mae", "corr", "acc2", "f1", "acc3", "acc5")
LOWER_IS_BETTER = frozenset({"mae"})

# Upper ends, included, of all bins but the last.
BINS = {"acc2": (0.0,), "acc3": (-0.1, 0.1), "acc5": (-0.7, -0.1, 0.1, 0.7)}


def sims_metrics(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """Compute every metric of `METRICS`; both sides are clipped to [-1, 1] first.

    - `mae`: mean absolute error; `corr`: Pearson, None if either side is constant.
    - `acc2`: up to 0, above; `f1` of the same two, weighted by their true supports.
    - `acc3`: up to -0.1, up to 0.1, above.
    - `acc5`: up to -0.7, up to -0.1, up to 0.1, up to 0.7, above.

    Args:
        predictions: real [n].
        labels: real [n], finite.

    Returns:
        The figures by name; all None for n = 0.

    Raises:
        UserError: a prediction is not finite.
        ValueError: the arguments are not two vectors of one length.
    """
    return tallies.figures(tally_sims(predictions, labels))


def tally_sims(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """What `sims_metrics` counts; two vectors [n]."""
    x_n, y_n = clipped(predictions, labels)
    bins = {name: (bin_of(x_n, name), bin_of(y_n, name)) for name in BINS}
    found = {name: tallies.mean(predicted == true) for name, (predicted, true) in bins.items()}
    found |= {"mae": tallies.mean(np.abs(x_n - y_n)), "corr": tallies.pearson(x_n, y_n)}
    found["f1"] = tallies.weighted_f1(*bins["acc2"])
    return {name: found[name] for name in METRICS}


def constants(labels: np.ndarray) -> list[np.ndarray]:
    """As `regression.constants`: one value of each bin, and the median of the labels."""
    values = (-1.0, -0.4, 0.0, 0.4, 1.0, np.median(labels) if len(labels) else 0.0)
    return [np.full(len(labels), value, np.float64) for value in values]


def swapped_sims_metrics(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """`f1_swapped`, see `swapped_f1`; None for n = 0."""
    sides = [bin_of(side, "acc2") for side in clipped(predictions, labels)]
    return {"f1_swapped": swapped_f1(*sides)}


def clipped(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides in [-1, 1], float64 [n]; raises as `sims_metrics`."""
    predictions, labels = paired_vectors(predictions, labels)
    return np.clip(predictions, -1, 1), np.clip(labels, -1, 1)


def bin_of(values: np.ndarray, name: str) -> np.ndarray:
    """Number of the bin of each value [n], for a name of `BINS`; its upper end belongs to a bin.

    Labels come as float32, where 0.1 is a little more than 0.1: the ends are compared as float32.
    """
    ends = np.asarray(BINS[name], np.float32)
    return np.searchsorted(ends, np.asarray(values, np.float32), side="left")
