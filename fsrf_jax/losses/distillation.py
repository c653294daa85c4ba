"""DAS: self-distillation between the views of the same samples.

Each view learns from the other, and the one learnt from is held still: `sg` is stop-gradient.
Learning in both directions is that of Zhang et al. 2018 (deep mutual learning, arXiv:1706.00384).
How much a sample counts for a learner is `teaching_weights`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, mean_over, weighted_mean
from fsrf_jax.losses.divergences import Divergence
from fsrf_jax.losses.task import gaussian_moments
from fsrf_jax.types import Codes, LossWeights


def teaching_weights(
    learner_b: jax.Array, teacher_b: jax.Array, *, direction: str, weigh_teacher: bool
) -> jax.Array:
    """How much the teacher's view of each sample has to say to the learner's.

    Args:
        learner_b: [b], completeness of the learner's view, the observed share in [0, 1].
        teacher_b: [b], that of the teacher's.
        direction: "both": every view teaches; "to_less_complete": only the more complete one, and
            neither where both are the same.
        weigh_teacher: count a sample by the completeness of its teacher's view.

    Returns:
        [b], in [0, 1].
    """
    may_teach_b = jnp.ones_like(teacher_b)
    if direction == "to_less_complete":
        may_teach_b = (teacher_b > learner_b).astype(teacher_b.dtype)
    return may_teach_b * teacher_b if weigh_teacher else may_teach_b


def features(
    first: Codes,
    second: Codes,
    to_first_b: jax.Array,
    to_second_b: jax.Array,
    divergences: Mapping[str, Divergence],
    aligned: Sequence[str] = ("fused", "heterogeneous", "homogeneous"),
) -> dict[str, Term]:
    """The codes of two views agree, `1/2 [D(z1, sg z2) + D(z2, sg z1)]`, for each divergence D.

    The mean over codes z and directions that have weight: F for all samples, H_m and S_m for those
    with the modality m available in both views.

    Args:
        first: the codes of one view, without the view axis.
        second: the codes of the other.
        to_first_b: [b], at least 0, weights of the samples where the first learns.
        to_second_b: [b], where the second learns.
        divergences: by name.
        aligned: which codes, of fused, heterogeneous and homogeneous.

    Returns:
        A term for each divergence.
    """
    chex.assert_rank([to_first_b, to_second_b], 1)
    chex.assert_trees_all_equal_structs(first, second)
    triples = []
    for x, y, w_b in ((first, second, to_first_b), (second, first, to_second_b)):
        if "fused" in aligned:
            triples.append((x.fused, y.fused, w_b))
        for name in ("heterogeneous", "homogeneous"):
            learner, teacher = getattr(x, name), getattr(y, name)
            for m in sorted(x.available) if name in aligned else ():
                both_b = x.available[m] * y.available[m] * w_b
                triples.append((learner[m], teacher[m], both_b))
    held = [(x_bd, jax.lax.stop_gradient(y_bd), w_b) for x_bd, y_bd, w_b in triples]
    return {name: mean_over(measure, held) for name, measure in divergences.items()}


def predictions(
    first_bo: jax.Array,
    second_bo: jax.Array,
    to_first_b: jax.Array,
    to_second_b: jax.Array,
    disagreement: Callable[[jax.Array, jax.Array], jax.Array],
) -> Term:
    """The predictions of two views agree, `1/2 [D(y1, sg y2) + D(y2, sg y1)]`.

    Args:
        first_bo: [b, o], raw output of one view.
        second_bo: [b, o], that of the other.
        to_first_b: [b], at least 0, weights of the samples where the first learns.
        to_second_b: [b], where the second learns.
        disagreement: learner and teacher [b, o] to [b].

    Returns:
        The term, at least 0.
    """
    chex.assert_rank([first_bo, second_bo, to_first_b, to_second_b], [2, 2, 1, 1])
    chex.assert_equal_shape([first_bo, second_bo])

    def learn(learner_bo: jax.Array, teacher_bo: jax.Array, w_b: jax.Array) -> jax.Array:
        return weighted_mean(disagreement(learner_bo, jax.lax.stop_gradient(teacher_bo)), w_b)

    return mean_over(learn, [(first_bo, second_bo, to_first_b), (second_bo, first_bo, to_second_b)])


def squared(learner_bo: jax.Array, teacher_bo: jax.Array) -> jax.Array:
    """Squared difference of two predicted numbers, or of the means of two Gaussian heads, [b]."""
    return jnp.square(learner_bo[:, 0] - teacher_bo[:, 0])


def kl(learner_bo: jax.Array, teacher_bo: jax.Array, *, temperature: float = 1) -> jax.Array:
    """`temperature^2 KL(teacher || learner)` of softmax(raw / temperature), [b], at least 0.

    Hinton et al. 2015 (arXiv:1503.02531); the square keeps the gradient's size.
    """
    teacher_bo = jax.nn.log_softmax(teacher_bo / temperature)
    learner_bo = jax.nn.log_softmax(learner_bo / temperature)
    return temperature**2 * jnp.sum(jnp.exp(teacher_bo) * (teacher_bo - learner_bo), axis=-1)


def binary_kl(learner_bo: jax.Array, teacher_bo: jax.Array, *, temperature: float = 1) -> jax.Array:
    """`kl` of the two classes of each binary task, mean over the tasks, [b]."""

    def two_classes(raw_bo: jax.Array) -> jax.Array:
        return jnp.stack([raw_bo, jnp.zeros_like(raw_bo)], axis=-1)

    per_task_bo = kl(two_classes(learner_bo), two_classes(teacher_bo), temperature=temperature)
    return jnp.mean(per_task_bo, axis=-1)


def gaussian_kl(learner_bo: jax.Array, teacher_bo: jax.Array) -> jax.Array:
    """KL(teacher || learner) of two Gaussian heads in closed form, [b], at least 0."""
    mean_b, log_b = gaussian_moments(learner_bo)
    teacher_mean_b, teacher_log_b = gaussian_moments(teacher_bo)
    squared_b = jnp.square(teacher_mean_b - mean_b) * jnp.exp(-log_b)
    return (jnp.expm1(teacher_log_b - log_b) - (teacher_log_b - log_b) + squared_b) / 2


PREDICTION: dict[str, Callable[..., jax.Array]] = {
    "gaussian_kl": gaussian_kl,
    "kl": kl,
    "squared": squared,
}


def warm_up(weights: LossWeights, share: jax.Array) -> LossWeights:
    """The weights with those of distillation times `share`, a scalar in [0, 1]."""
    return dataclasses.replace(
        weights,
        feature_distillation={k: share * w for k, w in weights.feature_distillation.items()},
        prediction_distillation=share * weights.prediction_distillation,
    )
