"""Shapley values against their definition by orders, and the axioms that name them."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsrf_jax.evaluation.shapley import MOST_PLAYERS, shapley_values


def by_orders(worth, players):
    """The mean over all orders of what a player adds on arrival."""
    added = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        for i, player in enumerate(order):
            before = tuple(p for p in players if p in order[:i])
            after = tuple(p for p in players if p in order[: i + 1])
            added[player] = added[player] + (worth[after] - worth[before]) / len(orders)
    return added


def game(players, draw):
    subsets = [()]
    for player in players:
        subsets += [(*s, player) for s in subsets]
    return {s: draw() for s in subsets}


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(0, 2**31))
def test_they_are_the_mean_over_all_orders_and_sum_to_the_whole(m, seed):
    rng = np.random.default_rng(seed)
    players = [f"p{i}" for i in range(m)]
    worth = game(players, lambda: rng.normal(size=(3, 2)))
    asked = []

    def value(subset):
        asked.append(subset)
        return worth[subset]

    found, nobody = shapley_values(value, players)
    for player, added in by_orders(worth, players).items():
        np.testing.assert_allclose(found[player], added, atol=1e-12)
    np.testing.assert_allclose(sum(found.values()) + nobody, worth[tuple(players)], atol=1e-12)
    assert sorted(asked) == sorted(worth)  # each once


def test_who_adds_nothing_has_zero_and_equals_have_equal():
    found, nobody = shapley_values(lambda s: np.array(2.0 * ("a" in s) + 2 * ("b" in s)), "abc")
    assert {name: float(x) for name, x in found.items()} == {"a": 2, "b": 2, "c": 0}
    assert float(nobody) == 0
    alone, nobody = shapley_values(lambda s: np.array(len(s) + 1.0), ["a"])
    assert (float(alone["a"]), float(nobody)) == (1, 1)
    assert shapley_values(lambda s: np.array(4.0), [])[1] == 4


def test_too_many_are_refused():
    with pytest.raises(ValueError, match=f"expected at most {MOST_PLAYERS}"):
        shapley_values(lambda s: np.array(0.0), [str(i) for i in range(MOST_PLAYERS + 1)])
