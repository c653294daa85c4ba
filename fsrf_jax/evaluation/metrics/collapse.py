"""Has a model stopped looking at its input? And how much of what missing took does it give back?

Axis letters: s mask seed, n sample, o class or task, e task.
"""

from typing import TypedDict

import numpy as np

from fsrf_jax.evaluation.metrics.families import MetricFamily
from fsrf_jax.evaluation.metrics.figures import Metrics

TOLERANCE = 1e-9
"""A headline figure this little better than the floor is no better."""


class Collapse(TypedDict):
    """How close to a constant predictions are, see `collapse_monitor`."""

    majority_share: float | None
    floor_distance: float | None
    variance: float
    collapsed: bool
    sanity: bool


def collapse_monitor(
    predictions: np.ndarray,
    labels: np.ndarray,
    metrics: Metrics,
    floor: Metrics,
    family: MetricFamily,
    *,
    sanity: bool,
) -> Collapse:
    """How close to a constant the predictions under one condition are.

    Args:
        predictions: [s, n] or [s, n, o].
        labels: [n] or [n, e].
        metrics: under this condition, means over the mask seeds.
        floor: best figures of a constant prediction.
        family: of the metrics.
        sanity: nothing is observed, so that every model is constant.

    Returns:
        Means over the mask seeds of

        - `majority_share`: share of the samples that the headline metric looks at whose predicted
          class is the most frequently predicted one; of tasks their mean; None without a sample;
        - `floor_distance`: headline figure above (better than) the floor; None if undefined;
        - `variance`: of the predictions over the samples, of probabilities summed over them;

        and `collapsed`: the headline figure is no better than the floor, and `sanity`: nothing is
        observed, where nothing is called collapsed.
    """
    distance = gain(metrics, floor, family)
    shares = [majority_share(family.decided(p, labels)) for p in predictions]
    known = [share for share in shares if share is not None]
    return {
        "majority_share": float(np.mean(known)) if known else None,
        "floor_distance": distance,
        "variance": float(np.mean([total_variance(p) for p in predictions])),
        "collapsed": not sanity and distance is not None and distance <= TOLERANCE,
        "sanity": sanity,
    }


def gain(metrics: Metrics, floor: Metrics, family: MetricFamily) -> float | None:
    """How much better than the floor the headline figure is; None if either is undefined."""
    name = family.headline.metric
    found, least = metrics[name], floor[name]
    if found is None or least is None:
        return None
    return least - found if name in family.lower_is_better else found - least


def recovery(
    metrics: Metrics, complete: Metrics | None, floor: Metrics, family: MetricFamily
) -> float | None:
    """(score - floor) / (complete score - floor) of the headline figure.

    1: missing frames cost nothing; 0: a constant does as well; below 0: a constant does better.

    Args:
        metrics: under some condition.
        complete: with everything observed; None if the protocol has no such condition.
        floor: best figures of a constant prediction.
        family: of the metrics.

    Returns:
        None where a figure is undefined, or the complete score is no better than the floor.
    """
    found = gain(metrics, floor, family)
    whole = None if complete is None else gain(complete, floor, family)
    if found is None or whole is None or whole <= TOLERANCE:
        return None
    return found / whole


def majority_share(decided: np.ndarray) -> float | None:
    """Share of the most frequent value of [n], or its mean over the columns of [n, e]."""
    if not len(decided):
        return None
    columns = decided.reshape(len(decided), -1).T
    return float(
        np.mean([np.unique(x_n, return_counts=True)[1].max() / len(x_n) for x_n in columns])
    )


def total_variance(predictions: np.ndarray) -> float:
    """Variance over the samples of [n], or the sum of it over the columns of [n, o]."""
    return float(np.var(predictions.astype(np.float64), axis=0).sum())
