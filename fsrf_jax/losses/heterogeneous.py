"""DHF, the heterogeneous codes: S_m holds what is special to modality m, and useful.

Three ways to ask for it; the first is the default. See `factorization` for weights and means.
"""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import optax

from fsrf_jax.losses.averaging import Term, mean_over, weighted_mean
from fsrf_jax.losses.codes import PRECISION, prepare, unit_rows
from fsrf_jax.losses.factorization import modalities
from fsrf_jax.losses.task import task_loss
from fsrf_jax.types import Auxiliary, Codes


def task(
    codes: Codes, auxiliary: Auxiliary, labels: jax.Array, weights_b: jax.Array, *, task_kind: str
) -> Term:
    """S_m helps the task: the task loss of a head of each modality.

    What the head reads is the model's choice: on [sg(H_m), S_m] it asks S_m for what H_m lacks, as
    the modality-specific heads of MISA (Hazarika et al. 2020, arXiv:2005.03545) and ShaSpec (Wang
    et al. 2023, arXiv:2307.14126) do for their joint codes; on S_m alone it asks S_m for
    everything, the shared part as well.

    Args:
        codes: the codes of one view; only `available` is used.
        auxiliary: its `heterogeneous` is the head's raw output, [b, o] per modality.
        labels: see `fsrf_jax.losses.task`.
        weights_b: [b], at least 0.
        task_kind: a key of `ERRORS`.

    Returns:
        The term.
    """
    loss = partial(task_loss, kind=task_kind)
    raw = auxiliary.heterogeneous
    return mean_over(loss, [(raw[m], labels, w) for m, w in modalities(codes, weights_b)])


def modality(codes: Codes, auxiliary: Auxiliary, weights_b: jax.Array) -> Term:
    """S_m tells which modality it is of: cross-entropy of one classifier for all modalities.

    As in ShaSpec (Wang et al. 2023). Its trap: S_m comes from an encoder of its own, so a constant
    code solves this perfectly, and says nothing of the sample.

    Args:
        codes: the codes of one view; only `available` is used.
        auxiliary: its `heterogeneous` holds the classifier's logits, [b, m] per modality.
        weights_b: [b], at least 0.

    Returns:
        The term, at least 0; log of the number of modalities is chance.
    """
    names = sorted(codes.available)
    logits = auxiliary.heterogeneous
    chex.assert_axis_dimension(logits[names[0]], 1, len(names))

    def loss(logits_bm: jax.Array, class_b: jax.Array, w_b: jax.Array) -> jax.Array:
        error_b = optax.softmax_cross_entropy_with_integer_labels(logits_bm, class_b)
        return weighted_mean(error_b, w_b)

    index = {m: jnp.full(weights_b.shape, i) for i, m in enumerate(names)}
    return mean_over(loss, [(logits[m], index[m], w) for m, w in modalities(codes, weights_b)])


def contrastive(
    codes: Codes,
    label_codes_be: jax.Array,
    weights_b: jax.Array,
    *,
    temperature: float,
    bandwidth: float,
) -> Term:
    """Samples of like labels have like S_m: `supervised_contrastive`, mean over modalities.

    Args:
        codes: the codes of one view; `heterogeneous` is [b, d] per modality.
        label_codes_be: [b, e], see `fsrf_jax.losses.task.label_codes`.
        weights_b: [b], at least 0.
        temperature: above 0.
        bandwidth: above 0, in label units.

    Returns:
        The term.
    """
    loss = partial(supervised_contrastive, temperature=temperature, bandwidth=bandwidth)
    s = codes.heterogeneous
    return mean_over(loss, [(s[m], label_codes_be, w) for m, w in modalities(codes, weights_b)])


def supervised_contrastive(
    x_bd: jax.Array,
    label_codes_be: jax.Array,
    weights_b: jax.Array,
    *,
    temperature: float = 0.1,
    bandwidth: float = 0.5,
) -> jax.Array:
    """Cross-entropy between who is alike by label and who is alike by code.

    `sum_i p_i [- sum_{j != i} q_ij log softmax_{j != i}(cos(x_i, x_j) / temperature + log w_j)]`
    with `q_ij` in proportion to `w_j exp(-|y_i - y_j|^2 / (2 bandwidth^2))`. Khosla et al. 2020
    (arXiv:2004.11362); graded labels: Dufumier et al. 2021 (arXiv:2106.08808). One-hot classes
    differ by |y_i - y_j|^2 = 2, which is as good as not alike at the default bandwidth.

    Args:
        x_bd: [b, d].
        label_codes_be: [b, e].
        weights_b: [b], at least 0; a common factor cancels.
        temperature: above 0.
        bandwidth: above 0.

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
    # A row without others keeps one finite entry, so that no gradient is NaN; it counts nothing.
    alone_b = ~others_bb.any(axis=1)
    kept_bb = others_bb | (alone_b[:, None] & jnp.eye(b, dtype=bool))
    kept_logits_bb = jnp.where(kept_bb, logits_bb, -jnp.inf)
    log_share_bb = logits_bb - jax.nn.logsumexp(kept_logits_bb, axis=1)[:, None]
    loss_b = -jnp.sum(jnp.where(others_bb, target_bb * log_share_bb, 0), axis=1)
    return weighted_mean(loss_b, weights_b)
