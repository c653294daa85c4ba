"""How much two codes of the same samples share; each a statistic of the whole batch.

Every measure takes `x_bd [b, d]`, `y_be [b, e]` and `weights_b [b]` (at least 0), and gives a
scalar in float32 (or longer): 0 for no dependence that it can see. The two codes may change places.
A row without weight has no influence, whatever it holds, and a common factor of the weights
cancels; without any weight the value is exactly 0 with zero gradient. None feels the codes' scale.

A new one is a function that begins with `codes.prepare`, and a line in `DEPENDENCE`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import column_means, proportions, weighted_mean
from fsrf_jax.losses.codes import (
    SMALLEST_SQUARED_SCALE,
    centred,
    covariance,
    prepare,
    prepare_pair,
    squared_distances,
    unit_rows,
)

Dependence = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

# Compared with it, a column whose standard deviation is well below 1e-4 counts as constant.
SMALLEST_VARIANCE = 1e-8


def cross_correlation(x_bd: jax.Array, y_be: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Mean squared correlation between the columns of two codes.

    `mean_de r_de^2` with Pearson's `r_de = cov(x_d, y_e) / sqrt(var(x_d) var(y_e))` by weights
    (the cross-correlation matrix of Zbontar et al. 2021, Barlow Twins, arXiv:2103.03230, between
    two codes of one sample and driven to 0). It does not feel a shift or a scale, so shrinking a
    code is no way out. Independent columns give about 1 / (n - 1) for n samples, not 0. It cannot
    see a dependence that is not linear.

    Returns:
        A scalar in [0, 1]; 0 with zero gradient for one sample or no weight. A constant column
        counts as correlated with nothing.
    """
    x_bd, y_be, weights_b = prepare(x_bd, y_be, weights_b)
    x_bd, y_be = centred(x_bd, weights_b), centred(y_be, weights_b)
    # A constant added to the variances bounds the gradient where a column hardly varies.
    variance_d = column_means(jnp.square(x_bd), weights_b) + SMALLEST_VARIANCE
    variance_e = column_means(jnp.square(y_be), weights_b) + SMALLEST_VARIANCE
    # Both sides at unit variance before the product: a product of variances could underflow.
    x_bd = x_bd * jax.lax.rsqrt(variance_d)[None, :]
    y_be = y_be * jax.lax.rsqrt(variance_e)[None, :]
    return jnp.mean(jnp.square(covariance(x_bd, y_be, weights_b)))


def cosine_squared(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Squared cosine between the two codes of a sample, `sum_i p_i cos(x_i, y_i)^2`.

    The per-sample orthogonality of factorized codes. It cannot see a copy in other coordinates: a
    rotated code gives about 1 / d, as an independent one does, though each tells the other exactly.

    Args:
        y_bd: [b, d], of the same width.

    Returns:
        A scalar in [0, 1]; a zero row counts 0.
    """
    x_bd, y_bd, weights_b = prepare_pair(x_bd, y_bd, weights_b)
    cosine_b = jnp.sum(unit_rows(x_bd) * unit_rows(y_bd), axis=-1)
    return weighted_mean(jnp.square(cosine_b), weights_b)


def orthogonality(x_bd: jax.Array, y_be: jax.Array, weights_b: jax.Array) -> jax.Array:
    """MISA's difference loss: mean squared entry of `X^T Y`, columns centred, rows at length 1.

    Hazarika et al. 2020, arXiv:2005.03545, after Bousmalis et al. 2016, arXiv:1608.06019. A row
    counts `p_i n`, with Kish's effective number of samples `n = (sum w)^2 / sum w^2`, so that
    weights of 0 and 1 equal dropping rows. It is a sum over the batch, not a mean: for independent
    codes it grows like n, for dependent ones like n^2, so its weight fits one batch size only. It
    cannot see a dependence that is not linear.

    Returns:
        A scalar in [0, n^2 / (d e)]; 0 for one sample.
    """
    x_bd, y_be, weights_b = prepare(x_bd, y_be, weights_b)
    x_bd = unit_rows(centred(x_bd, weights_b))
    y_be = unit_rows(centred(y_be, weights_b))
    concentration = jnp.sum(jnp.square(proportions(weights_b)))
    n = 1 / jnp.where(concentration > 0, concentration, 1)
    return jnp.mean(jnp.square(n * covariance(x_bd, y_be, weights_b)))


def hsic(x_bd: jax.Array, y_be: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Hilbert-Schmidt independence criterion (biased), `sum_ij p_i p_j K_ij L_ij`.

    K and L are the Gaussian kernels `exp(-|x_i - x_j|^2 / s)` of x and of y, each with s the mean
    squared distance between any two of its codes (a constant to the gradient), and each centred in
    rows and columns. Gretton et al. 2005, ALT, LNCS 3734:63. It sees dependence of any form, dimly
    where d is large: all distances are then about s. Independent codes give about 0.4 / n, not 0.

    Returns:
        A scalar in [0, 1] up to rounding; 0 for one sample or a constant code.
    """
    x_bd, y_be, weights_b = prepare(x_bd, y_be, weights_b)
    p_b = proportions(weights_b)
    k_bb, l_bb = _centred_kernel(x_bd, weights_b), _centred_kernel(y_be, weights_b)
    return jnp.sum(p_b[:, None] * p_b[None, :] * k_bb * l_bb)


def _centred_kernel(x_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """The Gaussian kernel of a code's rows, [b, b], whose means by weights are all 0."""
    x_bd = centred(x_bd, weights_b)
    squared_bb = squared_distances(x_bd, x_bd)
    scale = 2 * weighted_mean(jnp.sum(jnp.square(x_bd), axis=-1), weights_b)
    scale = jnp.maximum(jax.lax.stop_gradient(scale), SMALLEST_SQUARED_SCALE)
    k_bb = jnp.exp(-squared_bb / scale)
    k_bb = k_bb - column_means(k_bb, weights_b)[None, :]
    return k_bb - column_means(k_bb.T, weights_b)[:, None]


DEPENDENCE: dict[str, Dependence] = {
    "cosine_squared": cosine_squared,
    "cross_correlation": cross_correlation,
    "hsic": hsic,
    "orthogonality": orthogonality,
}
"""By the name that `method.redundancy.dependence` takes."""
