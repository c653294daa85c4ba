"""What every method does with its network: one view, or all views of a step in one pass.

A network is called with a `View` and `train`, and gives a tuple of arrays [m, b, ..]; what all
modalities share, such as its raw output `raw`, has a leading axis of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.losses.averaging import Term, mean_of_active
from fsrf_jax.losses.task import Task
from fsrf_jax.types import Batch, ByModality, Step, View

Tree = TypeVar("Tree")


def of_view(network: nn.Module, inference: Any, view: View) -> Any:
    """What a network makes of one view, without dropout."""
    return network.apply({"params": inference}, view, train=False)


def of_views(network: nn.Module, inference: Any, step: Step) -> Any:
    """What it makes of the k views of a step, in ONE pass with dropout: arrays [k, m, b, ..]."""
    stacked = stack_views(step.batch, step.views)
    seen = network.apply({"params": inference}, stacked, train=True, rngs={"dropout": step.key})
    return unstack_views(seen, len(step.views))


def task_loss(task: Task, raw_k1bo: jax.Array, batch: Batch) -> jax.Array:
    """L_task: the mean over the views."""
    of_each = jax.vmap(lambda raw_bo: task.loss(raw_bo, batch.labels, batch.weights))
    return jnp.mean(of_each(raw_k1bo[:, 0]))


def mean_over_views(terms: Mapping[str, Term]) -> dict[str, jax.Array]:
    """Terms with a leading axis k of views: each the mean of the views that have weight."""
    return {name: mean_of_active(*term) for name, term in terms.items()}


def stack_views(batch: Batch, views: Sequence[ByModality]) -> View:
    """k views of b samples as one: k * b rows of masks, and the features once."""
    observed = jax.tree.map(lambda *masks: jnp.concatenate(masks), *views)
    return View(batch.features, batch.valid, observed)


def unstack_views(stacked: Tree, k: int) -> Tree:
    """Arrays [m, k * b, ..] of what a network made of them to [k, m, b, ..]."""

    def apart(x: jax.Array) -> jax.Array:
        return x.reshape(len(x), k, -1, *x.shape[2:]).swapaxes(0, 1)

    return jax.tree.map(apart, stacked)
