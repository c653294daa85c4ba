"""Distillation of how samples, categories and responses relate, as in CorrKD.

Li et al. 2024 (CVPR, arXiv:2404.16456); `fsrf_jax.methods.corrkd` says what is stated there.
`student_bd` and `teacher_bd` are codes of the same samples, and `weights_b` [b], at least 0, are
weights of the samples; a sample without weight may hold anything. Hold the teacher still before.
Every term is a scalar, at least 0, and exactly 0 with zero gradient without weight.
"""

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import weighted_mean
from fsrf_jax.losses.codes import PRECISION, prepare_pair, squared_distances, unit_rows

# Below it, codes at length 1 count as the same, and do not push each other apart.
SMALLEST_SQUARED_DISTANCE = 1e-6


def contrastive(
    student_bd: jax.Array,
    teacher_bd: jax.Array,
    weights_b: jax.Array,
    *,
    margin: float | jax.Array = 1.2,
) -> jax.Array:
    """Codes of one sample come together, those of two samples stay a margin apart.

    `sum_i p_i [D_ii^2 + sum_{j != i} q_ij max(0, margin - D_ij)^2]` with D_ij the distance of the
    student's code i from the teacher's code j, both at length 1, and q_ij in proportion to w_j
    (Hadsell et al. 2006, with teacher and student as the two branches).

    Args:
        margin: in [0, 2], the range of D.

    Returns:
        A scalar in [0, 4 + margin^2].
    """
    student_bd, teacher_bd, weights_b = prepare_pair(student_bd, teacher_bd, weights_b)
    student_bd, teacher_bd = unit_rows(student_bd), unit_rows(teacher_bd)
    same_b = jnp.sum(jnp.square(student_bd - teacher_bd), axis=-1)
    squared_bb = squared_distances(student_bd, teacher_bd)
    # The slope of a square root at 0 is infinite: the inner `where` keeps it out of the gradient.
    apart_bb = squared_bb > SMALLEST_SQUARED_DISTANCE
    distance_bb = jnp.where(apart_bb, jnp.sqrt(jnp.where(apart_bb, squared_bb, 1)), 0)
    hinge_bb = jnp.square(jnp.maximum(margin - distance_bb, 0))
    others_bb = weights_b[None, :] * (1 - jnp.eye(len(weights_b)))
    total_b = jnp.sum(others_bb, axis=1)
    other_b = jnp.sum(others_bb * hinge_bb, axis=1) / jnp.where(total_b > 0, total_b, 1)
    return weighted_mean(same_b + other_b, weights_b)


def members(category_bg: jax.Array, categories: int) -> jax.Array:
    """Which category each sample is of, as 0 and 1, [b, g * c], for g questions of c categories."""
    return jax.nn.one_hot(category_bg, categories).reshape(len(category_bg), -1)


def prototype(
    student_bd: jax.Array, teacher_bd: jax.Array, members_bk: jax.Array, weights_b: jax.Array
) -> jax.Array:
    """The student's codes lie to its prototypes as the teacher's codes do to the teacher's.

    `sum_i p_i mean_k (cos(s_i, c^s_k) - cos(t_i, c^t_k))^2`, where the prototype c_k is the mean of
    the codes of category k by weights, and k runs over the categories that have weight.

    Args:
        members_bk: [b, k], 1 where a sample is of a category.

    Returns:
        A scalar in [0, 4].
    """
    student_bd, teacher_bd, weights_b = prepare_pair(student_bd, teacher_bd, weights_b)
    chex.assert_shape(members_bk, (len(weights_b), None))
    weights_bk = members_bk * weights_b[:, None]
    total_k = jnp.sum(weights_bk, axis=0)
    present_k = total_k > 0
    share_bk = weights_bk / jnp.where(present_k, total_k, 1)[None]

    def cosines(x_bd: jax.Array) -> jax.Array:
        prototype_kd = jnp.matmul(share_bk.T, x_bd, precision=PRECISION)
        return jnp.matmul(unit_rows(x_bd), unit_rows(prototype_kd).T, precision=PRECISION)

    squared_bk = jnp.square(cosines(student_bd) - cosines(teacher_bd))
    total_b = jnp.sum(jnp.where(present_k[None], squared_bk, 0), axis=1)
    return weighted_mean(total_b / jnp.maximum(jnp.sum(present_k), 1), weights_b)


def disentangled(
    probabilities_bgc: jax.Array, category_bg: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Probabilities of the right category [b, g], and of all others [b, g * (c - 1)], in order.

    Where the right one stood cannot be seen from the others, or a critic could tell the labels.
    """
    b, g, c = probabilities_bgc.shape
    chex.assert_shape(category_bg, (b, g))
    right_bg = jnp.take_along_axis(probabilities_bgc, category_bg[..., None], axis=2)[..., 0]
    before = jnp.arange(c - 1)[None, None] < category_bg[..., None]
    others_bgc = jnp.where(before, probabilities_bgc[..., :-1], probabilities_bgc[..., 1:])
    return right_bg, others_bgc.reshape(b, -1)


def information_loss(
    student_bd: jax.Array, teacher_bd: jax.Array, weights_b: jax.Array
) -> jax.Array:
    """Twice log 2 minus the Jensen-Shannon estimate of the mutual information; minimised by all.

    `sum_i p_i softplus(-T_ii) + sum_{i != j} p_ij softplus(T_ij)` with the critic
    `T_ij = <f(s_i), g(t_j)> / sqrt(d)`: a classifier of pairs of one sample against pairs of two
    (Hjelm et al. 2019, arXiv:1808.06670; Nowozin et al. 2016, arXiv:1606.00709).

    Args:
        student_bd: f of the student's responses.
        teacher_bd: g of the teacher's.

    Returns:
        A scalar, at least 0; 2 log 2 where nothing is known, 0 for fewer than two samples.
    """
    student_bd, teacher_bd, weights_b = prepare_pair(student_bd, teacher_bd, weights_b)
    b, d = student_bd.shape
    t_bb = jnp.matmul(student_bd, teacher_bd.T, precision=PRECISION) / d**0.5
    pairs_bb = weights_b[:, None] * weights_b[None, :] * (1 - jnp.eye(b))
    several = jnp.sum(pairs_bb) > 0
    same = weighted_mean(jax.nn.softplus(-jnp.diagonal(t_bb)), weights_b)
    other = weighted_mean(jax.nn.softplus(t_bb).reshape(-1), pairs_bb.reshape(-1))
    return jnp.where(several, same, 0) + other
