"""DHF, the noise codes: N_m holds no information about the label, and is not simply zero.

Four ways to ask for that; the first is the default. N = 0 would be the perfect answer to each, and
to a loss of redundancy, so a variance floor always accompanies them. See `factorization` for
weights and means.
"""

from dataclasses import dataclass
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, mean_over, repeated, weighted_mean, weighted_std
from fsrf_jax.losses.dependence import Dependence
from fsrf_jax.losses.task import Task
from fsrf_jax.options import number


@dataclass(frozen=True)
class NoiseOptions:
    """The noise code holds no information about the label, and does not vanish."""

    kind: Literal["adversarial", "bottleneck", "dependence", "uniform"] = "adversarial"
    """Task head behind a reversed gradient; rate of a random code; dependence between code and
    label; head that a code must leave at its best constant."""
    bound: float = number(3.0, 1e-6)
    """Largest error of the adversary that counts: half the range of the labels. For classes and
    binary tasks it is the cross-entropy of chance instead."""
    floor: float = number(1.0, 0)
    """Standard deviation below which a noise dimension is punished."""
    dependence: Literal["cross_correlation", "hsic", "orthogonality"] = "hsic"
    """Of kind dependence."""


def adversarial(
    raw_mbo: jax.Array,
    labels: jax.Array,
    weights_mb: jax.Array,
    task: Task,
    *,
    bound: float | jax.Array,
) -> Term:
    """A head that reads the label from N_m fails: `sum_i p_i min(error(c(N_i), y_i), bound)`.

    The model has put a gradient reversal before the head c (Ganin & Lempitsky 2015,
    arXiv:1409.7495), so minimising this trains the head and works against it in N. The bound keeps
    the encoder from gaining without end: past it there is no gradient.

    Args:
        raw_mbo: [m, b, o], raw output of the head behind the reversal.
        task: its `plain_error` is the error, and its `limit` the bound.
        bound: for numbers, in label units: half the label range. For classes and binary tasks the
            cross-entropy of chance is used instead.

    Returns:
        The term, in [0, bound].
    """
    chex.assert_axis_dimension(raw_mbo, 2, task.head_width)
    limit = task.limit(bound)

    def loss(raw_bo: jax.Array, labels: jax.Array, w_b: jax.Array) -> jax.Array:
        return weighted_mean(jnp.minimum(task.plain_error(raw_bo, labels), limit), w_b)

    return mean_over(loss, raw_mbo, repeated(labels, len(raw_mbo)), weights_mb)


def bottleneck(mean_mbd: jax.Array, log_variance_mbd: jax.Array, weights_mb: jax.Array) -> Term:
    """A random code N_m ~ N(mean, variance) that carries little: its rate against N(0, I).

    `sum_i p_i mean_d 1/2 (mean^2 + variance - 1 - log variance)`, the deep variational information
    bottleneck (Alemi et al. 2017, arXiv:1612.00410). It does not know the label: it limits what N_m
    holds of anything. Its trap: at 0 the code is pure chance, and of no use to the decoder.

    Args:
        mean_mbd: [m, b, d], means of the random codes.
        log_variance_mbd: [m, b, d], their log-variances.

    Returns:
        The term, at least 0, in nats a dimension.
    """

    def rate(mean_bd: jax.Array, log_variance_bd: jax.Array, w_b: jax.Array) -> jax.Array:
        rate_bd = (jnp.square(mean_bd) + jnp.expm1(log_variance_bd) - log_variance_bd) / 2
        return weighted_mean(jnp.mean(rate_bd, axis=-1), w_b)

    return mean_over(rate, mean_mbd, log_variance_mbd, weights_mb)


def dependence(
    n_mbd: jax.Array, label_codes_be: jax.Array, weights_mb: jax.Array, measure: Dependence
) -> Term:
    """N_m and the label are independent, as far as a measure of dependence sees.

    With `hsic`: Gretton et al. 2005. A batch statistic: it needs no head, and sees the less the
    smaller the batch.

    Args:
        measure: called with N_m, the labels and the modality's weights.

    Returns:
        The term; its range is the measure's.
    """
    return mean_over(measure, n_mbd, repeated(label_codes_be, len(n_mbd)), weights_mb)


def uniform(
    learning_mbo: jax.Array,
    held_mbo: jax.Array,
    labels: jax.Array,
    weights_mb: jax.Array,
    task: Task,
) -> Term:
    """The best head on N_m is a constant: the head learns, and N_m leaves it at its best constant.

    The sum of two parts. The head reads sg(N_m) and learns the task. The same head, its parameters
    held still, reads N_m, which pays for every prediction that is not the same for all samples:
    `(c(N_i) - mean label)^2` for a number, `KL(uniform || softmax c(N_i))` for classes and likewise
    for binary tasks (domain confusion: Tzeng et al. 2015, arXiv:1510.02192). Unlike the adversary,
    the code is never rewarded for being wrong.

    Args:
        learning_mbo: [m, b, o], raw output of the learning head.
        held_mbo: [m, b, o], that of the head held still.
        task: its `plain_error` teaches the head, its `information` is what N_m pays for.

    Returns:
        The term, at least 0.
    """
    chex.assert_equal_shape([learning_mbo, held_mbo])
    chex.assert_axis_dimension(learning_mbo, 2, task.head_width)

    def loss(raw_2bo: jax.Array, labels: jax.Array, w_b: jax.Array) -> jax.Array:
        error_b = task.plain_error(raw_2bo[0], labels)
        return weighted_mean(error_b + task.information(raw_2bo[1], labels, w_b), w_b)

    both_m2bo = jnp.stack([learning_mbo, held_mbo], axis=1)
    return mean_over(loss, both_m2bo, repeated(labels, len(both_m2bo)), weights_mb)


def spread(n_mbd: jax.Array, weights_mb: jax.Array, *, floor: float | jax.Array) -> Term:
    """N_m varies: `variance_floor`, mean over modalities.

    Args:
        floor: the standard deviation that every dimension should have.

    Returns:
        The term, in [0, floor].
    """

    def loss(n_bd: jax.Array, _: jax.Array, w_b: jax.Array) -> jax.Array:
        return variance_floor(n_bd, w_b, floor=floor)

    return mean_over(loss, n_mbd, n_mbd, weights_mb)


def variance_floor(x_bd: jax.Array, weights_b: jax.Array, *, floor: float | jax.Array) -> jax.Array:
    """A code that varies too little, `mean_d max(0, floor - std_d(x))`.

    The variance hinge of VICReg (Bardes et al. 2022, arXiv:2105.04906).

    Args:
        floor: the standard deviation asked for.

    Returns:
        A scalar in [0, floor]; 0 without weight. At a constant column the gradient is 0.
    """
    chex.assert_rank([x_bd, weights_b], [2, 1])
    missing_d = jnp.maximum(floor - weighted_std(x_bd, weights_b), 0)
    return jnp.where(jnp.sum(weights_b) > 0, jnp.mean(missing_d), 0)
