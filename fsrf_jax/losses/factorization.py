"""DHF: what makes a factorization of the codes; homogeneous codes agree, and nothing is shared.

Here and in `heterogeneous`, `noise` and `reconstruction`, a term takes the arrays of one view,
stacked over the modalities m in the order of their sorted names: apply `jax.vmap` for several
views. `available_mb` is float32 [m, b], 1 where a modality is available and else 0; `weights_b`
[b], at least 0, are the weights of the rows, and `weights_mb = available_mb * weights_b[None]`.
Every term is computed per modality with the weights `a_m w`, or per pair of modalities with
`a_m a_n w`, and averaged over the modalities or pairs that have any weight. What has no weight may
hold anything.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from fsrf_jax.losses.averaging import Term, mean_over
from fsrf_jax.losses.dependence import DEPENDENCE, Dependence
from fsrf_jax.losses.divergences import DIVERGENCES, Divergence

if TYPE_CHECKING:  # the registries are the only list of names
    DivergenceName = str
    DependenceName = str
else:
    DivergenceName = Literal[tuple(sorted(DIVERGENCES))]
    DependenceName = Literal[tuple(sorted(DEPENDENCE))]


@dataclass(frozen=True)
class HomogeneousOptions:
    """Homogeneous codes of one sample's modalities agree."""

    divergence: DivergenceName = "infonce"
    """What disagreement means."""


@dataclass(frozen=True)
class RedundancyOptions:
    """Homogeneous, heterogeneous and noise codes share nothing."""

    dependence: DependenceName = "cross_correlation"
    """What sharing means."""
    held: Literal["homogeneous", "none"] = "homogeneous"
    """Codes held still: homogeneous, so that the others give way to them, or none."""


def homogeneous(
    h_mbd: jax.Array, available_mb: jax.Array, weights_b: jax.Array, divergence: Divergence
) -> Term:
    """The homogeneous codes of a sample agree: mean over pairs of `divergence(H_m, H_n)`.

    Args:
        divergence: called with H_m, H_n and the pair's weights.

    Returns:
        The term; without weight where no sample has two modalities.
    """
    first, second = pairs(len(h_mbd))
    weights_pb = pair_weights(available_mb, weights_b)
    return mean_over(divergence, _entries(h_mbd, first), _entries(h_mbd, second), weights_pb)


def redundancy(
    h_mbd: jax.Array,
    s_mbd: jax.Array,
    n_mbd: jax.Array | None,
    available_mb: jax.Array,
    weights_b: jax.Array,
    dependence: Dependence,
    *,
    hold_homogeneous: bool,
) -> Term:
    """No two codes share anything: the mean of a dependence over all active pairs of codes.

    The pairs are (H_m, S_m), (H_m, N_m), (S_m, N_m) of each modality and (S_m, S_n) of each pair of
    modalities, every pair counting the same: 12 for three modalities, or 6 if there are no N_m. The
    H_m are meant to agree.

    The value does not determine which of two codes is to give way. With H_m held still, it is the
    others that lose what H_m holds, however large the weight and however weak `homogeneous`.

    Args:
        dependence: called with two codes and the pair's weights.
        hold_homogeneous: no gradient reaches H_m.
    """
    if hold_homogeneous:
        h_mbd = jax.lax.stop_gradient(h_mbd)
    weights_pb = pair_weights(available_mb, weights_b)
    weights_mb = available_mb * weights_b[None]
    first, second = pairs(len(s_mbd))
    shared = [(_entries(s_mbd, first), _entries(s_mbd, second), weights_pb)]
    shared += [(h_mbd, s_mbd, weights_mb)]
    if n_mbd is not None:
        shared += [(h_mbd, n_mbd, weights_mb), (s_mbd, n_mbd, weights_mb)]
    return mean_over(dependence, *(jnp.concatenate(part) for part in zip(*shared, strict=True)))


def pairs(m: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second index [p] of all pairs of m modalities, the first below the second."""
    return np.triu_indices(m, k=1)


def pair_weights(available_mb: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Weights `a_m a_n w` of all pairs of modalities, [p, b] in the order of `pairs`."""
    chex.assert_rank(weights_b, 1)
    chex.assert_shape(available_mb, (None, len(weights_b)))
    first, second = pairs(len(available_mb))
    return _entries(available_mb, first) * _entries(available_mb, second) * weights_b[None]


def _entries(x_m: jax.Array, index_p: np.ndarray) -> jax.Array:
    """The entries [p, ..] of the leading axis with these numbers."""
    # Slices: the gradient of a gather is a scatter, which adds up in no fixed order on a GPU.
    return jnp.concatenate([x_m[:0], *(x_m[i : i + 1] for i in index_p.tolist())])
