"""How far two sets of codes are from each other; each a statistic of the whole batch.

Every divergence takes `x_bd [b, d]`, `y_bd [b, d]`, `weights_b [b]` (at least 0) and static options
by keyword, and gives a scalar. Row i of x and row i of y belong to the same sample. A row without
weight has no influence; without any weight the value is exactly 0 with zero gradient.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import column_means, proportions, weighted_mean

Divergence = Callable[..., jax.Array]

# Products of codes end up in exponents, where the short floats of an accelerator would show.
PRECISION = jax.lax.Precision.HIGHEST

# Codes shorter than this fade to zero instead of being blown up to length one.
SHORTEST_CODE = 1e-6

# Codes closer to each other than 1e-6 on average count as equal.
SMALLEST_SQUARED_SCALE = 1e-12


def mse(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Mean squared error, `sum_i p_i mean_d (x_id - y_id)^2`.

    Args:
        x_bd: [b, d].
        y_bd: [b, d].
        weights_b: [b], at least 0.

    Returns:
        A scalar, at least 0.
    """
    _check(x_bd, y_bd, weights_b)
    return weighted_mean(jnp.mean(jnp.square(x_bd - y_bd), axis=-1), weights_b)


def cosine(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Cosine distance, `sum_i p_i (1 - cos(x_i, y_i))`; a zero vector has cosine 0 with any other.

    Args:
        x_bd: [b, d].
        y_bd: [b, d].
        weights_b: [b], at least 0.

    Returns:
        A scalar in [0, 2].
    """
    _check(x_bd, y_bd, weights_b)
    return weighted_mean(1 - jnp.sum(_unit(x_bd) * _unit(y_bd), axis=-1), weights_b)


def infonce(
    x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array, *, temperature: float = 0.1
) -> jax.Array:
    """Symmetric InfoNCE: each code has to find its partner among the codes of the batch.

    With `s_ij = cos(x_i, y_j) / temperature`, the mean of the two directions of
    `sum_i p_i -log(w_i exp(s_ii) / sum_j w_j exp(s_ij))`. A row without weight is neither an anchor
    nor a negative, so that 0/1 weights equal dropping rows; a common factor of all weights cancels.
    van den Oord et al. 2018, arXiv:1807.03748; in both directions: Radford et al. 2021 (CLIP).

    Args:
        x_bd: [b, d].
        y_bd: [b, d].
        weights_b: [b], at least 0.
        temperature: above 0.

    Returns:
        A scalar, at least 0; log of the number of rows if nothing tells them apart, 0 for one row.
    """
    _check(x_bd, y_bd, weights_b)
    weighted_b = weights_b > 0
    log_weights_b = jnp.log(jnp.where(weighted_b, weights_b, 1))
    # The partner itself always stays, so that no row is empty: that would be NaN in the gradient.
    kept_bb = weighted_b[None, :] | jnp.eye(len(weights_b), dtype=bool)

    def one_direction(similarity_bb: jax.Array) -> jax.Array:
        logits_bb = jnp.where(kept_bb, similarity_bb + log_weights_b[None, :], -jnp.inf)
        loss_b = jax.nn.logsumexp(logits_bb, axis=1) - jnp.diagonal(logits_bb)
        return weighted_mean(loss_b, weights_b)

    similarity_bb = jnp.matmul(_unit(x_bd), _unit(y_bd).T, precision=PRECISION) / temperature
    return (one_direction(similarity_bb) + one_direction(similarity_bb.T)) / 2


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
    (DAN, arXiv:1502.02791).

    Args:
        x_bd: [b, d].
        y_bd: [b, d].
        weights_b: [b], at least 0.
        multiples: the widths, as multiples of s.

    Returns:
        A scalar in [0, 2] up to rounding; 0 for equal samples.
    """
    _check(x_bd, y_bd, weights_b)
    p_b = proportions(weights_b)
    # Distances do not feel a shift, and near the origin their expanded square loses fewest digits.
    centre_d = jax.lax.stop_gradient(column_means((x_bd + y_bd) / 2, weights_b))
    x_bd, y_bd = x_bd - centre_d[None, :], y_bd - centre_d[None, :]
    # The mean squared distance of all pairs is twice the mean squared distance from the centre.
    squared_b = jnp.sum(jnp.square(x_bd) + jnp.square(y_bd), axis=-1)
    scale = jax.lax.stop_gradient(weighted_mean(squared_b, weights_b))
    scale = jnp.maximum(scale, SMALLEST_SQUARED_SCALE)

    def mean_kernel(u_bd: jax.Array, v_bd: jax.Array) -> jax.Array:
        relative_bb = _squared_distances(u_bd, v_bd) / scale
        widths_c11 = jnp.array(multiples, u_bd.dtype)[:, None, None]
        kernel_bb = jnp.mean(jnp.exp(-relative_bb[None, :, :] / widths_c11), axis=0)
        return jnp.sum(p_b[:, None] * p_b[None, :] * kernel_bb)

    return mean_kernel(x_bd, x_bd) + mean_kernel(y_bd, y_bd) - 2 * mean_kernel(x_bd, y_bd)


def _check(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array) -> None:
    chex.assert_rank([x_bd, y_bd, weights_b], [2, 2, 1])
    chex.assert_equal_shape([x_bd, y_bd])
    chex.assert_equal_shape_prefix([x_bd, weights_b], 1)


def _unit(x_bd: jax.Array) -> jax.Array:
    """Rows at length one; the floor under the square root keeps the gradient of a zero row at 0."""
    squared_b1 = jnp.sum(jnp.square(x_bd), axis=-1, keepdims=True)
    return x_bd * jax.lax.rsqrt(jnp.maximum(squared_b1, SHORTEST_CODE**2))


def _squared_distances(u_bd: jax.Array, v_bd: jax.Array) -> jax.Array:
    """All |u_i - v_j|^2, [b, b], without an array of size [b, b, d]."""
    u2_b, v2_b = jnp.sum(jnp.square(u_bd), axis=-1), jnp.sum(jnp.square(v_bd), axis=-1)
    product_bb = jnp.matmul(u_bd, v_bd.T, precision=PRECISION)
    return jnp.maximum(u2_b[:, None] + v2_b[None, :] - 2 * product_bb, 0)


DIVERGENCES: dict[str, Divergence] = {
    "cosine": cosine,
    "infonce": infonce,
    "mmd": mmd,
    "mse": mse,
}
