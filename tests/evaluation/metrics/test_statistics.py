from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fsrf_jax.evaluation.metrics.statistics import (
    Difference,
    holm,
    paired_difference,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 12))
def test_paired_difference_against_the_formula(seed, n):
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=n)
    scores = reference + 0.3 + 0.5 * rng.normal(size=n)
    found = paired_difference(scores, reference)
    d = scores - reference
    error = d.std(ddof=1) / np.sqrt(n)
    half = stats.t.ppf(0.975, n - 1) * error
    np.testing.assert_allclose(found.mean, d.mean())
    np.testing.assert_allclose(found.p, 2 * stats.t.sf(abs(d.mean()) / error, n - 1), atol=1e-12)
    np.testing.assert_allclose((found.low, found.high), (d.mean() - half, d.mean() + half))


def test_one_pair_and_pairs_without_spread():
    assert paired_difference([2.0], [1.5]) == Difference(0.5, None, None, None)
    assert paired_difference([1.0, 2.0], [1.0, 2.0]) == Difference(0.0, 0.0, 0.0, 1.0)
    assert paired_difference([2.0, 3.0], [1.0, 2.0]) == Difference(1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(("scores", "reference"), [([], []), ([1.0], [1.0, 2.0])])
def test_scores_that_are_no_pairs(scores, reference):
    with pytest.raises(ValueError, match="expected pairs of scores"):
        paired_difference(scores, reference)
    with pytest.raises(ValueError, match="expected pairs of scores"):
        paired_difference(scores, reference, 0.2)


def test_folds_by_hand():
    """d = 1, 2, 3: mean 2, variance 1; its error is sqrt(1/3 + 1/4) with a test of a quarter."""
    found = paired_difference([1.0, 3.0, 5.0], [0.0, 1.0, 2.0], 0.25)
    error = np.sqrt(7 / 12)
    half = stats.t.ppf(0.975, 2) * error
    assert found.mean == 2.0
    np.testing.assert_allclose((found.low, found.high), (2 - half, 2 + half))
    np.testing.assert_allclose(found.p, 2 * stats.t.sf(2 / error, 2))
    # Wider than the t-test that takes folds for independent, which it is without a test share.
    plain = paired_difference([1.0, 3.0, 5.0], [0.0, 1.0, 2.0])
    assert found.low < plain.low
    assert found.p > plain.p
    bare = paired_difference([1.0, 3.0, 5.0], [0.0, 1.0, 2.0], 0.0)
    np.testing.assert_allclose((bare.low, bare.high, bare.p), (plain.low, plain.high, plain.p))


def test_one_fold_and_folds_without_spread():
    assert paired_difference([2.0], [1.5], 0.2) == Difference(0.5, None, None, None)
    assert paired_difference([1.0, 2.0], [1.0, 2.0], 0.2) == Difference(0.0, 0.0, 0.0, 1.0)
    assert paired_difference([2.0, 3.0], [1.0, 2.0], 0.2) == Difference(1.0, 1.0, 1.0, 0.0)


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None, "e": 0.005})
    expected = {"a": 0.03, "b": 0.06, "c": 0.06, "d": None, "e": 0.02}
    assert found.keys() == expected.keys()
    for name, p in expected.items():
        assert found[name] is None if p is None else np.isclose(found[name], p)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_values_and_bonferroni(values):
    raw = {str(i): p for i, p in enumerate(values)}
    corrected = holm(raw)
    for name, p in raw.items():
        assert p <= corrected[name] <= min(1.0, len(values) * p) + 1e-12
    order = sorted(raw, key=raw.get)
    assert all(corrected[a] <= corrected[b] for a, b in pairwise(order))
