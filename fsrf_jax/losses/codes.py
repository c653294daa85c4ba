"""What the measures of two sets of codes have in common: their entry, their centre, their scale."""

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import column_means, proportions, weighted_mean

# Products of codes end up in exponents, where the short floats of an accelerator would show.
PRECISION = jax.lax.Precision.HIGHEST

# Codes shorter than this fade to zero instead of being blown up to length one.
SHORTEST_CODE = 1e-6

# Codes closer to each other than 1e-6 on average count as equal.
SMALLEST_SQUARED_SCALE = 1e-12


def prepare(
    x_bd: jax.Array, y_be: jax.Array, weights_b: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The entry to every measure: shapes checked, floats long enough, rows without weight zero.

    Args:
        x_bd: [b, d], any float type.
        y_be: [b, e], any float type.

    Returns:
        The same three in float32 or longer: a sum over a batch in bfloat16 loses its digits. A row
        without weight is replaced by zeros, as 0 * NaN is NaN.
    """
    chex.assert_rank([x_bd, y_be, weights_b], [2, 2, 1])
    chex.assert_equal_shape_prefix([x_bd, y_be, weights_b], 1)
    x_bd, y_be, weights_b = _long(x_bd), _long(y_be), _long(weights_b)
    return _weighted_rows(x_bd, weights_b), _weighted_rows(y_be, weights_b), weights_b


def prepare_pair(
    x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`prepare` for two codes that must be of one shape [b, d]."""
    chex.assert_equal_shape([x_bd, y_bd])
    return prepare(x_bd, y_bd, weights_b)


def about_centre(
    x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Two codes about their common centre, and the scale of both together.

    Returns:
        x and y [b, d] about the mean of both, where numbers lose fewest digits, with rows without
        weight at 0; and s, a scalar above 0, the mean squared distance between any two codes of the
        pooled sample (self-pairs included). Centre and s are constants to the gradient: otherwise
        codes could come closer by spreading out.
    """
    centre_d = jax.lax.stop_gradient(column_means((x_bd + y_bd) / 2, weights_b))
    x_bd = _weighted_rows(x_bd - centre_d[None, :], weights_b)
    y_bd = _weighted_rows(y_bd - centre_d[None, :], weights_b)
    # The mean squared distance of all pairs is twice the mean squared distance from the centre.
    squared_b = jnp.sum(jnp.square(x_bd) + jnp.square(y_bd), axis=-1)
    scale = jax.lax.stop_gradient(weighted_mean(squared_b, weights_b))
    return x_bd, y_bd, jnp.maximum(scale, SMALLEST_SQUARED_SCALE)


def centred(x_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Every column about its mean by weights, [b, d]; a constant column becomes zero."""
    x_bd = x_bd - column_means(x_bd, weights_b)[None, :]
    # Once more, since the first mean was rounded: what is left of a constant column is noise that
    # a measure without a scale of its own would take for a code.
    return x_bd - column_means(x_bd, weights_b)[None, :]


def covariance(x_bd: jax.Array, y_be: jax.Array, weights_b: jax.Array) -> jax.Array:
    """`sum_i p_i x_i y_i^T`, [d, e], of codes that are centred already."""
    p_b = proportions(weights_b)
    return jnp.matmul((p_b[:, None] * x_bd).T, y_be, precision=PRECISION)


def unit_rows(x_bd: jax.Array) -> jax.Array:
    """Rows at length one, [b, d]; a zero row stays zero and has a finite gradient."""
    squared_b1 = jnp.sum(jnp.square(x_bd), axis=-1, keepdims=True)
    return x_bd * jax.lax.rsqrt(jnp.maximum(squared_b1, SHORTEST_CODE**2))


def squared_distances(u_bd: jax.Array, v_bd: jax.Array) -> jax.Array:
    """All |u_i - v_j|^2, [b, b], without an array of size [b, b, d]."""
    u2_b, v2_b = jnp.sum(jnp.square(u_bd), axis=-1), jnp.sum(jnp.square(v_bd), axis=-1)
    product_bb = jnp.matmul(u_bd, v_bd.T, precision=PRECISION)
    return jnp.maximum(u2_b[:, None] + v2_b[None, :] - 2 * product_bb, 0)


def _long(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _weighted_rows(x_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    return jnp.where(weights_b[:, None] > 0, x_bd, 0)
