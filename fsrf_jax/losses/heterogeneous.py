"""DHF, the heterogeneous codes: S_m holds what is special to modality m, and useful.

Three ways to ask for it; the first is the default. See `factorization` for weights and means.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax

from fsrf_jax.losses.averaging import Term, mean_over, repeated, weighted_mean
from fsrf_jax.losses.codes import PRECISION, prepare, unit_rows
from fsrf_jax.losses.task import Task
from fsrf_jax.options import number


@dataclass(frozen=True)
class HeterogeneousOptions:
    """A modality's heterogeneous code adds to the task what its homogeneous code lacks."""

    kind: Literal["task", "task_alone", "modality", "contrastive"] = "task"
    """Task head on [sg(H), S], or on S alone; classifier of the modality; contrast by labels."""
    temperature: float = number(0.1, 1e-3)
    """Of contrastive."""
    bandwidth: float = number(0.5, 1e-3)
    """Of contrastive: labels this far apart are hardly alike any more."""


def task_heads(raw_mbo: jax.Array, labels: jax.Array, weights_mb: jax.Array, task: Task) -> Term:
    """S_m helps the task: the task loss of a head of each modality.

    What the head reads is the model's choice: on [sg(H_m), S_m] it asks S_m for what H_m lacks, as
    the modality-specific heads of MISA (Hazarika et al. 2020, arXiv:2005.03545) and ShaSpec (Wang
    et al. 2023, arXiv:2307.14126) do for their joint codes; on S_m alone it asks S_m for
    everything, the shared part as well.

    Args:
        raw_mbo: [m, b, o], raw output of the heads.
        task: its `loss` is the loss of a head.
    """
    return mean_over(task.loss, raw_mbo, repeated(labels, len(raw_mbo)), weights_mb)


def modality(logits_mbm: jax.Array, weights_mb: jax.Array) -> Term:
    """S_m tells which modality it is of: cross-entropy of one classifier for all modalities.

    As in ShaSpec (Wang et al. 2023). Its trap: each S_m has a separate encoder, so a constant code
    solves this perfectly, and holds nothing of the sample.

    Args:
        logits_mbm: [m, b, m], the classifier's logits for each modality's code.

    Returns:
        The term, at least 0; log of the number of modalities is chance.
    """
    m, b, _ = logits_mbm.shape
    chex.assert_shape(logits_mbm, (m, b, m))

    def loss(logits_bm: jax.Array, class_b: jax.Array, w_b: jax.Array) -> jax.Array:
        error_b = optax.softmax_cross_entropy_with_integer_labels(logits_bm, class_b)
        return weighted_mean(error_b, w_b)

    class_mb = jnp.broadcast_to(jnp.arange(m)[:, None], (m, b))
    return mean_over(loss, logits_mbm, class_mb, weights_mb)


def contrastive(
    s_mbd: jax.Array,
    label_codes_be: jax.Array,
    weights_mb: jax.Array,
    *,
    temperature: float | jax.Array,
    bandwidth: float | jax.Array,
) -> Term:
    """Samples of like labels have like S_m: `supervised_contrastive`, mean over modalities.

    Args:
        bandwidth: above 0, in label units.
    """
    loss = partial(supervised_contrastive, temperature=temperature, bandwidth=bandwidth)
    return mean_over(loss, s_mbd, repeated(label_codes_be, len(s_mbd)), weights_mb)


def supervised_contrastive(
    x_bd: jax.Array,
    label_codes_be: jax.Array,
    weights_b: jax.Array,
    *,
    temperature: float | jax.Array = 0.1,
    bandwidth: float | jax.Array = 0.5,
) -> jax.Array:
    """Cross-entropy between who is alike by label and who is alike by code.

    `sum_i p_i [- sum_{j != i} q_ij log softmax_{j != i}(cos(x_i, x_j) / temperature + log w_j)]`
    with `q_ij` in proportion to `w_j exp(-|y_i - y_j|^2 / (2 bandwidth^2))`. Khosla et al. 2020
    (arXiv:2004.11362); graded labels: Dufumier et al. 2021 (arXiv:2106.08808). One-hot classes
    differ by |y_i - y_j|^2 = 2, which is as good as not alike at the default bandwidth.

    Args:
        weights_b: [b], at least 0; a common factor cancels.

    Returns:
        A scalar, at least 0; never 0 where several samples are alike: the entropy of q is its
        least value. 0 with zero gradient where fewer than two samples have weight.
    """
    x_bd, label_codes_be, weights_b = prepare(x_bd, label_codes_be, weights_b)
    b = len(weights_b)
    weighted_b = weights_b > 0
    log_weights_b = jnp.log(jnp.where(weighted_b, weights_b, 1))
    others_bb = jnp.broadcast_to(weighted_b[None, :], (b, b)) & ~jnp.eye(b, dtype=bool)
    difference_bbe = label_codes_be[:, None, :] - label_codes_be[None, :, :]
    alike_bb = -jnp.sum(jnp.square(difference_bbe), axis=-1) / (2 * bandwidth**2)
    target_bb = jax.nn.softmax(alike_bb + log_weights_b[None, :], axis=1, where=others_bb)
    unit_bd = unit_rows(x_bd)
    cosine_bb = jnp.matmul(unit_bd, unit_bd.T, precision=PRECISION)
    logits_bb = cosine_bb / temperature + log_weights_b[None, :]
    # A row without others has one finite entry, so that no gradient is NaN; it counts nothing.
    alone_b = ~others_bb.any(axis=1)
    included_bb = others_bb | (alone_b[:, None] & jnp.eye(b, dtype=bool))
    included_logits_bb = jnp.where(included_bb, logits_bb, -jnp.inf)
    log_share_bb = logits_bb - jax.nn.logsumexp(included_logits_bb, axis=1)[:, None]
    loss_b = -jnp.sum(jnp.where(others_bb, target_bb * log_share_bb, 0), axis=1)
    return weighted_mean(loss_b, weights_b)
