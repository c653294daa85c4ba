"""All views of a batch in one forward pass: stacked along the batch axis, and taken apart again."""

from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp

from fsrf_jax.types import Batch, ByModality, View

Tree = TypeVar("Tree")


def stack_views(batch: Batch, views: Sequence[ByModality]) -> View:
    """k views as one, of k * b rows."""
    features, valid = jax.tree.map(
        lambda x: jnp.concatenate([x] * len(views)), (batch.features, batch.valid)
    )
    return View(features, valid, jax.tree.map(lambda *masks: jnp.concatenate(masks), *views))


def unstack_views(stacked: Tree, k: int) -> Tree:
    """Arrays [m, k * b, ..] of what a network made of them to [k, m, b, ..]."""

    def apart(x: jax.Array) -> jax.Array:
        return x.reshape(len(x), k, -1, *x.shape[2:]).swapaxes(0, 1)

    return jax.tree.map(apart, stacked)
