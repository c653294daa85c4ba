"""The loss of the task itself: how far what a head says is from the label.

A head gives `raw_bo [b, o]`, and labels come in three forms:

- number: labels [b]; o = 1, or 2 (mean, log-variance) for `gaussian`;
- class: labels [b] are class numbers; o logits, one a class;
- binary: labels [b, o] are 0 or 1; o logits, one a task.
"""

from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from fsrf_jax.losses.averaging import weighted_mean

# The log-variance of a Gaussian head stays within these limits: a head that is sure and wrong
# would have a gradient without bound.
LARGEST_LOG_VARIANCE = 6.0


def gaussian_moments(raw_bo: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean [b] and log-variance [b], softly limited, of a Gaussian head's raw output [b, 2]."""
    limit = LARGEST_LOG_VARIANCE
    return raw_bo[:, 0], limit * jnp.tanh(raw_bo[:, 1] / limit)


def _l1(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    return jnp.abs(raw_bo[:, 0] - labels_b)


def _mse(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    return optax.squared_error(raw_bo[:, 0], labels_b)


def _huber(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    return optax.huber_loss(raw_bo[:, 0], labels_b)


def _gaussian(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    mean_b, log_variance_b = gaussian_moments(raw_bo)
    return (log_variance_b + jnp.square(mean_b - labels_b) * jnp.exp(-log_variance_b)) / 2


def _cross_entropy(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    classes_b = labels_b.astype(jnp.int32)
    return optax.softmax_cross_entropy_with_integer_labels(raw_bo, classes_b)


def _binary_cross_entropy(raw_bo: jax.Array, labels_bo: jax.Array) -> jax.Array:
    return jnp.mean(optax.sigmoid_binary_cross_entropy(raw_bo, labels_bo), axis=-1)


ERRORS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "binary_cross_entropy": _binary_cross_entropy,
    "cross_entropy": _cross_entropy,
    "gaussian": _gaussian,
    "huber": _huber,
    "l1": _l1,
    "mse": _mse,
}

FORMS: dict[str, Literal["number", "class", "binary"]] = {
    "binary_cross_entropy": "binary",
    "cross_entropy": "class",
    "gaussian": "number",
    "huber": "number",
    "l1": "number",
    "mse": "number",
}


def task_loss(
    raw_bo: jax.Array, labels: jax.Array, weights_b: jax.Array, *, kind: str
) -> jax.Array:
    """Weighted mean over the batch of the error of a head.

    Args:
        raw_bo: [b, o], what the head gives.
        labels: [b] or, for binary tasks, [b, o].
        weights_b: [b], at least 0.
        kind: "l1" `|e|`; "mse" `e^2`; "huber" `e^2 / 2` up to 1 and `|e| - 1/2` from there
            (Huber 1964); "gaussian" `(log v + e^2 / v) / 2`, the negative log-likelihood without
            its constant, for raw outputs mean and log v (Nix & Weigend 1994); "cross_entropy" of
            a softmax; "binary_cross_entropy" of sigmoids, mean over the tasks.

    Returns:
        A scalar, at least 0 but for "gaussian"; exactly 0 with zero gradient without weight.
    """
    chex.assert_rank([raw_bo, weights_b], [2, 1])
    chex.assert_equal_shape_prefix([raw_bo, labels, weights_b], 1)
    if FORMS[kind] == "binary":
        chex.assert_equal_shape([raw_bo, labels])
    else:
        chex.assert_equal_shape([labels, weights_b])
    return weighted_mean(ERRORS[kind](raw_bo, labels), weights_b)


def label_codes(labels: jax.Array, outputs: int, *, kind: str) -> jax.Array:
    """Labels as rows that can be compared: [b, 1] numbers, [b, outputs] one-hot, or 0/1 tasks."""
    form = FORMS[kind]
    if form == "class":
        return jax.nn.one_hot(labels.astype(jnp.int32), outputs, dtype=jnp.float32)
    return labels if form == "binary" else labels[:, None]
