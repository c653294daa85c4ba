"""The loss of the task itself: how far a predicted label is from the true one."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax

from fsrf_jax.losses.averaging import weighted_mean


def _absolute_error(prediction_b: jax.Array, labels_b: jax.Array) -> jax.Array:
    return jnp.abs(prediction_b - labels_b)


REGRESSION: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "huber": optax.huber_loss,
    "l1": _absolute_error,
    "mse": optax.squared_error,
}


def regression(
    prediction_b: jax.Array, labels_b: jax.Array, weights_b: jax.Array, *, kind: str
) -> jax.Array:
    """Weighted mean over the batch of the error of a predicted number.

    Args:
        prediction_b: [b], in the unit of the labels.
        labels_b: [b].
        weights_b: [b], at least 0.
        kind: "l1" `|e|`; "mse" `e^2`; "huber" `e^2 / 2` up to 1 and `|e| - 1/2` from there
            (Huber 1964).

    Returns:
        A scalar, at least 0; exactly 0 with zero gradient without weight.
    """
    chex.assert_rank([prediction_b, labels_b, weights_b], 1)
    chex.assert_equal_shape([prediction_b, labels_b, weights_b])
    return weighted_mean(REGRESSION[kind](prediction_b, labels_b), weights_b)
