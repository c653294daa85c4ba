"""Resamples: sums give the metrics themselves, and a resample is what drawing anew would give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsrf_jax.evaluation.metrics.bootstrap import interval, resample_counts, resampled, two_sided_p
from fsrf_jax.evaluation.metrics.families import FAMILIES

HALVES = st.integers(-8, 8).map(lambda i: i / 2)


def _samples(name, seed, n=60):
    """Predictions that know something of the labels, with zeros and ties."""
    rng = np.random.default_rng(seed)
    if name == "class":
        return rng.dirichlet(np.ones(4), n).astype(np.float32), rng.integers(4, size=n)
    if name == "binary":
        return rng.random((n, 3)).astype(np.float32), rng.integers(2, size=(n, 3))
    labels = np.round(rng.normal(0.2, 1.3, n) * 2) / 2
    labels = labels / 4 if name == "sims" else labels
    return (labels + np.round(rng.normal(0, 0.5, n) * 4) / 4).astype(np.float32), labels


def _as_table(values, index):
    return {name: None if np.isnan(of[index]) else of[index] for name, of in values.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_resample_has_the_figures_of_the_samples_it_drew(name):
    family = FAMILIES[name]
    predictions, labels = _samples(name, 0)
    counts = resample_counts(len(labels), 7)
    found = resampled(family.tally, predictions[None], labels, counts)
    assert list(found) == list(family.names)
    for index, count_n in enumerate(counts):
        drawn = np.repeat(np.arange(len(labels)), count_n.astype(int))
        expected = family.compute(predictions[drawn], labels[drawn])
        assert _as_table(found, index) == pytest.approx({k: expected[k] for k in family.names})


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(["mosi", "sims"]),
    st.lists(st.tuples(HALVES, HALVES), min_size=1, max_size=12),
)
def test_all_samples_once_give_the_metrics_themselves(name, rows):
    """Whatever is undefined there is undefined here: constants, only zeros, one sample."""
    predictions, labels = np.array(rows).T
    found = resampled(FAMILIES[name].tally, predictions[None], labels, np.ones((1, len(labels))))
    expected = FAMILIES[name].compute(predictions, labels)
    assert _as_table(found, 0) == pytest.approx(expected, abs=1e-9)


def test_figures_are_means_over_the_mask_seeds():
    predictions, labels = _samples("mosi", 1)
    both, counts = np.stack([predictions, -predictions]), resample_counts(60, 5)
    found, one, other = (
        resampled(FAMILIES["mosi"].tally, p, labels, counts) for p in (both, both[:1], both[1:])
    )
    np.testing.assert_allclose(found["mae"], (one["mae"] + other["mae"]) / 2)


def test_resamples_are_fixed_whole_and_fair():
    counts = resample_counts(50, 400)
    assert (counts.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(counts, resample_counts(50, 400))
    np.testing.assert_array_equal(
        counts[:3, :5], [[2, 2, 2, 1, 0], [2, 0, 1, 0, 1], [1, 1, 2, 1, 1]]
    )
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.25)
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.03)


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=400)
    error = np.abs(rng.normal(size=400))
    found = resampled(
        FAMILIES["mosi"].tally, (labels + error)[None], labels, resample_counts(400, 2000)
    )
    low, high = interval(found["mae"])
    half = 1.96 * error.std() / 20
    assert [low, high] == pytest.approx([error.mean() - half, error.mean() + half], abs=0.1 * half)


def test_intervals_by_hand():
    values = np.arange(1001) / 1000
    assert interval(values) == [0.025, 0.975]
    assert interval(np.array([0.5, np.nan])) is None


def test_a_difference_is_paired_over_the_resamples():
    """A small difference on the same samples is certain, though each figure alone is not."""
    rng = np.random.default_rng(2)
    labels = rng.normal(size=200)
    error = np.abs(rng.normal(size=200)) + 0.1
    counts, tally = resample_counts(200, 500), FAMILIES["mosi"].tally
    worse = resampled(tally, (labels + error)[None], labels, counts)["mae"]
    better = resampled(tally, (labels + error - 0.02)[None], labels, counts)["mae"]
    assert interval(worse)[0] < interval(better)[1]
    assert interval(worse - better) == pytest.approx([0.02, 0.02], abs=1e-5)
    assert two_sided_p(worse - better) == pytest.approx(2 / 501)


def test_p_values_by_hand():
    assert two_sided_p(np.array([1.0, 1.0, -1.0])) == 1.0
    assert two_sided_p(np.array([1.0] * 99)) == 0.02
    assert two_sided_p(np.zeros(9)) == 1.0
    assert two_sided_p(np.array([1.0, np.nan])) is None
