"""Self-distillation between two incomplete views of the same samples (DAS).

Each view learns from the other, and the one learnt from is held still: `sg` is stop-gradient.
Learning in both directions is that of Zhang et al. 2018 (deep mutual learning, arXiv:1706.00384).
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, mean_over, weighted_mean
from fsrf_jax.losses.divergences import Divergence
from fsrf_jax.types import Codes


def features(
    first: Codes,
    second: Codes,
    weights_b: jax.Array,
    divergences: Sequence[tuple[float, Divergence]],
) -> Term:
    """The codes of the two views agree, `1/2 [D(z1, sg z2) + D(z2, sg z1)]`.

    The mean over the codes z that have weight: F for all samples, H_m and S_m for those with the
    modality m available in both views.

    Args:
        first: the codes of one view, without the view axis.
        second: the codes of the other.
        weights_b: [b], at least 0.
        divergences: D is the sum of these, each times its weight.

    Returns:
        The term.
    """
    chex.assert_rank(weights_b, 1)
    chex.assert_trees_all_equal_structs(first, second)
    triples = [(first.fused, second.fused, weights_b)]
    for m in sorted(first.available):
        both_b = first.available[m] * second.available[m] * weights_b
        triples.append((first.homogeneous[m], second.homogeneous[m], both_b))
        triples.append((first.heterogeneous[m], second.heterogeneous[m], both_b))
    # Each code once as the learner and once as the teacher: their mean is the 1/2 of the formula.
    triples += [(y_bd, x_bd, both_b) for x_bd, y_bd, both_b in triples]

    def learn(learner_bd: jax.Array, teacher_bd: jax.Array, both_b: jax.Array) -> jax.Array:
        teacher_bd = jax.lax.stop_gradient(teacher_bd)
        values = [
            weight * measure(learner_bd, teacher_bd, both_b) for weight, measure in divergences
        ]
        return jnp.sum(jnp.array(values))

    term = mean_over(learn, triples)
    return Term(term.value, term.weight / 2)


def predictions(first_b: jax.Array, second_b: jax.Array, weights_b: jax.Array) -> Term:
    """The predicted numbers agree, `sum_i p_i 1/2 [(y1 - sg y2)^2 + (y2 - sg y1)^2]`.

    Args:
        first_b: [b], the prediction from one view.
        second_b: [b], that from the other.
        weights_b: [b], at least 0.

    Returns:
        The term; its value is at least 0.
    """
    chex.assert_rank([first_b, second_b, weights_b], 1)
    chex.assert_equal_shape([first_b, second_b, weights_b])
    to_first_b = jnp.square(first_b - jax.lax.stop_gradient(second_b))
    to_second_b = jnp.square(second_b - jax.lax.stop_gradient(first_b))
    return Term(weighted_mean((to_first_b + to_second_b) / 2, weights_b), jnp.sum(weights_b))
