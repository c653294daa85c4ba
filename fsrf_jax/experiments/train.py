"""One run in its folder: trained, resumed where it was interrupted, evaluated."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from fsrf_jax import arguments, hosts, sharding
from fsrf_jax.config import Config, flatten
from fsrf_jax.data import normalise
from fsrf_jax.errors import RunError, WriteError
from fsrf_jax.evaluation.results import Results, read_results
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments import replay
from fsrf_jax.experiments.experiment import Experiment, teacher_config
from fsrf_jax.experiments.outputs import averages_of, write_results
from fsrf_jax.experiments.room import make_room
from fsrf_jax.experiments.start import check_start, describe_frozen, started
from fsrf_jax.inference import make_batch
from fsrf_jax.options import merge
from fsrf_jax.progress import Say, silent
from fsrf_jax.training import checkpoints, feeding, loop
from fsrf_jax.training.bad_steps import BadSteps
from fsrf_jax.training.journal import open_journal
from fsrf_jax.training.loggers import Loggers, check_packages
from fsrf_jax.training.loop import EpochRecord
from fsrf_jax.training.state import TrainState, is_complete
from fsrf_jax.training.step import take
from fsrf_jax.training.validation import under_masks
from fsrf_jax.types import Batch

# What a teacher that is given must have in common with the run that it teaches.
SHARED_WITH_TEACHER = ("data.", "task.", "method.name", "model.")

Show = Callable[[EpochRecord], None]
Progress = Callable[[int, int], contextlib.AbstractContextManager[Show]]
"""Epochs done and epochs in all to a context, inside which every epoch's record is shown."""


Report = Callable[[int, EpochRecord], None]
Reporting = Callable[[Sequence[int]], contextlib.AbstractContextManager[Report]]
"""Epochs done by each run to a context, inside which every epoch's record of a run is given."""


def quiet(done: int, epochs: int) -> contextlib.AbstractContextManager[Show]:
    """Progress that shows nothing."""
    del done, epochs
    return contextlib.nullcontext(lambda record: None)


def train_run(
    run: Experiment, folder: Path, progress: Progress = quiet, say: Say = silent
) -> Results:
    """Train a run in its folder, evaluate it, and write everything there.

    A run that was interrupted goes on, and ends as if it had not been; of a finished one the
    results are read.

    Args:
        run: the run.
        folder: its folder.
        progress: of the epochs.
        say: is given a line about what it starts from, and what is frozen.

    Raises:
        InterruptedTraining: SIGINT or SIGTERM came; the state is saved.
        RunError: the folder belongs to other data or another process, steps gave NaN, or there
            is no such run to start from.
        ConfigError: there is no such group to freeze, or a logger's package is not installed.
    """
    normaliser = _fit_normaliser(run)  # or an error before there is a folder
    _check_alike(run)
    if hosts.of_first(not (folder / "config.yaml").exists()):
        given_teacher(run)
        check_start(run)
        check_packages(run.config.output.loggers)
    with (
        run_folder.opened(folder, run.config, run.source.fingerprint, run.shapes, say) as record,
        loggers_of(run.config, folder) as loggers,
    ):
        run_in = _Place(folder, record, loggers)
        states, normaliser = _train_alone(run, normaliser, run_in, progress, say)
        done, asked = loop.epochs_done(run.recipe, states), run.config.training.epochs
        if done > asked:
            say(f"Nothing is trained: the run has {done} epochs, training.epochs asks for {asked}.")
        results = _finished_results(folder, done) if hosts.is_first() else None
        if hosts.is_first() and results is None:
            state = sharding.own(loop.member(states, 0))
            evaluation, results = run.evaluate(folder, state, normaliser)
            write_results(folder / "results.json", evaluation, results)
            loggers.results(averages_of(results))
    hosts.wait()  # to the end, since JAX takes the end of one process for a failure
    return read_results(folder / "results.json") if results is None else results


def _check_alike(run: Experiment) -> None:
    """Raise RunError if processes that train a run would not do the same."""
    here = {k: v for k, v in flatten(run.config).items() if k not in ("data.path", "data.readers")}
    hosts.check_alike("the config", here)
    source = run.source
    resident = source.placed.kind == "device"  # by `auto` a question of memory
    found = {"fingerprint": source.fingerprint, "data.placement device": resident}
    hosts.check_alike("the data", found)


def loggers_of(config: Config, folder: Path) -> Loggers:
    """The loggers that a run asks for; they are opened when it trains."""
    asked = config.output.loggers if hosts.is_first() else ()
    return Loggers(asked, folder, flatten(config))


def train_teacher(
    run: Experiment, folder: Path, progress: Progress = quiet, say: Say = silent
) -> Any:
    """Inference parameters of the teacher that the run's method asks for; None if it asks for none.

    The teacher is a run with the same settings, but for its method and missingness. It is trained
    in its own folder unless it stands there already, or the method names another run.

    Raises:
        InterruptedTraining, RunError: see `train_run`.
    """
    config = teacher_config(run.config, folder)
    if config is None:
        return None
    if (given := given_teacher(run)) is not None:
        return given
    begun = hosts.is_first() and (folder / "config.yaml").exists()
    # More epochs of the run are no reason to change, in the middle, who teaches it.
    saved = arguments.load_saved(folder / "config.yaml").training.epochs if begun else None
    epochs = hosts.of_first(saved)
    if epochs is not None:
        config = replace(config, training=replace(config.training, epochs=epochs))
    if hosts.is_first():
        run_folder.check_same(folder, config)
    teacher = Experiment.make(config, run.source, run.protocol)
    if epochs is None:
        check_start(teacher)
    with (
        run_folder.opened(folder, config, run.source.fingerprint, run.shapes, say) as record,
        loggers_of(config, folder) as loggers,
    ):
        place = _Place(folder, record, loggers)
        states, _ = _train_alone(teacher, _fit_normaliser(teacher), place, progress, say)
    return loop.member(states, 0).best


def given_teacher(run: Experiment) -> Any:
    """Inference parameters of the trained run that the method names as its teacher, or None.

    Raises:
        RunError: it is no run, or it is of another method, network, task or other data.
    """
    wanted = run.config.method.teacher_method()
    if wanted is None or wanted.run is None:
        return None
    folder = Path(wanted.run)
    if not (folder / "config.yaml").is_file():
        raise RunError(f"method.teacher: found no run folder {folder}, with a config.yaml in it.")
    run_folder.check_data(folder, run.source.fingerprint, "train the teacher on them")
    config = arguments.load_saved(folder / "config.yaml")
    there, here = flatten(config), flatten(run.config)
    differing = [
        f"  {key}: {there.get(key)!r} there, {value!r} here"
        for key, value in here.items()
        if key.startswith(SHARED_WITH_TEACHER)
        and not key.startswith(run_folder.FREE)
        and there.get(key) != value
    ]
    if differing:
        lines = "\n".join(differing)
        raise RunError(f"method.teacher: {folder} differs in\n{lines}\nGive a teacher of the same.")
    if config.method.teacher_method() is not None:
        raise RunError(
            f"method.teacher: {folder} is of a run that has a teacher itself, expected a teacher: "
            f"give {folder / 'teacher'}."
        )
    teacher = Experiment.make(config, run.source, run.protocol)
    state, _ = teacher.load(folder)
    if not is_complete(merge(teacher.recipe, teacher.hyper), state):
        raise RunError(f"method.teacher: {folder} is not trained to its end; train it first.")
    return state.best


def _fit_normaliser(run: Experiment) -> normalise.Normaliser:
    return normalise.fit(run.source.split("train"), run.config.data.clip)


_TRAINING = threading.RLock()


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Refuse a second thread that would train: checkpoints of two would get in each other's way."""
    if not _TRAINING.acquire(blocking=False):
        raise RunError(
            "another thread of this process is training, expected one at a time: train after it, "
            "in another process, or together as an ablation."
        )
    try:
        yield
    finally:
        _TRAINING.release()


def train_population(
    runs: Sequence[Experiment],
    normaliser: normalise.Normaliser,
    place: Path,
    reporting: Reporting,
    teacher: Callable[[], Any],
    start: Callable[[TrainState], TrainState] = lambda states: states,
    say: Say = silent,
    folders: Sequence[Path] = (),
) -> tuple[TrainState, normalise.Normaliser]:
    """Train runs as one program, or go on with it, up to the last epoch.

    Args:
        runs: one or more, whose recipes have one static part.
        normaliser: fitted to the training split.
        place: the folder that has `checkpoints`, of all the runs together.
        reporting: see `Reporting`.
        teacher: gives the teacher's inference parameters; called only if there is work left.
        start: fresh states to those that training begins with; not called on what goes on.
        say: is given a line on a checkpoint that could not be used.
        folders: of the runs, for the step that one of them stops at; by default `place`.

    Returns:
        The states of all the runs, and the normaliser that they were trained with.

    Raises:
        InterruptedTraining, RunError: see `fsrf_jax.training.loop.fit`.
    """
    make_room()
    run = runs[0]
    recipe, mesh, config = run.recipe, sharding.training_mesh(len(runs)), run.config
    hypers = loop.stack([one.hyper for one in runs])
    if hosts.count() > 1 and len(runs) > 1:
        raise RunError(
            f"found {len(runs)} members that train together in {hosts.count()} processes, expected "
            "one run: train ablations and rankings in one process, which uses all its devices."
        )
    hosts.connect()
    with _one_at_a_time(), checkpoints.open_manager(place / "checkpoints") as manager:
        if hosts.of_first(checkpoints.latest(manager)) is None:
            states = start(run.initial_states([one.config.training.seed for one in runs]))
        else:
            states, normaliser = run.restore(manager, len(runs))
            hosts.check_alike("the checkpoint", {"epochs": loop.epochs_done(recipe, states)})
            for aside in manager.passed_over:
                say(f"A damaged checkpoint is now {aside}; going on from the one before it.")
        states = loop.place(states, mesh)
        if np.asarray(is_complete(merge(recipe, hypers), states)).all():
            return states, normaliser
        placed = _placed(run, mesh, normaliser)
        taught_by = sharding.replicate(teacher(), mesh)

        keep = partial(_keep_step, runs, folders or [place], placed, taught_by)
        steps_p = np.asarray(jax.device_get(states.step))
        done_p = (steps_p // recipe.steps_per_epoch).tolist()
        with reporting(done_p) as report, _kept(keep):
            states = loop.fit(
                recipe,
                mesh,
                states,
                placed.train,
                placed.valid,
                hypers,
                epoch=placed.epoch,
                manager=manager,
                checkpoint_every=config.output.checkpoint_every,
                preparation=normaliser.to_tree(),
                report=report,
                teacher=taught_by,
            )
    return states, normaliser


def _keep_step(
    runs: Sequence[Experiment],
    folders: Sequence[Path],
    placed: "_Placed",
    teacher: Any,
    stopped: BadSteps,
) -> RunError:
    """Write the step that ended training into the member's folder; the error that says so."""
    run, path = runs[stopped.index], folders[stopped.index] / replay.NAME
    try:
        if hosts.is_first():
            replay.write_dump(path, run, stopped, placed.rows, sharding.own(teacher))
    except WriteError as error:
        return RunError(f"{stopped} The step could not be kept: {error}")
    hosts.wait()  # others that end now would end the first as well
    return RunError(
        f"{stopped} The step is kept: bin/train --replay {path} says which operation went wrong "
        "first."
    )


@contextlib.contextmanager
def _kept(keep: Callable[[BadSteps], RunError]) -> Iterator[None]:
    try:
        yield
    except BadSteps as stopped:
        raise keep(stopped) from None


class _Placed(NamedTuple):
    """What runs an epoch, with the training and the validation samples as it takes them.

    `rows` gives the training samples of some numbers as a batch, see `step.take`.
    """

    epoch: Callable[..., Any]
    train: Any
    valid: Any
    rows: Callable[[np.ndarray], Batch]


def _placed(run: Experiment, mesh: Mesh, normaliser: normalise.Normaliser) -> _Placed:
    train, valid = (normaliser.apply(run.source.split(name)) for name in ("train", "valid"))
    masks = run.validation_masks(valid)
    if run.source.placed.kind == "device":
        inputs = make_batch(train), under_masks(valid, masks)
        data, validation = sharding.replicate(inputs, mesh)
        return _Placed(loop.train_epoch, data, validation, partial(take, sharding.own(data)))
    feed, held_out = (feeding.Feed(split, run.config.data.readers) for split in (train, valid))
    return _Placed(feeding.train_epoch, feed, feeding.HeldOut(held_out, masks), feed.rows)


class _Place(NamedTuple):
    """Where a run writes: its open folder, what records that it trains on, and its loggers."""

    folder: Path
    record: Callable[[], None]
    loggers: Loggers


def _train_alone(
    run: Experiment,
    normaliser: normalise.Normaliser,
    place: _Place,
    progress: Progress,
    say: Say,
) -> tuple[TrainState, normalise.Normaliser]:
    """`train_population` of one, with its journal and loggers in its folder."""
    folder, record, loggers = place

    @contextlib.contextmanager
    def reporting(epochs: Sequence[int]) -> Iterator[Report]:
        (done,) = epochs
        if not hosts.is_first():
            yield lambda index, epoch: None
            return
        record()
        say(run.source.placed.reason)
        if (line := describe_frozen(run)) is not None:
            say(line)
        with open_journal(folder, done, say) as write:
            loggers.open(done)
            with progress(done, run.config.training.epochs) as show:

                def report(_: int, epoch: EpochRecord) -> None:
                    write(epoch)
                    loggers.log(epoch)
                    show(epoch)

                yield report

    def teacher() -> Any:
        return train_teacher(run, folder / "teacher", progress, say)

    start = partial(started, run, folders=[folder] if hosts.is_first() else [], say=say)
    return train_population([run], normaliser, folder, reporting, teacher, start, say)


def _finished_results(folder: Path, epochs: int) -> Results | None:
    """The results file, if it is whole, of this version, and of the state after these epochs."""
    try:
        results = read_results(folder / "results.json")
    except RunError:
        return None  # it is made again, from the checkpoint
    return results if results.get("epochs_trained") == epochs else None
