"""Subsets of the modalities, and the odds of each to be what is left of a sample."""

import itertools
from collections.abc import Sequence

import numpy as np


def all_subsets(modalities: int) -> np.ndarray:
    """Every non-empty subset of m modalities as a row, bool [s, m]."""
    return np.array(list(itertools.product([False, True], repeat=modalities))[1:])


def subset_names(subset: str, modalities: tuple[str, ...]) -> tuple[str, ...]:
    """The modalities of a subset written as language+audio, or as `all`."""
    return modalities if subset == "all" else tuple(subset.split("+"))


def subset_odds(
    modalities: Sequence[str], odds: Sequence[tuple[tuple[str, ...], float]]
) -> np.ndarray:
    """The weight of each row of `all_subsets`, float32 [s]; all 1 where none is given."""
    subsets_sm = all_subsets(len(modalities))
    if not odds:
        return np.ones(len(subsets_sm), np.float32)
    named = {frozenset(names): weight for names, weight in odds}
    members = (frozenset(itertools.compress(modalities, row)) for row in subsets_sm)
    return np.array([named.get(subset, 0.0) for subset in members], np.float32)


def modality_drop(rate: float, modalities: int) -> float:
    """The probability of losing a modality beside the one that a sample keeps, in [0, 1].

    With it, a share `rate` of all modalities is missing in expectation: GCNet's missing rate
    MR = 1 - available / (M N) for N samples of M modalities. As each sample keeps one, no more
    than (M - 1) / M can be missing; a higher rate means that.

    Args:
        rate: in [0, 1].
        modalities: M, two or more.
    """
    return min(1.0, rate * modalities / (modalities - 1))


def keep_one_odds(subsets_sm: np.ndarray, drop: float) -> np.ndarray:
    """Odds [h, s] of each subset to be what is left of h modalities, h from 0 to m.

    Any of its k modalities may be the one that was kept, the k - 1 others were not dropped, and
    the h - k outside were: k (1 - drop)^(k - 1) drop^(h - k), up to a factor.
    """
    size_s, had_h = subsets_sm.sum(axis=1), np.arange(subsets_sm.shape[1] + 1)
    lost_hs = np.maximum(had_h[:, None] - size_s[None], 0)
    return (size_s * (1 - drop) ** (size_s - 1.0) * drop**lost_hs).astype(np.float32)
