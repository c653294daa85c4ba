"""The training loop: epochs, checkpoints, early stopping and interruption, of one run or many.

Runs that share the static part of a recipe train as one program: seeds, numbers and states are a
leading axis of members, and a run alone is a population of one. Each member has its own best
parameters and its own early stopping, and trains as it would alone, to float tolerance.

`recipe` is the static part, the same for all members, `hypers` are the numbers of p members, and
`teacher` are the inference parameters of the method's teacher, the same for all, or None.
"""

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fsrf_jax import hosts, sharding
from fsrf_jax.errors import InterruptedTraining, RunError
from fsrf_jax.options import Hyper, merge
from fsrf_jax.training import checkpoints
from fsrf_jax.training.bad_steps import BadSteps
from fsrf_jax.training.state import Recipe, TrainState, bad_steps, is_complete
from fsrf_jax.training.step import run_epoch
from fsrf_jax.training.validation import Validation
from fsrf_jax.types import Batch


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave.

    Attributes:
        epoch: epochs done.
        terms: mean over the steps, without bad ones, of every raw loss term, the total and the
            gradient's norm; empty if all steps were bad.
        validation_error: on the validation split under its fixed masks, see
            `training.step.validation_error`.
        best_epoch: epochs done when the best validation error so far was reached.
        bad_steps: number of steps that gave NaN or an infinity, and changed nothing.
    """

    epoch: int
    terms: dict[str, float]
    validation_error: float
    best_epoch: int
    bad_steps: int = 0


def stack(members: Sequence[Any]) -> Any:
    """Pytrees of one structure as one, with a leading axis of members."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def member(population: Any, index: int) -> Any:
    """One member of a pytree with a leading axis of members."""
    return jax.tree.map(lambda leaf: leaf[index], population)


def epochs_done(recipe: Recipe, states: TrainState) -> int:
    """Number of whole epochs behind the states: of the member that trained longest."""
    return int(np.max(jax.device_get(states.step))) // recipe.steps_per_epoch


def place(population: Any, mesh: Mesh) -> Any:
    """The members spread over the axis `population` of a mesh that was made for so many."""
    return sharding.put(population, NamedSharding(mesh, PartitionSpec("population")))


@jax.jit(static_argnames=("recipe", "mesh"), donate_argnames=("states",))
def train_epoch(
    recipe: Recipe,
    mesh: Mesh,
    states: TrainState,
    data: Batch,
    validation: Validation,
    hypers: Hyper,
    teacher: Any = None,
) -> tuple[TrainState, dict[str, jax.Array], jax.Array]:
    """One epoch of every member, one program; of several, those that are complete stay as they are.

    One member has its rows spread over the devices. Several are spread themselves as far as
    possible: a group of devices trains its members and waits for no other.

    Args:
        mesh: devices, from `sharding.training_mesh` of p members.
        states: of p members; donated.
        data: the whole training split.
        validation: the validation split with its masks.

    Returns:
        The new states, every term of every step [p, steps], and the validation errors [p].
    """

    def of_member(
        state: TrainState, hyper: Hyper, data: Batch, validation: Validation, teacher: Any
    ) -> tuple[TrainState, dict[str, jax.Array], jax.Array]:
        new, terms, score = run_epoch(recipe, rows, state, data, validation, hyper, teacher)
        stays = is_complete(merge(recipe, hyper), state)
        return jax.tree.map(lambda a, b: jnp.where(stays, a, b), state, new), terms, score

    p = states.step.shape[0]
    shared = data, validation, teacher
    if p == 1:
        # No axis of one through every product, and nobody to wait for: a run alone costs nothing
        # for being a population.
        alone = member(states, 0), data, validation, member(hypers, 0), teacher
        ended = jax.tree.map(lambda leaf: leaf[None], run_epoch(recipe, mesh, *alone))
        return sharding.whole(ended, mesh if mesh.size > 1 else None)
    rows = mesh if mesh.shape["data"] > 1 else None
    of_members = jax.vmap(of_member, in_axes=(0, 0, None, None, None))
    # `shard_map` says so outright, whatever the compiler would make of the program by itself.
    each, whole = PartitionSpec("population"), PartitionSpec()
    of_groups = jax.shard_map(
        of_members,
        mesh=mesh,
        in_specs=(each, each, whole, whole, whole),
        out_specs=each,
        axis_names={"population"},
    )
    return of_groups(states, hypers, *shared)


def fit(
    recipe: Recipe,
    mesh: Mesh,
    states: TrainState,
    data: Any,
    validation: Any,
    hypers: Hyper,
    *,
    epoch: Callable[..., tuple[TrainState, dict[str, jax.Array], jax.Array]] = train_epoch,
    manager: checkpoints.Manager,
    checkpoint_every: int,
    preparation: Any,
    report: Callable[[int, EpochRecord], None],
    teacher: Any = None,
) -> TrainState:
    """Train until every member is complete, or a signal comes.

    Args:
        mesh: devices.
        states: of p members, fresh or restored; donated.
        data: training split, as `epoch` takes it: for `train_epoch`, replicated over the mesh.
        validation: validation split and masks, likewise.
        epoch: `train_epoch`, or `fsrf_jax.training.feeding.train_epoch`.
        manager: where checkpoints of all members go.
        checkpoint_every: epochs between checkpoints; the last epoch is always saved.
        preparation: arrays saved with the states, such as the normaliser.
        report: called with a member's index and its record after every epoch that it trained.

    Returns:
        The states after the last epoch; their checkpoint is saved.

    Raises:
        InterruptedTraining: SIGINT or SIGTERM came; the states are saved.
        BadSteps: `recipe.bad_steps` steps in a row of a member were bad ones, or all that it had,
            or those before a validation error that is NaN or infinite.
        RunError: a validation error became NaN or infinite.
    """
    asked = merge(recipe, jax.device_get(hypers))
    hypers = place(hypers, mesh)
    _, bad_before = bad_steps(states)
    with signals() as received:
        # What is looked at is fetched whole: an index or a reduction over members that lie on
        # several devices would be a program on which all of them wait for each other.
        while not (complete_p := np.asarray(is_complete(asked, states))).all():
            states = place(states, mesh)  # as at first, so that every call looks alike to jit
            states, terms_ps, scores_p = epoch(
                recipe, mesh, states, data, validation, hypers, teacher
            )
            terms, scores = jax.device_get((terms_ps, scores_p))
            unread = "parameters", "optimizer", "average", "best", "key"
            large: dict[str, Any] = dict.fromkeys(unread)
            reached = jax.device_get(dataclasses.replace(states, **large))
            rows, bad = bad_steps(states)
            now_complete_p = np.asarray(is_complete(asked, reached))
            for index in np.flatnonzero(~complete_p).tolist():
                of_member = {name: values[index] for name, values in terms.items()}
                state = member(reached, index)
                row, score = int(rows[index]), float(scores[index])
                if _goes_wrong(recipe, state, row, score, now_complete_p[index]):
                    last = member(jax.device_get(sharding.own(states)), index)
                    raise BadSteps.after(row, recipe.steps_per_epoch, index, last, of_member)
                count = int(bad[index] - bad_before[index])
                report(index, epoch_record(recipe, state, of_member, score, count))
            bad_before = bad
            done = epochs_done(recipe, reached)
            # Read once: a signal may come at any moment, and to one process alone.
            stop = max(hosts.gathered(received[:1]))
            if now_complete_p.all() or stop or done % checkpoint_every == 0:
                checkpoints.save(manager, done, {"state": states, "preparation": preparation})
            if stop:
                break
        else:  # one that came while the last checkpoint was on its way
            stop = max(hosts.gathered(received[:1]))
        if stop:
            checkpoints.wait(manager)
            raise InterruptedTraining(stop[0], epochs_done(recipe, states))
    return states


def _goes_wrong(recipe: Recipe, state: TrainState, row: int, score: float, complete: bool) -> bool:
    """Whether `row` bad steps in a row, up to this state, are the end of its training.

    Parameters that a validation is NaN with seldom learn again. And a network that no step has
    changed is none that was trained.
    """
    untrained = complete and row == int(state.step)
    return row >= recipe.bad_steps or bool(row and (untrained or not np.isfinite(score)))


def epoch_record(
    recipe: Recipe,
    state: TrainState,
    terms_s: dict[str, np.ndarray],
    score: float,
    bad: int = 0,
) -> EpochRecord:
    """The record of the epoch that ended at `state`, in which so many steps were bad ones.

    Raises:
        RunError: the validation error is NaN or infinite.
    """
    epoch = epochs_done(recipe, state)
    if not np.isfinite(score):
        raise RunError(
            f"The validation error became {score} in epoch {epoch}, in which {bad} steps "
            "gave NaN or an infinity. Lower optimizer.learning_rate; the last checkpoint is kept."
        )
    finite_s = np.all([np.isfinite(values) for values in terms_s.values()], axis=0)
    means = {
        name: float(np.mean(values[finite_s], dtype=np.float64))
        for name, values in terms_s.items()
        if finite_s.any()
    }
    return EpochRecord(epoch, means, score, int(state.best_epoch), bad)


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM; a second signal acts at once, as it did before.

    Only the main thread can ask for signals; in another one none is collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous: dict[int, Any] = {}

    def remember(signum: int, frame: Any) -> None:
        del frame
        received.append(signum)
        for number, handler in previous.items():
            signal.signal(number, handler)

    for stop in (signal.SIGINT, signal.SIGTERM):
        previous[stop] = signal.signal(stop, remember)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
