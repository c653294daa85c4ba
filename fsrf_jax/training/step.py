"""Pure functions of the training state: one step, one epoch, predictions for many samples."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from fsrf_jax import models
from fsrf_jax.data.labels import SMALLEST_PROBABILITY
from fsrf_jax.losses import LossOptions, total_loss
from fsrf_jax.losses.distillation import warm_up
from fsrf_jax.missing import random_view
from fsrf_jax.training import sharding
from fsrf_jax.training.state import Method, TrainState
from fsrf_jax.types import Batch, ByModality, HyperParameters

Tree = TypeVar("Tree")

VIEWS = 2  # incomplete views of a sample


@struct.dataclass
class Validation:
    """The validation split under fixed masks.

    Attributes:
        batch: n complete samples.
        observed: bool [v, n, t] per modality; v draws of the training missingness.
    """

    batch: Batch
    observed: ByModality


def train_step(
    method: Method, state: TrainState, batch: Batch, hyper: HyperParameters
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One optimizer step on two random views of a batch, and the clean one where there is one.

    Args:
        method: what is fixed.
        state: before the step.
        batch: complete samples.
        hyper: loss weights, learning rate and the like.

    Returns:
        The state after the step, and every raw loss term, the total and the gradient's norm.
    """
    step_stream, _ = jax.random.split(state.key)
    step_key = jax.random.fold_in(step_stream, state.step)
    *view_keys, dropout_key = jax.random.split(step_key, VIEWS + 1)
    views = [random_view(key, batch.valid, method.missing) for key in view_keys]
    views += [batch.valid] if method.clean_view else []
    weights = warm_up(hyper.weights, _warm_up_share(method, state.step))
    network, options = _with_numbers(method, hyper)

    def objective(parameters: dict) -> tuple[jax.Array, dict[str, jax.Array]]:
        outputs = models.forward_views(
            network, method.auxiliary, parameters, batch, views, dropout_key
        )
        return total_loss(outputs, batch, weights, options)

    gradient, terms = jax.grad(objective, has_aux=True)(state.parameters)
    updates, optimizer = method.optimizer.update(gradient, state.optimizer, state.parameters)
    updates = jax.tree.map(lambda update: hyper.learning_rate * update, updates)
    parameters = optax.apply_updates(state.parameters, updates)
    state = dataclasses.replace(
        state, step=state.step + 1, parameters=parameters, optimizer=optimizer
    )
    return state, terms | {"gradient_norm": optax.tree.norm(gradient)}


def _with_numbers(method: Method, hyper: HyperParameters) -> tuple[models.Network, LossOptions]:
    """Network and loss options with the numbers that are arrays in place of their own."""
    network, losses = method.network, method.losses
    # Typed as numbers, since arrays only stand here inside a program that is being compiled.
    dropout: Any = network.dropout if hyper.dropout is None else hyper.dropout
    temperature: Any = hyper.temperature
    distillation = dataclasses.replace(losses.distillation, temperature=temperature)
    return (
        dataclasses.replace(network, dropout=dropout),
        dataclasses.replace(losses, distillation=distillation),
    )


def _warm_up_share(method: Method, step: jax.Array) -> jax.Array:
    """Share of its weight that distillation has at a step, in (0, 1]."""
    steps = method.losses.distillation.warmup * method.steps_per_epoch
    return jnp.minimum((step + 1) / max(steps, 1), 1.0)


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


def take(data: Batch, index_b: jax.Array) -> Batch:
    """Rows of a data set; an index of -1 gives a row of weight 0 with nothing in it."""
    real_b = index_b >= 0
    batch = jax.tree.map(lambda x: x[jnp.maximum(index_b, 0)], data)
    return dataclasses.replace(
        batch,
        valid={m: v & real_b[:, None] for m, v in batch.valid.items()},
        weights=jnp.where(real_b, batch.weights, 0.0),
    )


def run_epoch(
    method: Method,
    mesh: Mesh | None,
    state: TrainState,
    data: Batch,
    validation: Validation,
    hyper: HyperParameters,
) -> tuple[TrainState, dict[str, jax.Array], jax.Array]:
    """One epoch: all steps, then the validation error; keeps the best network.

    Args:
        method: what is fixed.
        mesh: devices to spread the rows of a batch over; None leaves them together.
        state: at an epoch's beginning.
        data: the whole training split.
        validation: the validation split with its masks.
        hyper: loss weights, learning rate and the like.

    Returns:
        The new state, every term of every step [steps], and the validation error.
    """
    n, steps = data.labels.shape[0], method.steps_per_epoch
    rows = sharding.padded_rows(-(-n // steps), mesh)

    def body(state: TrainState, index_b: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        batch = sharding.split_rows(take(data, index_b), mesh)
        return train_step(method, state, batch, hyper)

    state, terms = jax.lax.scan(body, state, epoch_order(state, n, steps, rows))
    network = state.parameters["network"]
    score = validation_error(method.network, mesh, network, validation)
    better = score < state.best_score
    state = dataclasses.replace(
        state,
        best_network=jax.tree.map(
            lambda new, old: jnp.where(better, new, old), network, state.best_network
        ),
        best_score=jnp.where(better, score, state.best_score),
        best_epoch=jnp.where(better, state.step // steps, state.best_epoch),
    )
    return state, terms, score


# One epoch is one program; data, validation and hyper-parameters are replicated over the mesh.
train_epoch = jax.jit(run_epoch, static_argnames=("method", "mesh"), donate_argnames=("state",))


def validation_error(
    network: models.Network, mesh: Mesh | None, parameters: dict, validation: Validation
) -> jax.Array:
    """Mean error over the validation samples and all their fixed masks.

    The absolute error of a number, or of a Gaussian's mean; the cross-entropy of classes, and of
    binary tasks their mean.
    """
    batch = validation.batch

    def error(observed: ByModality) -> jax.Array:
        prediction = predict_rows(network, mesh, parameters, batch, observed, batch_size=512)
        return prediction_errors(network.head, prediction, batch.labels).mean()

    return jax.lax.map(error, validation.observed).mean()


def prediction_errors(head: str, prediction: jax.Array, labels: jax.Array) -> jax.Array:
    """Error of each prediction, [n], as `models.predict` gives them: see `validation_error`."""
    if head == "class":
        classes_n1 = labels.astype(jnp.int32)[:, None]
        right_n = jnp.take_along_axis(prediction, classes_n1, axis=1)[:, 0]
        return -jnp.log(jnp.maximum(right_n, SMALLEST_PROBABILITY))
    if head == "binary":
        right_no = jnp.where(labels > 0.5, prediction, 1 - prediction)
        return -jnp.log(jnp.maximum(right_no, SMALLEST_PROBABILITY)).mean(axis=1)
    mean_n = prediction[:, 0] if head == "gaussian" else prediction
    return jnp.abs(mean_n - labels)


def predict_rows(
    network: models.Network,
    mesh: Mesh | None,
    parameters: dict,
    batch: Batch,
    observed: ByModality,
    batch_size: int,
) -> jax.Array:
    """`models.predict` for any number of samples n, `batch_size` at a time; traceable."""
    variables = {"network": parameters}

    def predict(features: ByModality, valid: ByModality, observed: ByModality) -> jax.Array:
        return models.predict(network, variables, features, valid, observed)

    return map_rows(predict, mesh, (batch.features, batch.valid, observed), batch_size)


def map_rows(
    function: Callable[..., Tree], mesh: Mesh | None, inputs: tuple[Any, ...], batch_size: int
) -> Tree:
    """A function of rows for any number of rows n, `batch_size` at a time; traceable.

    Args:
        function: arguments whose arrays have b rows to a pytree of arrays with b rows.
        mesh: devices to spread the rows over; None leaves them together.
        inputs: the arguments, with n rows.
        batch_size: rows at a time, made to divide evenly over the devices.
    """
    n = jax.tree.leaves(inputs)[0].shape[0]
    rows = sharding.padded_rows(min(batch_size, n), mesh)
    chunks = -(-n // rows)

    def chunk(index_b: jax.Array) -> Tree:
        index_b = jnp.minimum(index_b, n - 1)
        taken = jax.tree.map(lambda x: x[index_b], inputs)
        return function(*sharding.split_rows(taken, mesh))

    mapped = jax.lax.map(chunk, jnp.arange(chunks * rows).reshape(chunks, rows))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], mapped)
