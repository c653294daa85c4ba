"""Maximum mean discrepancy: the distance of two distributions in the space of a kernel.

The contract that all divergences keep is in `divergences.py`.
"""

import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import proportions
from fsrf_jax.losses.codes import about_centre, prepare_pair, squared_distances


def mmd(
    x_bd: jax.Array,
    y_bd: jax.Array,
    weights_b: jax.Array,
    *,
    multiples: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0),
) -> jax.Array:
    """Squared maximum mean discrepancy (V-statistic) with Gaussian kernels of several widths.

    `sum_ij p_i p_j [k(x_i, x_j) + k(y_i, y_j) - 2 k(x_i, y_j)]`, where `k(u, v)` is the mean over
    the multiples c of `exp(-|u - v|^2 / (c s))` and s the mean squared distance between any two
    codes of the pooled sample (self-pairs included). s is a constant to the gradient: otherwise
    codes could come closer by spreading out. It makes the value independent of the codes' scale.
    Gretton et al. 2012, JMLR 13:723; several widths around the mean distance: Long et al. 2015
    (DAN, arXiv:1502.02791). It cannot see which row belongs to which. Two batches of b rows of one
    distribution are about 1 / b apart, not 0.

    Args:
        multiples: the widths, as multiples of s.

    Returns:
        A scalar in [0, 2] up to rounding; 0 for equal samples.
    """
    x_bd, y_bd, weights_b = prepare_pair(x_bd, y_bd, weights_b)
    p_b = proportions(weights_b)
    x_bd, y_bd, scale = about_centre(x_bd, y_bd, weights_b)

    def mean_kernel(u_bd: jax.Array, v_bd: jax.Array) -> jax.Array:
        relative_bb = squared_distances(u_bd, v_bd) / scale
        widths_c11 = jnp.array(multiples, u_bd.dtype)[:, None, None]
        kernel_bb = jnp.mean(jnp.exp(-relative_bb[None, :, :] / widths_c11), axis=0)
        return jnp.sum(p_b[:, None] * p_b[None, :] * kernel_bb)

    return mean_kernel(x_bd, x_bd) + mean_kernel(y_bd, y_bd) - 2 * mean_kernel(x_bd, y_bd)
