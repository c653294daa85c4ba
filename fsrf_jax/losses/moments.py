"""Divergences that compare moments of two distributions: means, variances, and higher ones.

They do not feel which row of x belongs to which row of y. The contract that all divergences keep is
in `divergences.py`.
"""

import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import column_means
from fsrf_jax.losses.codes import about_centre, centred, covariance, prepare_pair

# Rounding alone makes moments of numbers in (0, 1) differ by less than this.
SMALLEST_NORM = 1e-6


def cmd(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array, *, moments: int = 5) -> jax.Array:
    """Central moment discrepancy of the codes squashed into (0, 1) by the logistic function.

    `|E a - E b|_2 + sum_{k=2..moments} |c_k(a) - c_k(b)|_2`, where a and b are the squashed codes
    and c_k is the k-th central moment of every column. Zellinger et al. 2017, arXiv:1702.08811, for
    an interval of length 1. Raw codes have no such interval, and their fifth moments explode. It
    cannot see how columns vary together, and codes far beyond +-10 are saturated: they have no
    gradient. Two batches of b rows from one distribution are about 0.4 sqrt(d / b) apart, not 0.

    Args:
        moments: the highest k, at least 1.

    Returns:
        A scalar in [0, moments * sqrt(d)].
    """
    x_bd, y_bd, weights_b = prepare_pair(x_bd, y_bd, weights_b)
    x_bd, y_bd = jax.nn.sigmoid(x_bd), jax.nn.sigmoid(y_bd)
    total = _norm(column_means(x_bd, weights_b) - column_means(y_bd, weights_b))
    x_bd, y_bd = centred(x_bd, weights_b), centred(y_bd, weights_b)
    for k in range(2, moments + 1):
        total += _norm(column_means(x_bd**k, weights_b) - column_means(y_bd**k, weights_b))
    return total


def coral(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Correlation alignment: squared distance of the covariances, `|C_x - C_y|_F^2 / (4 d^2)`.

    Sun & Saenko 2016, arXiv:1607.01719, of codes whose entries have mean square 1 about the common
    centre: both are divided by one number, a constant to the gradient, so that the value does not
    depend on the codes' scale. It cannot see means: a shifted copy gives 0.

    Returns:
        A scalar in [0, 1]; small, about 1 / (2 b), for two batches of b rows of one distribution.
    """
    x_bd, y_bd, weights_b = _standardised(*prepare_pair(x_bd, y_bd, weights_b))
    x_bd, y_bd = centred(x_bd, weights_b), centred(y_bd, weights_b)
    c_dd = covariance(x_bd, x_bd, weights_b) - covariance(y_bd, y_bd, weights_b)
    return jnp.mean(jnp.square(c_dd)) / 4


def gaussian_kl(
    x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array, *, floor: float | jax.Array = 1e-3
) -> jax.Array:
    """Symmetrised KL divergence (Jeffreys 1946) of two diagonal Gaussians with the codes' moments.

    `mean_d 1/2 [KL(N_x || N_y) + KL(N_y || N_x)]
    = mean_d 1/4 [(v_x - v_y)^2 / (v_x v_y) + (m_x - m_y)^2 (1 / v_x + 1 / v_y)]`, with m the mean
    and v the variance plus `floor` of a column, of codes whose entries have mean square 1 about the
    common centre (see `coral`). It cannot see how columns vary together. Where a column hardly
    varies, small differences cost much: the floor bounds how much.

    Args:
        floor: added to every variance, as a share of the mean square; above 0.

    Returns:
        A scalar in [0, 2 / floor]; two points, or two collapsed codes, are 2 / floor apart.
    """
    x_bd, y_bd, weights_b = _standardised(*prepare_pair(x_bd, y_bd, weights_b))
    distance_d = column_means(x_bd, weights_b) - column_means(y_bd, weights_b)
    x_d = column_means(jnp.square(centred(x_bd, weights_b)), weights_b) + floor
    y_d = column_means(jnp.square(centred(y_bd, weights_b)), weights_b) + floor
    of_variances_d = jnp.square(x_d - y_d) / (x_d * y_d)
    of_means_d = jnp.square(distance_d) * (1 / x_d + 1 / y_d)
    return jnp.mean(of_variances_d + of_means_d) / 4


def _standardised(
    x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Both codes about their centre, divided by the root mean square of all their entries there."""
    x_bd, y_bd, scale = about_centre(x_bd, y_bd, weights_b)
    size = jnp.sqrt(scale / (2 * x_bd.shape[1]))
    return x_bd / size, y_bd / size, weights_b


def _norm(x_d: jax.Array) -> jax.Array:
    """Length of a vector; exactly 0 with zero gradient where it is nothing but rounding."""
    squared = jnp.sum(jnp.square(x_d))
    # The slope of a square root at 0 is infinite: the inner `where` keeps it out of the gradient.
    positive = squared > SMALLEST_NORM**2
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)
