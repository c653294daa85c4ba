"""Many runs as one program: seeds and hyper-parameters are a leading axis of members.

The members are those of one `Method`: what differs between them are arrays, that is, the seed and
the numbers of `HyperParameters`. Each member has its own best network and its own early stopping,
and trains as it would alone, to float tolerance.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fsrf_jax.training import checkpoints
from fsrf_jax.training.loop import (
    EpochRecord,
    InterruptedTraining,
    epoch_record,
    is_complete,
    signals,
)
from fsrf_jax.training.state import Method, TrainState, init_state
from fsrf_jax.training.step import Validation, run_epoch
from fsrf_jax.types import Batch, HyperParameters


def stack(members: Sequence[Any]) -> Any:
    """Pytrees of one structure as one, with a leading axis of members."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def member(population: Any, index: int) -> Any:
    """One member of a pytree with a leading axis of members."""
    return jax.tree.map(lambda leaf: leaf[index], population)


@jax.jit(static_argnames="method")
def init_population(method: Method, example: Batch, keys_p: jax.Array) -> TrainState:
    """States before the first step, one for each typed key; `example` gives a batch's shapes."""
    return jax.vmap(lambda key: init_state(method, example, key))(keys_p)


def divides(population: Any, mesh: Mesh) -> bool:
    """Whether the members can be spread evenly over the devices."""
    return jax.tree.leaves(population)[0].shape[0] % mesh.size == 0


def split_members(population: Any, mesh: Mesh) -> Any:
    """The members spread over the devices, or all on every device where they do not divide."""
    axis = "data" if divides(population, mesh) else None
    return jax.device_put(population, NamedSharding(mesh, PartitionSpec(axis)))


@jax.jit(static_argnames=("method", "mesh", "epochs", "patience"), donate_argnames=("states",))
def train_population(
    method: Method,
    mesh: Mesh,
    states: TrainState,
    data: Batch,
    validation: Validation,
    hypers: HyperParameters,
    *,
    epochs: int,
    patience: int,
) -> tuple[TrainState, dict[str, jax.Array], jax.Array]:
    """One epoch of every member; members that are complete stay as they are.

    A device trains its own members and waits for no other: `shard_map` says so outright, whatever
    the compiler would make of the program by itself.

    Args:
        method: what is fixed, and the same for all.
        mesh: devices, see `split_members`.
        states: of p members; donated.
        data: the whole training split.
        validation: the validation split with its masks.
        hypers: of p members.
        epochs: number of epochs in all.
        patience: epochs without a better validation error before a member stops; 0: never.

    Returns:
        The new states, every term of every step [p, steps], and the validation errors [p].
    """

    def of_member(
        state: TrainState, data: Batch, validation: Validation, hyper: HyperParameters
    ) -> tuple[TrainState, dict[str, jax.Array], jax.Array]:
        complete = is_complete(method, state, epochs, patience)
        new, terms, score = run_epoch(method, None, state, data, validation, hyper)
        kept = jax.tree.map(lambda old, new: jnp.where(complete, old, new), state, new)
        return kept, terms, score

    of_members = jax.vmap(of_member, in_axes=(0, None, None, 0))
    if divides(states, mesh):
        own, whole = PartitionSpec("data"), PartitionSpec()
        specs = (own, whole, whole, own)
        of_members = jax.shard_map(of_members, mesh=mesh, in_specs=specs, out_specs=own)
    return of_members(states, data, validation, hypers)


def fit_population(
    method: Method,
    mesh: Mesh,
    states: TrainState,
    data: Batch,
    validation: Validation,
    hypers: HyperParameters,
    *,
    epochs: int,
    patience: int,
    manager: checkpoints.Manager,
    checkpoint_every: int,
    preparation: Any,
    report: Callable[[int, EpochRecord], None],
) -> TrainState:
    """Train until every member is complete, or a signal comes.

    Args:
        method: what is fixed.
        mesh: devices; the members are spread over them, see `split_members`.
        states: of p members, fresh or restored; donated.
        data: training split.
        validation: validation split and masks.
        hypers: of p members.
        epochs: number of epochs in all.
        patience: as in `train_population`.
        manager: where checkpoints of the whole population go.
        checkpoint_every: epochs between checkpoints; the last epoch is always saved.
        preparation: arrays saved beside the states.
        report: called with a member's index and its record after every epoch that it trained.

    Returns:
        The states after the last epoch; their checkpoint is saved.

    Raises:
        InterruptedTraining: SIGINT or SIGTERM came; the states are saved.
        RunError: a loss of a member became NaN or infinite.
    """
    with signals() as received:
        # What is looked at is fetched whole: an index or a reduction over members that lie on
        # several devices would be a program on which all of them wait for each other.
        while not (complete_p := np.asarray(is_complete(method, states, epochs, patience))).all():
            # As spread by an epoch, some arrays would make the next one another program.
            states = split_members(states, mesh)
            states, terms_ps, scores_p = train_population(
                method, mesh, states, data, validation, hypers, epochs=epochs, patience=patience
            )
            terms, scores = jax.device_get((terms_ps, scores_p))
            large: dict[str, Any] = dict.fromkeys(
                ("parameters", "optimizer", "best_network", "key")
            )
            reached = jax.device_get(dataclasses.replace(states, **large))
            for index in np.flatnonzero(~complete_p).tolist():
                of_member = {name: values[index] for name, values in terms.items()}
                record = epoch_record(
                    method, member(reached, index), of_member, float(scores[index])
                )
                report(index, record)
            epoch = int(np.max(reached.step)) // method.steps_per_epoch
            all_complete = np.asarray(is_complete(method, states, epochs, patience)).all()
            stop = received[:1]  # read once: a signal may come at any moment
            if all_complete or stop or epoch % checkpoint_every == 0:
                arrays = {"state": states, "preparation": preparation}
                checkpoints.save(manager, epoch, arrays)
            if stop:
                manager.wait_until_finished()
                raise InterruptedTraining(stop[0], epoch)
    return states
