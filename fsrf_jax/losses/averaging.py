"""Means by weights, never by shapes: whatever has no weight counts nothing and has no gradient."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Term(NamedTuple):
    """One loss term of one view (or pair of views).

    Attributes:
        value: scalar; 0 where `weight` is 0.
        weight: scalar, the total availability weight behind the value, at least 0.
    """

    value: jax.Array
    weight: jax.Array


def proportions(weights_b: jax.Array) -> jax.Array:
    """Weights divided by their sum, [b] to [b]; all zeros if the sum is 0."""
    chex.assert_rank(weights_b, 1)
    total = jnp.sum(weights_b)
    return weights_b / jnp.where(total > 0, total, 1)


def weighted_mean(values_b: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Mean of values by weights, `sum_i w_i v_i / sum_i w_i`.

    Args:
        values_b: [b]; a value without weight may be anything, even NaN.

    Returns:
        A scalar; exactly 0 with zero gradient if no value has any weight.
    """
    chex.assert_rank([values_b, weights_b], 1)
    chex.assert_equal_shape([values_b, weights_b])
    # 0 * NaN is NaN, so a value without weight is replaced rather than multiplied away.
    return jnp.sum(proportions(weights_b) * jnp.where(weights_b > 0, values_b, 0))


def column_means(x_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Mean of every column by weights, [b, d] and [b] to [d]; zeros without weight."""
    chex.assert_rank([x_bd, weights_b], [2, 1])
    chex.assert_equal_shape_prefix([x_bd, weights_b], 1)
    # A sum, not a matrix product: an accelerator may shorten the floats of a product.
    return jnp.sum(proportions(weights_b)[:, None] * x_bd, axis=0)


def weighted_std(x_bd: jax.Array, weights_b: jax.Array) -> jax.Array:
    """Standard deviation of every column by weights, `sqrt(sum_i p_i (x_i - mean)^2)`.

    Returns:
        [d]; exactly 0 with zero gradient for a constant column, one sample, or no weight.
    """
    centred_bd = x_bd - column_means(x_bd, weights_b)[None, :]
    variance_d = column_means(jnp.square(centred_bd), weights_b)
    # The slope of a square root at 0 is infinite: the inner `where` keeps it out of the gradient.
    positive_d = variance_d > 0
    return jnp.where(positive_d, jnp.sqrt(jnp.where(positive_d, variance_d, 1)), 0)


def mean_of_active(values_n: jax.Array, weights_n: jax.Array) -> jax.Array:
    """Plain mean of the values whose weight is above 0.

    Args:
        values_n: [n], n may be 0.
        weights_n: [n], at least 0; only whether a weight is 0 matters.

    Returns:
        A scalar; exactly 0 with zero gradient if there are no such values.
    """
    chex.assert_rank([values_n, weights_n], 1)
    chex.assert_equal_shape([values_n, weights_n])
    active_n = weights_n > 0
    count = jnp.sum(active_n, dtype=values_n.dtype)
    return jnp.sum(jnp.where(active_n, values_n, 0)) / jnp.maximum(count, 1)


def average(terms: Sequence[Term]) -> Term:
    """One term from those of several modalities or pairs: the mean of the active ones.

    Args:
        terms: any number of terms; none at all gives a term of value 0 and weight 0.

    Returns:
        The mean of the values that have weight, and the sum of the weights.
    """
    values_n = jnp.array([term.value for term in terms])
    weights_n = jnp.array([term.weight for term in terms])
    return Term(mean_of_active(values_n, weights_n), jnp.sum(weights_n))


def mean_over(
    function: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    x_n: jax.Array,
    y_n: jax.Array,
    weights_nb: jax.Array,
) -> Term:
    """Mean of `function(x, y, weights_b)` over the n triples whose weights do not sum to zero.

    All triples run as one, by `vmap`: written out, they make the program long to compile.

    Args:
        function: gives a scalar for one triple.
        x_n: [n, ..], n may be 0.
        y_n: [n, ..].
        weights_nb: [n, b], at least 0.

    Returns:
        The term; its weight is the sum of all weights.
    """
    chex.assert_rank(weights_nb, 2)
    chex.assert_equal_shape_prefix([x_n, y_n, weights_nb], 1)
    weights_n = jnp.sum(weights_nb, axis=1)
    values_n = jax.vmap(function)(x_n, y_n, weights_nb)
    return Term(mean_of_active(values_n, weights_n), jnp.sum(weights_n))


def repeated(x: jax.Array, n: int) -> jax.Array:
    """The same array n times on a new leading axis, [n, ..]: what all n triples have in common."""
    return jnp.broadcast_to(x[None], (n, *x.shape))
