"""Divergences that compare each sample with its partner: row i of x with row i of y.

The contract that all divergences keep is in `divergences.py`.
"""

import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import weighted_mean
from fsrf_jax.losses.codes import PRECISION, prepare_pair, unit_rows


def mse(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Mean squared error, `sum_i p_i mean_d (x_id - y_id)^2`.

    It sees every difference, and is least when the codes shrink: something else must keep them up.

    Returns:
        A scalar, at least 0.
    """
    x_bd, y_bd, weights_b = prepare_pair(x_bd, y_bd, weights_b)
    return weighted_mean(jnp.mean(jnp.square(x_bd - y_bd), axis=-1), weights_b)


def cosine(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Cosine distance, `sum_i p_i (1 - cos(x_i, y_i))`; a zero vector has cosine 0 with any other.

    It cannot see lengths. If all codes become one direction it is 0.

    Returns:
        A scalar in [0, 2].
    """
    x_bd, y_bd, weights_b = prepare_pair(x_bd, y_bd, weights_b)
    return weighted_mean(1 - jnp.sum(unit_rows(x_bd) * unit_rows(y_bd), axis=-1), weights_b)


def infonce(
    x_bd: jax.Array,
    y_bd: jax.Array,
    weights_b: jax.Array,
    *,
    temperature: float | jax.Array = 0.1,
) -> jax.Array:
    """Symmetric InfoNCE: each code has to find its partner among the codes of the batch.

    With `s_ij = cos(x_i, y_j) / temperature`, the mean of the two directions of
    `sum_i p_i -log(w_i exp(s_ii) / sum_j w_j exp(s_ij))`. A row without weight is neither an anchor
    nor a negative, so that 0/1 weights equal dropping rows; a common factor of all weights cancels.
    van den Oord et al. 2018, arXiv:1807.03748; in both directions: Radford et al. 2021 (CLIP).
    It cannot see lengths, and is not 0 for equal codes; it grows with the batch.

    Returns:
        A scalar, at least 0; log of the number of rows if nothing tells them apart, 0 for one row.
    """
    x_bd, y_bd, weights_b = prepare_pair(x_bd, y_bd, weights_b)
    weighted_b = weights_b > 0
    log_weights_b = jnp.log(jnp.where(weighted_b, weights_b, 1))
    # The partner is always included, so that no row is empty: that would be NaN in the gradient.
    included_bb = weighted_b[None, :] | jnp.eye(len(weights_b), dtype=bool)

    def one_direction(similarity_bb: jax.Array) -> jax.Array:
        logits_bb = jnp.where(included_bb, similarity_bb + log_weights_b[None, :], -jnp.inf)
        loss_b = jax.nn.logsumexp(logits_bb, axis=1) - jnp.diagonal(logits_bb)
        return weighted_mean(loss_b, weights_b)

    product_bb = jnp.matmul(unit_rows(x_bd), unit_rows(y_bd).T, precision=PRECISION)
    similarity_bb = product_bb / temperature
    return (one_direction(similarity_bb) + one_direction(similarity_bb.T)) / 2


def js(x_bd: jax.Array, y_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Jensen-Shannon divergence of the softmaxed codes, `sum_i p_i JS(softmax x_i, softmax y_i)`.

    `JS(q, r) = 1/2 KL(q || (q + r)/2) + 1/2 KL(r || (q + r)/2)`, Lin 1991, IEEE Trans. Inf. Theory
    37:145. It cannot see a constant added to a code. Where both softmaxes are saturated on
    different entries it is log 2 and its gradient vanishes: large codes are not brought together.

    Returns:
        A scalar in [0, log 2] up to rounding.
    """
    x_bd, y_bd, weights_b = prepare_pair(x_bd, y_bd, weights_b)
    log_q_bd, log_r_bd = jax.nn.log_softmax(x_bd, axis=-1), jax.nn.log_softmax(y_bd, axis=-1)
    difference_bd = log_r_bd - log_q_bd
    # log q - log((q + r)/2) = log 2 - softplus(log r - log q): no logarithm of a q that is 0.
    to_q_bd = jnp.exp(log_q_bd) * (jnp.log(2) - jax.nn.softplus(difference_bd))
    to_r_bd = jnp.exp(log_r_bd) * (jnp.log(2) - jax.nn.softplus(-difference_bd))
    return weighted_mean(jnp.sum(to_q_bd + to_r_bd, axis=-1) / 2, weights_b)
