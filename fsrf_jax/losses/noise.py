"""DHF, the noise codes: N_m says nothing of the label, and is not simply zero.

Four ways to ask for silence; the first is the default. N = 0 would be the perfect answer to each,
and to a loss of redundancy, so a variance floor always stands beside them. See `factorization` for
weights and means.
"""

import math
from functools import partial

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, mean_over, weighted_mean, weighted_std
from fsrf_jax.losses.dependence import Dependence
from fsrf_jax.losses.factorization import modalities
from fsrf_jax.losses.task import ERRORS, FORMS
from fsrf_jax.types import Auxiliary, Codes


def adversarial(
    codes: Codes,
    auxiliary: Auxiliary,
    labels: jax.Array,
    weights_b: jax.Array,
    *,
    task_kind: str,
    bound: float,
) -> Term:
    """A head that reads the label from N_m fails: `sum_i p_i min(error(c(N_i), y_i), bound)`.

    The model has put a gradient reversal before the head c (Ganin & Lempitsky 2015,
    arXiv:1409.7495), so minimising this trains the head and works against it in N. The bound keeps
    the encoder from gaining without end: past it there is no gradient.

    Args:
        codes: the codes of one view; only `available` is used.
        auxiliary: its `noise` is the reversed head's raw output, [b, o] per modality.
        labels: see `fsrf_jax.losses.task`.
        weights_b: [b], at least 0.
        task_kind: a key of `ERRORS`. The error of a number is always the absolute one.
        bound: for numbers, in label units: half the label range. For classes and binary tasks the
            cross-entropy of chance is used instead, log of the number of classes or log 2.

    Returns:
        The term, in [0, bound].
    """
    raw = auxiliary.noise
    o = next(iter(raw.values())).shape[-1]
    limit = {"number": bound, "class": math.log(max(o, 2)), "binary": math.log(2)}[FORMS[task_kind]]
    error = ERRORS["l1" if FORMS[task_kind] == "number" else task_kind]

    def loss(raw_bo: jax.Array, labels: jax.Array, w_b: jax.Array) -> jax.Array:
        return weighted_mean(jnp.minimum(error(raw_bo, labels), limit), w_b)

    return mean_over(loss, [(raw[m], labels, w) for m, w in modalities(codes, weights_b)])


def bottleneck(codes: Codes, weights_b: jax.Array) -> Term:
    """A random code N_m ~ N(mean, variance) that carries little: its rate against N(0, I).

    `sum_i p_i mean_d 1/2 (mean^2 + variance - 1 - log variance)`, the deep variational information
    bottleneck (Alemi et al. 2017, arXiv:1612.00410). It does not know the label: it makes N_m say
    little of anything. Its trap: at 0 the code is pure chance, and of no use to the decoder.

    Args:
        codes: the codes of one view; `noise_moments` [b, 2, d] per modality, mean and log-variance.
        weights_b: [b], at least 0.

    Returns:
        The term, at least 0, in nats a dimension.
    """

    def rate(mean_bd: jax.Array, log_variance_bd: jax.Array, w_b: jax.Array) -> jax.Array:
        rate_bd = (jnp.square(mean_bd) + jnp.expm1(log_variance_bd) - log_variance_bd) / 2
        return weighted_mean(jnp.mean(rate_bd, axis=-1), w_b)

    moments = codes.noise_moments
    triples = [(moments[m][:, 0], moments[m][:, 1], w) for m, w in modalities(codes, weights_b)]
    return mean_over(rate, triples)


def dependence(
    codes: Codes, label_codes_be: jax.Array, weights_b: jax.Array, measure: Dependence
) -> Term:
    """N_m and the label are independent, as far as a measure of dependence sees.

    With `hsic`: Gretton et al. 2005. A batch statistic: it needs no head, and sees the less the
    smaller the batch.

    Args:
        codes: the codes of one view; `noise` is [b, d] per modality.
        label_codes_be: [b, e], see `fsrf_jax.losses.task.label_codes`.
        weights_b: [b], at least 0.
        measure: called with N_m, the labels and the modality's weights.

    Returns:
        The term; its range is the measure's.
    """
    n = codes.noise
    return mean_over(measure, [(n[m], label_codes_be, w) for m, w in modalities(codes, weights_b)])


def uniform(
    codes: Codes, auxiliary: Auxiliary, labels: jax.Array, weights_b: jax.Array, *, task_kind: str
) -> Term:
    """The best head on N_m has nothing to say: it learns, and N_m leaves it at its best constant.

    The sum of two parts. The head reads sg(N_m) and learns the task. The same head, its parameters
    held still, reads N_m, which pays for every prediction that is not the same for all samples:
    `(c(N_i) - mean label)^2` for a number, `KL(uniform || softmax c(N_i))` for classes and likewise
    for binary tasks (domain confusion: Tzeng et al. 2015, arXiv:1510.02192). Unlike the adversary,
    the code is never rewarded for being wrong.

    Args:
        codes: the codes of one view; only `available` is used.
        auxiliary: its `noise` is the learning head's raw output, its `frozen_noise` that of the
            head held still, [b, o] per modality.
        labels: see `fsrf_jax.losses.task`.
        weights_b: [b], at least 0.
        task_kind: a key of `ERRORS`. The error of a number is always the absolute one.

    Returns:
        The term, at least 0.
    """
    names = [m for m, _ in modalities(codes, weights_b)]
    error = ERRORS["l1" if FORMS[task_kind] == "number" else task_kind]
    said = partial(_said, form=FORMS[task_kind])

    def loss(raw_2bo: jax.Array, labels: jax.Array, w_b: jax.Array) -> jax.Array:
        return weighted_mean(error(raw_2bo[0], labels) + said(raw_2bo[1], labels, w_b), w_b)

    heads = {m: jnp.stack([auxiliary.noise[m], auxiliary.frozen_noise[m]]) for m in names}
    return mean_over(loss, [(heads[m], labels, w) for m, w in modalities(codes, weights_b)])


def _said(raw_bo: jax.Array, labels: jax.Array, weights_b: jax.Array, *, form: str) -> jax.Array:
    """How far a head is from a prediction that says nothing, [b]."""
    if form == "number":
        return jnp.square(raw_bo[:, 0] - weighted_mean(labels, weights_b))
    if form == "class":
        return -jnp.mean(jax.nn.log_softmax(raw_bo), axis=-1) - math.log(raw_bo.shape[-1])
    return -jnp.mean(jax.nn.log_sigmoid(raw_bo) + jax.nn.log_sigmoid(-raw_bo), axis=-1) / 2 - (
        math.log(2)
    )


def spread(codes: Codes, weights_b: jax.Array, *, floor: float) -> Term:
    """N_m varies: `variance_floor`, mean over modalities.

    Args:
        codes: the codes of one view; `noise` is [b, d] per modality.
        weights_b: [b], at least 0.
        floor: the standard deviation that every dimension should have.

    Returns:
        The term, in [0, floor].
    """

    def loss(n_bd: jax.Array, _: jax.Array, w_b: jax.Array) -> jax.Array:
        return variance_floor(n_bd, w_b, floor=floor)

    n = codes.noise
    return mean_over(loss, [(n[m], n[m], w) for m, w in modalities(codes, weights_b)])


def variance_floor(x_bd: jax.Array, weights_b: jax.Array, *, floor: float) -> jax.Array:
    """A code that varies too little, `mean_d max(0, floor - std_d(x))`.

    The variance hinge of VICReg (Bardes et al. 2022, arXiv:2105.04906).

    Args:
        x_bd: [b, d].
        weights_b: [b], at least 0.
        floor: the standard deviation asked for.

    Returns:
        A scalar in [0, floor]; 0 without weight. At a constant column the gradient is 0.
    """
    chex.assert_rank([x_bd, weights_b], [2, 1])
    missing_d = jnp.maximum(floor - weighted_std(x_bd, weights_b), 0)
    return jnp.where(jnp.sum(weights_b) > 0, jnp.mean(missing_d), 0)
