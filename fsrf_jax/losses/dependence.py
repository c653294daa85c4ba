"""How much two codes of the same samples share; each a statistic of the whole batch.

Every measure takes `x_bd [b, d]`, `y_be [b, e]` and `weights_b [b]` (at least 0), and gives a
scalar: 0 for no dependence that it can see. A row without weight has no influence.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import column_means, proportions

Dependence = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

# Beside it, a column whose standard deviation is well below 1e-4 counts as constant.
SMALLEST_VARIANCE = 1e-8


def cross_correlation(x_bd: jax.Array, y_be: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Mean squared correlation between the columns of two codes.

    `mean_de r_de^2` with Pearson's `r_de = cov(x_d, y_e) / sqrt(var(x_d) var(y_e))` by weights
    (the cross-correlation matrix of Zbontar et al. 2021, Barlow Twins, arXiv:2103.03230, between
    two codes of one sample and driven to 0). It does not feel a shift or a scale, so shrinking a
    code is no way out. Independent columns give about 1 / (n - 1) for n samples, not 0.

    Args:
        x_bd: [b, d].
        y_be: [b, e].
        weights_b: [b], at least 0.

    Returns:
        A scalar in [0, 1]; 0 with zero gradient for one sample or no weight. A constant column
        counts as correlated with nothing.
    """
    chex.assert_rank([x_bd, y_be, weights_b], [2, 2, 1])
    chex.assert_equal_shape_prefix([x_bd, y_be, weights_b], 1)
    x_bd = x_bd - column_means(x_bd, weights_b)[None, :]
    y_be = y_be - column_means(y_be, weights_b)[None, :]
    # A constant added to the variances bounds the gradient where a column hardly varies.
    variance_d = column_means(jnp.square(x_bd), weights_b) + SMALLEST_VARIANCE
    variance_e = column_means(jnp.square(y_be), weights_b) + SMALLEST_VARIANCE
    # Both sides at unit variance before the product: a product of variances could underflow.
    x_bd = x_bd * jax.lax.rsqrt(variance_d)[None, :]
    y_be = y_be * jax.lax.rsqrt(variance_e)[None, :]
    p_b = proportions(weights_b)
    product_de = jnp.matmul((p_b[:, None] * x_bd).T, y_be, precision=jax.lax.Precision.HIGHEST)
    return jnp.mean(jnp.square(product_de))


DEPENDENCE: dict[str, Dependence] = {
    "cross_correlation": cross_correlation,
}
