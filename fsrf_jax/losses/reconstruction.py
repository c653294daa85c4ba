"""DHF, reconstruction: the codes of a modality together lose nothing of it.

So N_m has to hold what H_m and S_m do not. See `factorization` for weights and means; modalities
differ in their number of features, so what is decoded comes by name, and row i of `weights_mb` or
`available_mb` belongs to the i-th of the sorted names.
"""

from dataclasses import dataclass
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, average
from fsrf_jax.losses.divergences import mse
from fsrf_jax.types import ByModality


@dataclass(frozen=True)
class ReconstructionOptions:
    """The codes together give back the modality."""

    target: Literal["frames", "view", "complete"] = "frames"
    """Mean frame of the complete input (of token ids: of their embeddings); encoding of the
    same view, or of the complete view, which method.complete_view adds."""
    crossed: bool = False
    """Decode from another modality's homogeneous and the same modality's heterogeneous code."""


def direct(decoded: ByModality, target: ByModality, weights_mb: jax.Array) -> Term:
    """H_m, S_m and N_m together give the modality back: mean squared error, mean over modalities.

    As in MISA (Hazarika et al. 2020, arXiv:2005.03545), from three codes as in MInD.

    Args:
        decoded: [b, f] per modality, decoded from H_m, S_m and N_m.
        target: [b, f] per modality: `mean_frame`, or an encoding Z_m held still.

    Returns:
        The term, at least 0.
    """
    chex.assert_shape(weights_mb, (len(decoded), None))
    parts = zip(sorted(decoded), weights_mb, strict=True)
    return average([Term(mse(decoded[m], target[m], w_b), jnp.sum(w_b)) for m, w_b in parts])


def crossed(
    decoded: ByModality, target: ByModality, available_mb: jax.Array, weights_b: jax.Array
) -> Term:
    """H_n of another modality and S_m give modality m back: mean over all ordered pairs m, n.

    The crossed translation of HRLF (Li et al. 2024, NeurIPS). It asks the H to be exchangeable,
    beyond being alike; the noise code takes no part, so what no other modality knows of m, and
    S_m does not hold, is lost.

    Args:
        decoded: [b, m - 1, f] per modality: from S_m and the H_n of every other modality, in the
            order of the sorted names.
        target: [b, f] per modality.

    Returns:
        The term, at least 0; without weight where no sample has two modalities.
    """
    chex.assert_rank(weights_b, 1)
    chex.assert_shape(available_mb, (len(decoded), len(weights_b)))
    terms = []
    for i, m in enumerate(sorted(decoded)):
        for position, j in enumerate(j for j in range(len(decoded)) if j != i):
            both_b = available_mb[i] * available_mb[j] * weights_b
            terms.append(Term(mse(decoded[m][:, position], target[m], both_b), jnp.sum(both_b)))
    return average(terms)


def mean_frame(features_btf: jax.Array, present_bt: jax.Array) -> jax.Array:
    """The mean of the frames of the complete input, the target of the default.

    Args:
        features_btf: [b, t, f], for token ids see `fsrf_jax.models.encoder.target_frames`.
        present_bt: bool [b, t], which frames have data.

    Returns:
        [b, f]; zeros for a sample without a frame.
    """
    chex.assert_rank([features_btf, present_bt], [3, 2])
    chex.assert_equal_shape_prefix([features_btf, present_bt], 2)
    total_bf = jnp.sum(jnp.where(present_bt[:, :, None], features_btf, 0), axis=1)
    count_b = jnp.sum(present_bt, axis=1, dtype=features_btf.dtype)
    return total_bf / jnp.maximum(count_b, 1)[:, None]
