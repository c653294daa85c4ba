"""Is a difference between two methods more than the spread over seeds?

Scores come in pairs: the same training seed (and the same test masks) with either method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ROUNDING = 1e-12
"""Figures of order 1 that differ by less are equal: sums in another order differ so much."""


@dataclass(frozen=True)
class Difference:
    """A paired difference, and how sure it is.

    Attributes:
        mean: mean of `score - reference` over the pairs.
        low: lower end of the 95 % confidence interval; None for fewer than two pairs.
        high: upper end.
        p: two-sided p-value of the paired t-test; None for fewer than two pairs.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None


def paired_difference(scores: Sequence[float], reference: Sequence[float]) -> Difference:
    """Paired t-test (Student 1908) of two lists of scores, pair by pair.

    Its assumption is that the differences are normal; with five seeds it needs a mean difference
    of about 1.24 standard deviations to be below 0.05.

    Args:
        scores: n scores.
        reference: n scores of the same seeds.

    Raises:
        ValueError: the lists differ in length, or are empty.
    """
    d = np.asarray(scores, np.float64) - np.asarray(reference, np.float64)
    if len(scores) != len(reference) or not len(d):
        raise ValueError(f"expected pairs of scores, found {len(scores)} and {len(reference)}")
    mean, n = float(d.mean()), len(d)
    if n < 2:
        return Difference(mean, None, None, None)
    if np.ptp(d) <= ROUNDING:  # no spread: the test would divide by it
        return Difference(mean, mean, mean, 1.0 if abs(mean) <= ROUNDING else 0.0)
    test = stats.ttest_rel(scores, reference)
    interval = test.confidence_interval(0.95)
    return Difference(mean, float(interval.low), float(interval.high), float(test.pvalue))


def fold_difference(
    scores: Sequence[float], reference: Sequence[float], test_share: float
) -> Difference:
    """Corrected resampled t-test (Nadeau & Bengio 2003) of two methods over k folds.

    Training sets of different folds overlap, so that the differences of the folds vary less than
    those of independent data would; the variance of their mean is s^2 (1/k + n_test / n_train) in
    place of s^2 / k.

    Args:
        scores: k scores, one a fold.
        reference: k scores of the same folds.
        test_share: n_test / n_train of a fold, above 0.

    Raises:
        ValueError: the lists differ in length, or are empty.
    """
    d = np.asarray(scores, np.float64) - np.asarray(reference, np.float64)
    if len(scores) != len(reference) or not len(d):
        raise ValueError(f"expected pairs of scores, found {len(scores)} and {len(reference)}")
    mean, k = float(d.mean()), len(d)
    if k < 2:
        return Difference(mean, None, None, None)
    if np.ptp(d) <= ROUNDING:  # no spread: the test would divide by it
        return Difference(mean, mean, mean, 1.0 if abs(mean) <= ROUNDING else 0.0)
    error = float(d.std(ddof=1)) * np.sqrt(1 / k + test_share)
    half = float(stats.t.ppf(0.975, k - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, k - 1))
    return Difference(mean, mean - half, mean + half, p)


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """P-values corrected for how many there are (Holm 1979); None stays None.

    The chance that any of the differences that are nothing is called something stays at the level
    asked for, whatever their dependence.
    """
    known = sorted((p, name) for name, p in p_values.items() if p is not None)
    corrected: dict[str, float | None] = dict.fromkeys(p_values)
    largest = 0.0
    for rank, (p, name) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[name] = largest
    return corrected
