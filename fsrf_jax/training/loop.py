"""The training loop: epochs, checkpoints, early stopping and interruption."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from fsrf_jax.errors import RunError
from fsrf_jax.training import checkpoints
from fsrf_jax.training.state import Method, TrainState
from fsrf_jax.training.step import Validation, train_epoch
from fsrf_jax.types import Batch, HyperParameters


class InterruptedTraining(Exception):
    """Training was asked to stop by a signal; the state is saved."""

    def __init__(self, signum: int, epoch: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} after epoch {epoch}")
        self.status = 128 + signum


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave.

    Attributes:
        epoch: epochs done.
        terms: mean over the steps of every raw loss term, the total and the gradient's norm.
        validation_error: on the validation split under the training missingness, see
            `training.step.validation_error`.
        best_epoch: epochs done when the best validation error so far was reached.
    """

    epoch: int
    terms: dict[str, float]
    validation_error: float
    best_epoch: int


def epochs_done(method: Method, state: TrainState) -> int:
    """Number of whole epochs behind a state."""
    return int(state.step) // method.steps_per_epoch


def is_complete(method: Method, state: TrainState, epochs: int, patience: int) -> jax.Array:
    """Whether training ends here: all epochs done, or `patience` epochs without a better score.

    A bool scalar; of a population's state, bool [p].
    """
    done = state.step // method.steps_per_epoch
    waited = done - state.best_epoch
    return (done >= epochs) | ((patience > 0) & (waited >= patience))


def fit(
    method: Method,
    mesh: Mesh,
    state: TrainState,
    data: Batch,
    validation: Validation,
    hyper: HyperParameters,
    *,
    epochs: int,
    patience: int,
    manager: checkpoints.Manager,
    checkpoint_every: int,
    preparation: Any,
    report: Callable[[EpochRecord], None],
) -> TrainState:
    """Train until the last epoch, early stopping, or a signal.

    Args:
        method: what is fixed.
        mesh: devices.
        state: fresh or restored, replicated over the mesh; donated.
        data: training split, replicated.
        validation: validation split and masks, replicated.
        hyper: loss weights, learning rate and the like, replicated.
        epochs: number of epochs in all.
        patience: epochs without a better validation score before stopping; 0 never stops.
        manager: where checkpoints go.
        checkpoint_every: epochs between checkpoints; the last epoch is always saved.
        preparation: arrays saved beside the state, such as the normaliser.
        report: called after every epoch.

    Returns:
        The state after the last epoch; its checkpoint is saved.

    Raises:
        InterruptedTraining: SIGINT or SIGTERM came; the state is saved.
        RunError: a loss became NaN or infinite.
    """
    with signals() as received:
        while not is_complete(method, state, epochs, patience):
            state, terms_s, score = train_epoch(method, mesh, state, data, validation, hyper)
            record = epoch_record(method, state, jax.device_get(terms_s), float(score))
            report(record)
            complete = is_complete(method, state, epochs, patience)
            stop = received[:1]  # read once: a signal may come at any moment
            if complete or stop or record.epoch % checkpoint_every == 0:
                arrays = {"state": state, "preparation": preparation}
                checkpoints.save(manager, record.epoch, arrays)
            if stop:
                manager.wait_until_finished()
                raise InterruptedTraining(stop[0], record.epoch)
    return state


def epoch_record(
    method: Method, state: TrainState, terms_s: dict[str, np.ndarray], score: float
) -> EpochRecord:
    """The record of the epoch that ended at `state`.

    Raises:
        RunError: a term or the validation error is NaN or infinite.
    """
    epoch = epochs_done(method, state)
    bad = {name: ~np.isfinite(values) for name, values in terms_s.items()}
    first = {name: int(bad_s.argmax()) for name, bad_s in bad.items() if bad_s.any()}
    if first:
        # One bad term makes the total and the norm bad at once, and all others a step later.
        name = min(first, key=lambda n: (first[n], n in ("total", "gradient_norm")))
        raise RunError(
            f"{name} became {terms_s[name][first[name]]} in epoch {epoch}, step {first[name] + 1}. "
            "Lower optimizer.learning_rate, or look at the term's options; the last checkpoint "
            "is kept."
        )
    if not np.isfinite(score):
        raise RunError(
            f"The validation error became {score} in epoch {epoch}. Lower optimizer.learning_rate; "
            "the last checkpoint is kept."
        )
    means = {name: float(np.mean(values, dtype=np.float64)) for name, values in terms_s.items()}
    return EpochRecord(epoch, means, score, int(state.best_epoch))


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM; a second signal acts at once, as it did before."""
    received: list[int] = []
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
