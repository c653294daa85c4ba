"""The constraints that make a factorization of the codes (DHF), for one view.

Codes come without the view axis: apply `jax.vmap` for several views. Every term is computed per
modality m with the weights `a_m w` (available in this view, times the row's weight), or per pair
of modalities with `a_m a_n w`, and averaged over the modalities or pairs that have any weight.
"""

from collections.abc import Callable
from itertools import combinations

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, average, mean_over, weighted_mean, weighted_std
from fsrf_jax.losses.dependence import Dependence
from fsrf_jax.losses.divergences import Divergence, mse
from fsrf_jax.types import Auxiliary, ByModality, Codes

TaskLoss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def homogeneous(codes: Codes, weights_b: jax.Array, divergence: Divergence) -> Term:
    """The homogeneous codes of a sample agree: mean over pairs of `divergence(H_m, H_n)`.

    Args:
        codes: the codes of one view, [b, d] per modality.
        weights_b: [b], at least 0.
        divergence: called with H_m, H_n and the pair's weights.

    Returns:
        The term; without weight where no sample has two modalities.
    """
    chex.assert_rank(weights_b, 1)
    h = codes.homogeneous
    return mean_over(divergence, [(h[m], h[n], w) for m, n, w in _pairs(codes, weights_b)])


def heterogeneous(
    codes: Codes, auxiliary: Auxiliary, labels_b: jax.Array, weights_b: jax.Array, task: TaskLoss
) -> Term:
    """S_m adds what H_m lacks: the task loss of a head on [sg(H_m), S_m], mean over modalities.

    After the modality-specific heads of MISA (Hazarika et al. 2020) and ShaSpec (Wang et al. 2023).

    Args:
        codes: the codes of one view; only `available` is used.
        auxiliary: its `heterogeneous` is that head's prediction, [b] per modality.
        labels_b: [b].
        weights_b: [b], at least 0.
        task: called with prediction, labels and the modality's weights, all [b].

    Returns:
        The term.
    """
    chex.assert_rank([labels_b, weights_b], 1)
    s = auxiliary.heterogeneous
    return mean_over(task, [(s[m], labels_b, w) for m, w in _modalities(codes, weights_b)])


def noise(
    codes: Codes,
    auxiliary: Auxiliary,
    labels_b: jax.Array,
    weights_b: jax.Array,
    *,
    bound: float,
    floor: float,
) -> Term:
    """N_m says nothing of the label, and is not simply zero; mean over modalities.

    `sum_i p_i min(|c(N_i) - y_i|, bound) + mean_d max(0, floor - std_d(N_m))`. The model has put a
    gradient reversal before the head c (Ganin & Lempitsky 2015), so minimising this trains the head
    and works against it in N; the bound keeps the encoder from gaining without end. The second part
    is the variance hinge of VICReg (Bardes et al. 2022).

    Args:
        codes: the codes of one view; `noise` is [b, d] per modality.
        auxiliary: its `noise` is the reversed head's prediction, [b] per modality.
        labels_b: [b].
        weights_b: [b], at least 0.
        bound: the largest error that counts, in label units; half the label range.
        floor: the standard deviation that every dimension of N_m should have.

    Returns:
        The term, its value in [0, bound + floor].
    """
    chex.assert_rank([labels_b, weights_b], 1)

    def of_modality(n_bd: jax.Array, prediction_b: jax.Array, modality_b: jax.Array) -> jax.Array:
        chex.assert_equal_shape([prediction_b, labels_b, modality_b])
        error_b = jnp.minimum(jnp.abs(prediction_b - labels_b), bound)
        return weighted_mean(error_b, modality_b) + variance_floor(n_bd, modality_b, floor=floor)

    n, c = codes.noise, auxiliary.noise
    return mean_over(of_modality, [(n[m], c[m], w) for m, w in _modalities(codes, weights_b)])


def variance_floor(x_bd: jax.Array, weights_b: jax.Array, *, floor: float) -> jax.Array:
    """A code that varies too little, `mean_d max(0, floor - std_d(x))` (VICReg, 2022).

    Args:
        x_bd: [b, d].
        weights_b: [b], at least 0.
        floor: the standard deviation asked for.

    Returns:
        A scalar in [0, floor]; 0 without weight. At a constant column the gradient is 0.
    """
    chex.assert_rank([x_bd, weights_b], [2, 1])
    missing_d = jnp.maximum(floor - weighted_std(x_bd, weights_b), 0)
    return jnp.where(jnp.sum(weights_b) > 0, jnp.mean(missing_d), 0)


def redundancy(codes: Codes, weights_b: jax.Array, dependence: Dependence) -> Term:
    """No two codes share anything: the mean of a dependence over all active pairs of codes.

    The pairs are (H_m, S_m), (H_m, N_m), (S_m, N_m) of each modality and (S_m, S_n) of each pair of
    modalities, every pair counting the same: 12 for three modalities. The H_m are meant to agree.

    Args:
        codes: the codes of one view, [b, d] per modality.
        weights_b: [b], at least 0.
        dependence: called with two codes and the pair's weights.

    Returns:
        The term.
    """
    chex.assert_rank(weights_b, 1)
    s = codes.heterogeneous
    triples = [(s[m], s[n], w) for m, n, w in _pairs(codes, weights_b)]
    for m, w in _modalities(codes, weights_b):
        of_modality = codes.homogeneous[m], s[m], codes.noise[m]
        triples += [(x_bd, y_bd, w) for x_bd, y_bd in combinations(of_modality, 2)]
    return mean_over(dependence, triples)


def reconstruction(
    codes: Codes, auxiliary: Auxiliary, target: ByModality, weights_b: jax.Array
) -> Term:
    """H_m, S_m and N_m together give the modality back: mean squared error, mean over modalities.

    Args:
        codes: the codes of one view; only `available` is used.
        auxiliary: its `reconstruction` is [b, f] per modality.
        target: [b, f] per modality, see `mean_valid_frame`.
        weights_b: [b], at least 0.

    Returns:
        The term.
    """
    chex.assert_rank(weights_b, 1)
    # Modalities differ in their number of features, so these cannot be stacked.
    return average(
        [
            Term(mse(auxiliary.reconstruction[m], target[m], w), jnp.sum(w))
            for m, w in _modalities(codes, weights_b)
        ]
    )


def mean_valid_frame(features_btf: jax.Array, valid_bt: jax.Array) -> jax.Array:
    """The mean of the valid frames of the complete input, what `reconstruction` aims at.

    Args:
        features_btf: [b, t, f].
        valid_bt: bool [b, t].

    Returns:
        [b, f]; zeros for a sample without a valid frame.
    """
    chex.assert_rank([features_btf, valid_bt], [3, 2])
    chex.assert_equal_shape_prefix([features_btf, valid_bt], 2)
    total_bf = jnp.sum(jnp.where(valid_bt[:, :, None], features_btf, 0), axis=1)
    count_b = jnp.sum(valid_bt, axis=1, dtype=features_btf.dtype)
    return total_bf / jnp.maximum(count_b, 1)[:, None]


def _modalities(codes: Codes, weights_b: jax.Array) -> list[tuple[str, jax.Array]]:
    """Every modality with its weights [b]."""
    return [(m, available_b * weights_b) for m, available_b in sorted(codes.available.items())]


def _pairs(codes: Codes, weights_b: jax.Array) -> list[tuple[str, str, jax.Array]]:
    """Every pair of modalities with its weights [b]."""
    return [
        (m, n, codes.available[m] * codes.available[n] * weights_b)
        for m, n in combinations(sorted(codes.available), 2)
    ]
