"""Exact Shapley values: what each player adds to a value, averaged over all orders of joining.

Source: Shapley (1953), "A value for n-person games"; weights as in its formula (13).
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import factorial

import numpy as np

MOST_PLAYERS = 10
"""Above it there are more than a thousand subsets."""


def shapley_values(
    value: Callable[[tuple[str, ...]], np.ndarray], players: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What every player adds, and the value of nobody; both sum to the value of all.

    Args:
        value: of a subset of the players, in their order; arrays of one shape. It is asked for
            once for each of the 2^m subsets.
        players: m different names, at most `MOST_PLAYERS`.

    Raises:
        ValueError: there are too many.

    Example:
        >>> worth = {(): 0.0, ("a",): 1.0, ("b",): 0.0, ("a", "b"): 3.0}
        >>> added, nobody = shapley_values(lambda s: np.array(worth[s]), ["a", "b"])
        >>> {name: float(x) for name, x in added.items()}, float(nobody)
        ({'a': 2.0, 'b': 1.0}, 0.0)
    """
    m = len(players)
    if m > MOST_PLAYERS:
        raise ValueError(f"found {m} players, expected at most {MOST_PLAYERS}")
    subsets = [s for size in range(m + 1) for s in combinations(players, size)]
    worth = {subset: np.asarray(value(subset), np.float64) for subset in subsets}
    added = {player: np.zeros_like(worth[()]) for player in players}
    for subset in subsets:
        for player in players:
            if player not in subset:
                share = factorial(len(subset)) * factorial(m - len(subset) - 1) / factorial(m)
                joined = tuple(p for p in players if p in subset or p == player)
                added[player] += share * (worth[joined] - worth[subset])
    return added, worth[()]
