"""Bayes-optimal figures of numbers that are not Gaussian given what is observed.

Of a Gaussian number one prediction, the mean, is best by every metric. Of others it depends on the
metric: each figure here is that of the prediction which is best by it.
"""

from collections.abc import Iterator

import numpy as np

from fsrf_jax.data.product import ProductPosterior
from fsrf_jax.evaluation.metrics.families import MetricFamily
from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.metrics.regression import BINS

# Of CMU-MOSI: labels clipped to [-3, 3] or [-2, 2] and rounded.
ROUNDED = {"acc5": 2, "acc7": 3}
# Of CH-SIMS: a number in each bin of `BINS`.
INSIDE = {"acc3": (-1.0, 0.0, 1.0), "acc5": (-1.0, -0.4, 0.0, 0.4, 1.0)}


def optimal_metrics(
    family: MetricFamily, posterior: ProductPosterior, labels: np.ndarray
) -> Metrics:
    """Every metric of the prediction that is best by it.

    - `corr`: the mean.
    - `mae`, and `acc2` of any kind: the median, which is positive exactly where P(y > 0) > 1/2.
    - `f1` of any kind: the median too; F1 has no best prediction of one sample by itself.
    - `acc3`, `acc5`, `acc7`: the most probable class.

    Args:
        family: of numbers.
        posterior: of the n samples.
        labels: [n].

    Returns:
        The figures of `family.compute`.
    """
    figures = family.compute(posterior.median(), labels)
    figures["corr"] = family.compute(posterior.mean, labels)["corr"]
    for name, cuts, values in _classes(family):
        likeliest = np.asarray(values)[posterior.classes(cuts).argmax(axis=1)]
        figures[name] = family.compute(likeliest, labels)[name]
    return figures


def _classes(family: MetricFamily) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, cut points and a number inside each class, of every accuracy of classes."""
    if family.name == "sims":
        for name, inside in INSIDE.items():
            # The metric compares as float32, like the labels.
            yield name, np.asarray(BINS[name], np.float32).astype(np.float64), np.asarray(inside)
        return
    for name, limit in ROUNDED.items():
        yield name, np.arange(-limit, limit) + 0.5, np.arange(-limit, limit + 1.0)
