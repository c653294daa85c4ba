"""How much of a figure is the choice of test samples: percentile bootstrap (Efron, 1979).

The units of the split are drawn anew, with replacement, as often as there are units. The same draws
serve every condition, metric and run, so that differences are paired. A unit is a group of samples
(speaker, video, person) where the data have groups, else a sample: samples then count as
independent, and if they are not, intervals are too narrow.

Axis letters: r resample, n sample, g group, s mask seed.
"""

from collections.abc import Callable

import numpy as np

from fsrf_jax.evaluation.metrics.tallies import Tallies

LEVEL = 0.95
"""Of the interval, between the percentiles 2.5 and 97.5."""

KEY = 0x5EED
DIGITS = 6  # beyond them sums depend on how a processor adds up

Interval = list[float] | None
"""Its two ends; None where the figure is undefined in any resample."""

Resamples = dict[str, dict[str, np.ndarray]]
"""Figures [r] in every resample, by condition and metric."""


def resample_counts(
    n: int, resamples: int, groups: np.ndarray | None = None, stream: int = 0
) -> np.ndarray:
    """How often each resample has each sample, float64 [r, n]; a function of the arguments alone.

    The numbers are raw words of Philox with a fixed key, modulo the number of units.

    Args:
        n: number of samples.
        resamples: r.
        groups: str [n], which are drawn as a whole; None draws samples.
        stream: other samples, such as those of another fold, are drawn from another one.
    """
    if groups is not None:
        names_g, group_n = np.unique(groups, return_inverse=True)
        return resample_counts(len(names_g), resamples, stream=stream)[:, group_n]
    words = np.random.Philox(key=KEY + stream).random_raw(resamples * n).reshape(resamples, n)
    drawn_rn = (words % np.uint64(max(n, 1))).astype(np.int64)
    rows = [np.bincount(drawn_n, minlength=n) for drawn_n in drawn_rn]
    return np.array(rows, np.float64).reshape(resamples, n)


def resampled(
    tally: Callable[[np.ndarray, np.ndarray], Tallies],
    predictions: np.ndarray,
    labels: np.ndarray,
    counts: np.ndarray,
) -> dict[str, np.ndarray]:
    """The mean over the mask seeds of every metric, in every resample.

    Args:
        tally: of the family of metrics, see `fsrf_jax.evaluation.metrics.tallies`.
        predictions: [s, n] or [s, n, o].
        labels: [n] or [n, o].
        counts: [r, n], see `resample_counts`.

    Returns:
        float64 [r] by metric, NaN where it is undefined.
    """
    if (predictions == predictions[:1]).all():  # nothing was random
        predictions = predictions[:1]
    by_seed = [_of_seed(tally(p, labels), counts) for p in predictions]
    return {name: np.mean([table[name] for table in by_seed], axis=0) for name in by_seed[0]}


def interval(values: np.ndarray) -> Interval:
    """Percentile interval of a figure in every resample [r], rounded to 6 digits."""
    if np.isnan(values).any():
        return None
    ends = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return [round(float(end), DIGITS) + 0.0 for end in ends]


def two_sided_p(values: np.ndarray) -> float | None:
    """Chance of so large a difference where there is none, from its resamples [r].

    Twice the share of resamples on the other side of 0, itself counted as one of them (Davison &
    Hinkley, 1997), so never below 2 / (r + 1); None where a resample is undefined.
    """
    if np.isnan(values).any():
        return None
    sides = np.count_nonzero(values <= 0), np.count_nonzero(values >= 0)
    return min(1.0, 2 * (min(sides) + 1) / (len(values) + 1))


def _of_seed(tallies: Tallies, counts_rn: np.ndarray) -> dict[str, np.ndarray]:
    """All metrics from one product."""
    columns_nk = np.concatenate([tally.columns for tally in tallies.values()], axis=1)
    ends = np.cumsum([tally.columns.shape[1] for tally in tallies.values()])[:-1]
    parts = np.split(counts_rn @ columns_nk, ends, axis=1)
    return {
        name: tally.figure(sums_rk)
        for (name, tally), sums_rk in zip(tallies.items(), parts, strict=True)
    }
