"""Pure functions of the training state of one run: one step, one epoch, the validation error.

`recipe` is the static part, and `hyper` are its numbers; `teacher` are the inference parameters of
the method's teacher, which are held still, or None. `mesh` are the devices that rows are spread
over; None leaves them together.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from fsrf_jax import sharding
from fsrf_jax.inference import predict_rows
from fsrf_jax.methods.method import Parameters
from fsrf_jax.missing import random_view
from fsrf_jax.options import Hyper, merge
from fsrf_jax.training.frozen import frozen_leaves, hold, keep
from fsrf_jax.training.optimizer import make_optimizer, moving_average, scheduled
from fsrf_jax.training.state import Recipe, TrainState, bad_in_a_row
from fsrf_jax.training.validation import Validation
from fsrf_jax.types import Batch, ByModality, Step


def train_step(
    recipe: Recipe, state: TrainState, batch: Batch, hyper: Hyper, teacher: Any = None
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One optimizer step on random views of a batch.

    A step in which a term, the total, the gradient or a new parameter is NaN or infinite is a bad
    one: it changes nothing but the number of steps. After `recipe.bad_steps` of them in a row a
    state stays as it is, so that what led to them can be looked at.

    Returns:
        The state after the step, and every raw loss term, the total and the gradient's norm.
    """
    terms, updates, optimizer = proposed_update(recipe, state, batch, hyper, teacher)
    frozen = frozen_leaves(state.parameters, recipe.freeze)
    stopped = bad_in_a_row(state) >= recipe.bad_steps
    # The total is bad if any term is, whatever it weighs: 0 times infinity is NaN. The parameters
    # are looked at as one vector: a look at each array takes as long as all the rest of an update.
    new = _vector(state.parameters) + _vector(updates)
    finite = jnp.isfinite(terms["total"]) & jnp.isfinite(terms["gradient_norm"])
    moves = ~stopped & finite & jnp.isfinite(new).all()
    # Neither x + 0 nor the average of equal numbers needs to be the same to the last bit.
    parameters = keep(frozen, state.parameters, optax.apply_updates(state.parameters, updates))
    inference, step = parameters["inference"], state.step + 1
    average = moving_average(merge(recipe, hyper).optimizer, step, state.average, inference)
    average = keep(frozen["inference"], inference, average)
    old = state.parameters, state.optimizer, state.average
    parameters, optimizer, average = jax.tree.map(
        partial(jnp.where, moves), (parameters, optimizer, average), old
    )
    state = dataclasses.replace(
        state,
        step=jnp.where(stopped, state.step, step),
        parameters=parameters,
        optimizer=optimizer,
        average=average,
    )
    return state, terms


def _vector(tree: Any) -> jax.Array:
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def proposed_update(
    recipe: Recipe, state: TrainState, batch: Batch, hyper: Hyper, teacher: Any = None
) -> tuple[dict[str, jax.Array], optax.Updates, optax.OptState]:
    """What a step computes, whatever becomes of it.

    Returns:
        The terms, what is to be added to the parameters, and the new state of the optimizer.
    """
    recipe = merge(recipe, hyper)
    method = recipe.method
    views, loss_key = step_views(recipe, state, batch)
    progress = (state.step + 1) / recipe.steps
    weights = method.term_weights(progress)
    frozen = frozen_leaves(state.parameters, recipe.freeze)
    given = Step(batch, views, progress, loss_key)

    def objective(parameters: Parameters) -> tuple[jax.Array, dict[str, jax.Array]]:
        terms = method.loss(recipe.setting, hold(frozen, parameters), teacher, given)
        if set(terms) != {"task", *weights}:
            raise ValueError(
                f"{method.name}: found the terms {sorted(terms)} and weights of {sorted(weights)}, "
                "expected a weight for every term but task."
            )
        total = terms["task"]
        for name in sorted(weights):
            total = total + weights[name] * terms[name]
        return total, terms | {"total": total}

    gradient, terms = jax.grad(objective, has_aux=True)(state.parameters)
    terms |= {"gradient_norm": optax.tree.norm(gradient)}
    optimizer = make_optimizer(recipe.optimizer, recipe.steps, frozen)
    before = scheduled(state.optimizer, state.step)
    updates, optimizer_state = optimizer.update(gradient, before, state.parameters)
    return terms, updates, optimizer_state


def step_views(
    recipe: Recipe, state: TrainState, batch: Batch
) -> tuple[list[ByModality], jax.Array]:
    """The observation masks of every view of the step after `state`, and the key of its losses."""
    step_stream, _ = jax.random.split(state.key)
    step_key = jax.random.fold_in(step_stream, state.step)
    *view_keys, loss_key = jax.random.split(step_key, recipe.method.views + 1)
    views = [random_view(key, batch.present, recipe.missing) for key in view_keys]
    return views + ([batch.present] if recipe.method.complete_view else []), loss_key


def epoch_order(state: TrainState, n: int, steps: int, rows: int) -> jax.Array:
    """Sample numbers [steps, rows] of the epoch that begins at `state`; -1 fills a batch up.

    Every sample stands in exactly one batch, and batches differ by at most one sample: a small
    last batch would make batch statistics of a few samples.
    """
    _, order_stream = jax.random.split(state.key)
    order = jax.random.permutation(jax.random.fold_in(order_stream, state.step // steps), n)
    per_step = -(-n // steps)
    order = jnp.pad(order, (0, steps * per_step - n), constant_values=-1)
    dealt = order.reshape(per_step, steps).T
    return jnp.pad(dealt, ((0, 0), (0, rows - per_step)), constant_values=-1)


def rows_of_step(recipe: Recipe, n: int) -> int:
    """How many rows a step of n samples has, with those that only fill it up."""
    return sharding.padded_rows(-(-n // recipe.steps_per_epoch))


def take(data: Batch, index_b: jax.Array) -> Batch:
    """Rows of a data set; an index of -1 gives a row of weight 0 with nothing in it."""
    real_b = index_b >= 0
    batch = jax.tree.map(lambda x: x[jnp.maximum(index_b, 0)], data)
    return dataclasses.replace(
        batch,
        valid={m: v & real_b[:, None] for m, v in batch.valid.items()},
        present={m: p & real_b[:, None] for m, p in batch.present.items()},
        weights=jnp.where(real_b, batch.weights, 0.0),
    )


def run_epoch(
    recipe: Recipe,
    mesh: Mesh | None,
    state: TrainState,
    data: Batch,
    validation: Validation,
    hyper: Hyper,
    teacher: Any = None,
) -> tuple[TrainState, dict[str, jax.Array], jax.Array]:
    """One epoch: all steps, then the validation error; keeps the best parameters.

    Returns:
        The new state, every term of every step [steps], and the validation error.
    """
    n, steps = data.labels.shape[0], recipe.steps_per_epoch
    rows = rows_of_step(recipe, n)

    def body(state: TrainState, index_b: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        batch = sharding.split_rows(take(data, index_b), mesh)
        return train_step(recipe, state, batch, hyper, teacher)

    state, terms = jax.lax.scan(body, state, epoch_order(state, n, steps, rows))
    score = validation_error(recipe, mesh, state.average, validation)
    return keep_best(recipe, state, score), terms, score


def keep_best(recipe: Recipe, state: TrainState, score: jax.Array) -> TrainState:
    """The state at the end of an epoch with this validation error."""
    better = score < state.best_score
    return dataclasses.replace(
        state,
        best=jax.tree.map(lambda new, old: jnp.where(better, new, old), state.average, state.best),
        best_score=jnp.where(better, score, state.best_score),
        best_epoch=jnp.where(better, state.step // recipe.steps_per_epoch, state.best_epoch),
    )


def validation_error(
    recipe: Recipe, mesh: Mesh | None, inference: Any, validation: Validation
) -> jax.Array:
    """Mean of `Task.prediction_error` over the validation samples and all their fixed masks."""
    batch, task = validation.batch, recipe.task

    def error(observed: ByModality) -> jax.Array:
        prediction = predict_rows(
            recipe.method, recipe.setting, mesh, inference, batch, observed, batch_size=512
        )
        return task.prediction_error(prediction, batch.labels).mean()

    return jax.lax.map(error, validation.observed).mean()
