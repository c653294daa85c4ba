"""One run in its folder: trained, resumed where it was interrupted, evaluated."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from fsrf_jax import sharding
from fsrf_jax.data import normalise
from fsrf_jax.evaluation.results import Results
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.outputs import write_results
from fsrf_jax.experiments.run import Run, teacher_config
from fsrf_jax.inference import make_batch
from fsrf_jax.source import fingerprint
from fsrf_jax.training import checkpoints
from fsrf_jax.training.journal import open_journal
from fsrf_jax.training.loop import EpochRecord, epochs_done, fit, member, stack
from fsrf_jax.training.state import TrainState, is_complete
from fsrf_jax.training.validation import make_validation

Show = Callable[[EpochRecord], None]
Progress = Callable[[int, int], contextlib.AbstractContextManager[Show]]
"""Epochs done and epochs in all to a context, inside which every epoch's record is shown."""


def quiet(done: int, epochs: int) -> contextlib.AbstractContextManager[Show]:
    """Progress that shows nothing."""
    del done, epochs
    return contextlib.nullcontext(lambda record: None)


def train_run(run: Run, folder: Path, progress: Progress = quiet) -> Results:
    """Train a run in its folder, evaluate it, and write everything there.

    A run that was interrupted goes on, and ends as if it had not been; of a finished one the
    results are read.

    Raises:
        InterruptedTraining: SIGINT or SIGTERM came; the state is saved.
        RunError: the folder belongs to other data or another process, or a loss became NaN.
    """
    normaliser = _fit_normaliser(run)  # or an error before there is a folder
    with run_folder.opened(folder, run.config, fingerprint(run.source.dataset)) as record:
        states, normaliser = _trained(run, normaliser, folder, record, progress)
        results = _finished_results(folder, epochs_done(run.recipe, states))
        if results is None:
            evaluation, results = run.evaluate(member(states, 0), normaliser)
            write_results(folder / "results.json", evaluation, results)
    return results


def train_teacher(run: Run, folder: Path, progress: Progress = quiet) -> Any:
    """Inference parameters of the teacher that the run's method asks for; None if it asks for none.

    The teacher is a run with the same settings, but for its method and missingness. It is trained
    in its own folder unless it stands there already.

    Raises:
        InterruptedTraining, RunError: see `train_run`.
    """
    config = teacher_config(run.config, folder)
    if config is None:
        return None
    run_folder.check_same(folder, config)
    teacher = Run.make(config, run.source, run.protocol)
    with run_folder.opened(folder, config, fingerprint(run.source.dataset)) as record:
        states, _ = _trained(teacher, _fit_normaliser(teacher), folder, record, progress)
    return sharding.replicate(member(states, 0).best, run.mesh)


def _fit_normaliser(run: Run) -> normalise.Normaliser:
    return normalise.fit(run.source.split("train"), run.config.data.clip)


def _trained(
    run: Run,
    normaliser: normalise.Normaliser,
    folder: Path,
    record: Callable[[], None],
    progress: Progress,
) -> tuple[TrainState, normalise.Normaliser]:
    """The states after the last epoch, and the normaliser: trained, or restored."""
    with checkpoints.open_manager(folder / "checkpoints") as manager:
        if checkpoints.latest(manager) is None:
            states = run.initial_states([run.config.training.seed])
        else:
            states, normaliser = run.restore(manager, normaliser)
        if not jax.device_get(is_complete(run.recipe, states)).all():
            record()
            states = _fit(run, states, normaliser, manager, folder, progress)
    return states, normaliser


def _finished_results(folder: Path, epochs: int) -> Results | None:
    """The results file, if it is of the state after this many epochs."""
    path = folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    return results if results.get("epochs_trained") == epochs else None


def _fit(
    run: Run,
    states: TrainState,
    normaliser: normalise.Normaliser,
    manager: checkpoints.Manager,
    folder: Path,
    progress: Progress,
) -> TrainState:
    training = run.config.training
    data = make_batch(normaliser.apply(run.source.split("train")))
    samples = normaliser.apply(run.source.split("valid"))
    validation = make_validation(samples, run.recipe.missing, training.validation_draws)
    done = epochs_done(run.recipe, states)
    teacher = train_teacher(run, folder / "teacher", progress)
    with open_journal(folder, done) as write, progress(done, training.epochs) as show:

        def report(_: int, record: EpochRecord) -> None:
            write(record)
            show(record)

        return fit(
            run.recipe,
            run.mesh,
            states,
            *sharding.replicate((data, validation), run.mesh),
            stack([run.hyper]),
            manager=manager,
            checkpoint_every=run.config.output.checkpoint_every,
            preparation=normaliser.to_tree(),
            report=report,
            teacher=teacher,
        )
