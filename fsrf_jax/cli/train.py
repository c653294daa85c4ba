"""`train`: from a config to a trained, evaluated run; the same command resumes it."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from fsrf_jax.cli import arguments, run_folder
from fsrf_jax.cli.main import guarded
from fsrf_jax.cli.progress import training_progress
from fsrf_jax.cli.run import Run, show_results, write_results
from fsrf_jax.data import normalise
from fsrf_jax.data.describe import describe
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.evaluation.results import Results
from fsrf_jax.source import Source, fingerprint, open_source
from fsrf_jax.training import build, checkpoints, sharding
from fsrf_jax.training.journal import open_journal
from fsrf_jax.training.loop import EpochRecord, InterruptedTraining, epochs_done, fit, is_complete
from fsrf_jax.training.state import TrainState

DESCRIPTION = """Train FSRF, evaluate it under all missing conditions, and write a run folder.
An unfinished run in the same folder is resumed; a finished one is shown again."""


def command(argv: Sequence[str]) -> int:
    """Run `train` with these arguments and return the exit status."""
    parser = arguments.make_parser("train", DESCRIPTION)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start anew; an existing run folder is renamed, never deleted",
    )
    config, options = arguments.parse(parser, argv)
    protocol = resolve(config.evaluation.protocol, config.data.modalities)
    folder = run_folder.choose(config, arguments.config_name(argv))
    if not options.overwrite:
        run_folder.check_same(folder, config)
    console = Console()
    source = open_source(config.data, config.losses.task.form)
    for name in ("train", "valid", config.evaluation.split):
        source.split(name)
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    run = Run.make(config, source, protocol)
    if options.overwrite and (old := run_folder.set_aside(folder)):
        console.out(f"The old run folder is now {old}.", highlight=False)
    if config.output.progress:
        _introduce(console, source, folder)
    try:
        with run_folder.opened(folder, config, fingerprint(source.dataset)) as record:
            results = _train_and_evaluate(run, normaliser, folder, console, record)
    except InterruptedTraining as interruption:
        print(f"{interruption}; go on with --output.directory {folder}", file=sys.stderr)
        return interruption.status
    show_results(console, results)
    console.out(f"Run folder: {folder}", highlight=False)
    return 0


def _introduce(console: Console, source: Source, folder: Path) -> None:
    console.out(describe(source.dataset), highlight=False)
    for note in source.dataset.notes:
        console.out(f"- {note}", highlight=False)
    console.out(f"Run folder: {folder}", highlight=False)


def _train_and_evaluate(
    run: Run,
    normaliser: normalise.Normaliser,
    folder: Path,
    console: Console,
    record: Callable[[], None],
) -> Results:
    training = run.config.training
    with checkpoints.open_manager(folder / "checkpoints") as manager:
        if manager.latest_step() is None:
            state = run.initial_state()()
        else:
            state, normaliser = run.restore(manager, normaliser)
        if is_complete(run.method, state, training.epochs, training.patience):
            finished = _finished_results(folder, epochs_done(run.method, state))
            if finished is not None:
                return finished
        else:
            record()
            state = _train(run, state, normaliser, manager, folder, console)
    evaluation, results = run.evaluate(state, normaliser)
    write_results(folder / "results.json", evaluation, results)
    return results


def _finished_results(folder: Path, epochs: int) -> Results | None:
    """The results file, if it is of the state after this many epochs."""
    path = folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    return results if results.get("epochs_trained") == epochs else None


def _train(
    run: Run,
    state: TrainState,
    normaliser: normalise.Normaliser,
    manager: checkpoints.Manager,
    folder: Path,
    console: Console,
) -> TrainState:
    training, output, mesh = run.config.training, run.config.output, run.mesh
    data = build.make_batch(normaliser.apply(run.source.split("train")))
    validation = build.make_validation(
        normaliser.apply(run.source.split("valid")), run.method.missing, training.validation_draws
    )
    done = epochs_done(run.method, state)
    with (
        open_journal(folder, done) as write,
        training_progress(console, done, training.epochs, shown=output.progress) as show,
    ):

        def report(record: EpochRecord) -> None:
            write(record)
            show(record)

        return fit(
            run.method,
            mesh,
            state,
            *sharding.replicate((data, validation, build.make_hyper(run.config)), mesh),
            epochs=training.epochs,
            patience=training.patience,
            manager=manager,
            checkpoint_every=output.checkpoint_every,
            preparation=normaliser.to_tree(),
            report=report,
        )


main = guarded(command)
