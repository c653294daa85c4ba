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


def paired_difference(
    scores: Sequence[float], reference: Sequence[float], test_share: float = 0.0
) -> Difference:
    """Paired t-test (Student 1908) of two lists of scores, pair by pair.

    Its assumption is that the differences are normal; with five seeds it needs a mean difference
    of about 1.24 standard deviations to be below 0.05.

    Pairs of folds are not independent: their training sets overlap, and differences vary less than
    those of other data would. The corrected resampled t-test (Nadeau & Bengio 2003) has the
    variance s^2 (1/n + n_test / n_train) of their mean, in place of s^2 / n.

    Args:
        scores: n scores.
        reference: n scores of the same seeds, or folds.
        test_share: n_test / n_train of a fold; 0: pairs are independent.

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
    error = float(d.std(ddof=1)) * np.sqrt(1 / n + test_share)
    law = stats.t(df=n - 1)
    half = float(law.ppf(0.975)) * error
    return Difference(mean, mean - half, mean + half, 2 * float(law.sf(abs(mean) / error)))


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
