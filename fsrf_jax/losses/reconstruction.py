"""DHF, reconstruction: the codes of a modality together lose nothing of it.

So N_m has to hold what H_m and S_m do not. See `factorization` for weights and means.
"""

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, average
from fsrf_jax.losses.divergences import mse
from fsrf_jax.losses.factorization import modalities
from fsrf_jax.types import Auxiliary, ByModality, Codes


def own(codes: Codes, auxiliary: Auxiliary, target: ByModality, weights_b: jax.Array) -> Term:
    """H_m, S_m and N_m together give the modality back: mean squared error, mean over modalities.

    As in MISA (Hazarika et al. 2020, arXiv:2005.03545), from three codes as in MInD.

    Args:
        codes: the codes of one view; only `available` is used.
        auxiliary: its `reconstruction` is [b, f] per modality.
        target: [b, f] per modality: `mean_valid_frame`, or an encoding Z_m held still.
        weights_b: [b], at least 0.

    Returns:
        The term, at least 0.
    """
    # Modalities differ in their number of features, so these cannot be stacked.
    return average(
        [
            Term(mse(auxiliary.reconstruction[m], target[m], w), jnp.sum(w))
            for m, w in modalities(codes, weights_b)
        ]
    )


def crossed(codes: Codes, auxiliary: Auxiliary, target: ByModality, weights_b: jax.Array) -> Term:
    """H_n of another modality and S_m give modality m back: mean over all ordered pairs m, n.

    The crossed translation of HRLF (Li et al. 2024, NeurIPS). It asks the H to be exchangeable,
    beyond being alike; the noise code takes no part, so what no other modality knows of m, and
    S_m does not hold, is lost.

    Args:
        codes: the codes of one view; only `available` is used.
        auxiliary: its `reconstruction` is [b, m - 1, f] per modality: from H_n of every other
            modality, in the order of the sorted names.
        target: [b, f] per modality.
        weights_b: [b], at least 0.

    Returns:
        The term, at least 0; without weight where no sample has two modalities.
    """
    terms = []
    for m, w in modalities(codes, weights_b):
        for i, n in enumerate(n for n in sorted(codes.available) if n != m):
            both_b = w * codes.available[n]
            value = mse(auxiliary.reconstruction[m][:, i], target[m], both_b)
            terms.append(Term(value, jnp.sum(both_b)))
    return average(terms)


def mean_valid_frame(features_btf: jax.Array, valid_bt: jax.Array) -> jax.Array:
    """The mean of the valid frames of the complete input, the target of the default.

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
