"""DAS: self-distillation between the views of the same samples.

Each view learns from the other, and the one learnt from is held still: `sg` is stop-gradient.
Learning in both directions is that of Zhang et al. 2018 (deep mutual learning, arXiv:1706.00384).
How much a sample counts for a learner is `teaching_weights`; how two predictions differ is
`Task.disagreement`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, mean_over, weighted_mean
from fsrf_jax.losses.divergences import Divergence
from fsrf_jax.losses.task import PREDICTION
from fsrf_jax.options import expect, number

if TYPE_CHECKING:  # the registry is the only list of names
    PredictionName = str
else:
    PredictionName = Literal[("auto", *sorted(PREDICTION))]


@dataclass(frozen=True)
class DistillationOptions:
    """Views of one sample teach each other."""

    direction: Literal["both", "to_less_complete", "off"] = "both"
    """Who teaches: both views, only the more complete one, or nobody."""
    weigh_teacher: bool = False
    """A sample counts by the completeness of its teacher's view."""
    warmup: float = number(0.0, 0, 1)
    """Share of the training over which the weights of distillation grow from 0."""
    codes: tuple[Literal["fused", "heterogeneous", "homogeneous"], ...] = (
        "fused",
        "heterogeneous",
        "homogeneous",
    )
    """Codes that are aligned."""
    prediction: PredictionName = "auto"
    """Disagreement of predictions; auto is squared for numbers and kl for the others."""
    temperature: float = number(1.0, 1e-3)
    """Temperature of kl."""

    def check(self) -> None:
        """Raise ValueError unless there are codes to align, each once."""
        once = len(self.codes) > 0 and len(set(self.codes)) == len(self.codes)
        expect(once, "codes", self.codes, "one or more, each once")


def teaching_weights(
    learner_b: jax.Array, teacher_b: jax.Array, *, direction: str, weigh_teacher: bool
) -> jax.Array:
    """How much each sample counts where the learner's view learns from the teacher's.

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
    first_nbd: jax.Array,
    second_nbd: jax.Array,
    shared_nb: jax.Array,
    to_first_b: jax.Array,
    to_second_b: jax.Array,
    divergences: Mapping[str, Divergence],
) -> dict[str, Term]:
    """The codes of two views agree, `1/2 [D(z1, sg z2) + D(z2, sg z1)]`, for each divergence D.

    The mean over codes and directions that have weight: the fused code F for all samples, H_m and
    S_m for those with the modality m available in both views.

    Args:
        first_nbd: [n, b, d], n codes of one view.
        second_nbd: [n, b, d], the same codes of the other.
        shared_nb: [n, b], 1 where a code is available in both views, else 0.
        to_first_b: [b], at least 0, weights of the samples where the first learns.
        to_second_b: [b], where the second learns.
        divergences: by name.

    Returns:
        A term for each divergence.
    """
    chex.assert_rank([first_nbd, shared_nb, to_first_b, to_second_b], [3, 2, 1, 1])
    chex.assert_equal_shape([first_nbd, second_nbd])
    learners = jnp.concatenate([first_nbd, second_nbd])
    teachers = jax.lax.stop_gradient(jnp.concatenate([second_nbd, first_nbd]))
    weights = jnp.concatenate([shared_nb * to_first_b[None], shared_nb * to_second_b[None]])
    return {
        name: mean_over(measure, learners, teachers, weights)
        for name, measure in divergences.items()
    }


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

    return mean_over(
        learn,
        jnp.stack([first_bo, second_bo]),
        jnp.stack([second_bo, first_bo]),
        jnp.stack([to_first_b, to_second_b]),
    )


def warm_up(progress: jax.Array, share: float | jax.Array) -> jax.Array:
    """Factor of the weights of distillation, which grows from 0 to 1 as training goes on.

    Args:
        progress: scalar in (0, 1], the share of the training that is done.
        share: scalar in [0, 1], the share over which the factor grows; 0: it is 1 from the start.

    Returns:
        A scalar in (0, 1].
    """
    share = jnp.asarray(share, jnp.float32)
    return jnp.where(share > 0, jnp.minimum(progress / jnp.where(share > 0, share, 1), 1), 1)
