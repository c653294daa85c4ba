"""Subsets, and what is left of a sample that keeps one modality."""

import itertools

import numpy as np
import pytest

from fsrf_jax.subsets import all_subsets, keep_one_odds, modality_drop, subset_names, subset_odds


@pytest.mark.parametrize("modalities", [2, 3, 5])
def test_every_subset_once_and_none_empty(modalities):
    rows = all_subsets(modalities)
    assert rows.shape == (2**modalities - 1, modalities)
    assert len({tuple(row) for row in rows}) == len(rows)
    assert rows.any(axis=1).all()


def test_odds_by_name_in_any_order():
    names = ("a", "b", "c")
    np.testing.assert_array_equal(subset_odds(names, ()), np.ones(7))
    found = subset_odds(names, ((("c", "a"), 2.0), (("b",), 0.5)))
    for row, odds in zip(all_subsets(3), found, strict=True):
        chosen = tuple(itertools.compress(names, row))
        assert odds == {("a", "c"): 2, ("b",): 0.5}.get(chosen, 0)


@pytest.mark.parametrize(
    ("subset", "names"),
    [("all", ("b", "a", "c")), ("a", ("a",)), ("c+a", ("c", "a")), ("a+d", ("a", "d"))],
)
def test_names_of_a_subset(subset, names):
    assert subset_names(subset, ("b", "a", "c")) == names


@pytest.mark.parametrize(
    ("rate", "modalities", "drop"),
    [(0, 3, 0), (0.4, 3, 0.6), (2 / 3, 3, 1), (0.7, 3, 1), (0.25, 2, 0.5), (0.75, 4, 1), (1, 2, 1)],
)
def test_the_others_go_so_that_the_share_is_missing(rate, modalities, drop):
    found = modality_drop(rate, modalities)
    assert found == pytest.approx(drop)
    missing = found * (modalities - 1) / modalities
    assert missing == pytest.approx(min(rate, (modalities - 1) / modalities))


@pytest.mark.parametrize("drop", [0.0, 0.3, 1.0])
def test_what_is_left_of_h_modalities(drop):
    """Against all ways to keep one and to lose the others."""
    subsets = all_subsets(3)
    table = keep_one_odds(subsets, drop)
    for has in subsets:
        inside = [i for i, row in enumerate(subsets) if not (row & ~has).any()]
        expected = []
        for row in subsets[inside]:
            ways = [
                np.prod([1 - drop if row[m] else drop for m in np.flatnonzero(has) if m != kept])
                for kept in np.flatnonzero(row)
            ]
            expected.append(sum(ways) / has.sum())
        odds = table[has.sum(), inside]
        np.testing.assert_allclose(odds / odds.sum(), expected, atol=1e-6)
