"""DHF: what makes a factorization of the codes; homogeneous codes agree, and nothing is shared.

Codes come without the view axis: apply `jax.vmap` for several views. Here and in `heterogeneous`,
`noise` and `reconstruction`, every term is computed per modality m with the weights `a_m w`
(available in this view, times the row's weight), or per pair of modalities with `a_m a_n w`, and
averaged over the modalities or pairs that have any weight.
"""

from itertools import combinations

import chex
import jax

from fsrf_jax.losses.averaging import Term, mean_over
from fsrf_jax.losses.dependence import Dependence
from fsrf_jax.losses.divergences import Divergence
from fsrf_jax.types import Codes


def homogeneous(codes: Codes, weights_b: jax.Array, divergence: Divergence) -> Term:
    """The homogeneous codes of a sample agree: mean over pairs of `divergence(H_m, H_n)`.

    Args:
        codes: the codes of one view, [b, d] per modality.
        weights_b: [b], at least 0.
        divergence: called with H_m, H_n and the pair's weights.

    Returns:
        The term; without weight where no sample has two modalities.
    """
    h = codes.homogeneous
    return mean_over(divergence, [(h[m], h[n], w) for m, n, w in pairs(codes, weights_b)])


def redundancy(
    codes: Codes, weights_b: jax.Array, dependence: Dependence, *, hold_homogeneous: bool
) -> Term:
    """No two codes share anything: the mean of a dependence over all active pairs of codes.

    The pairs are (H_m, S_m), (H_m, N_m), (S_m, N_m) of each modality and (S_m, S_n) of each pair of
    modalities, every pair counting the same: 12 for three modalities. The H_m are meant to agree.

    The value does not say which of two codes is to give way. With H_m held still, it is the others
    that lose what H_m holds, however large the weight and however weak `homogeneous`.

    Args:
        codes: the codes of one view, [b, d] per modality.
        weights_b: [b], at least 0.
        dependence: called with two codes and the pair's weights.
        hold_homogeneous: no gradient reaches H_m.

    Returns:
        The term.
    """
    hold = jax.lax.stop_gradient if hold_homogeneous else lambda code_bd: code_bd
    s = codes.heterogeneous
    triples = [(s[m], s[n], w) for m, n, w in pairs(codes, weights_b)]
    for m, w in modalities(codes, weights_b):
        of_modality = hold(codes.homogeneous[m]), s[m], codes.noise[m]
        triples += [(x_bd, y_bd, w) for x_bd, y_bd in combinations(of_modality, 2)]
    return mean_over(dependence, triples)


def modalities(codes: Codes, weights_b: jax.Array) -> list[tuple[str, jax.Array]]:
    """Every modality with its weights [b]."""
    chex.assert_rank(weights_b, 1)
    return [(m, available_b * weights_b) for m, available_b in sorted(codes.available.items())]


def pairs(codes: Codes, weights_b: jax.Array) -> list[tuple[str, str, jax.Array]]:
    """Every pair of modalities with its weights [b]."""
    chex.assert_rank(weights_b, 1)
    return [
        (m, n, codes.available[m] * codes.available[n] * weights_b)
        for m, n in combinations(sorted(codes.available), 2)
    ]
