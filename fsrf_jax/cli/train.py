"""`train`: from a config to a trained, evaluated run; the same command resumes it."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from fsrf_jax import arguments
from fsrf_jax.cli.main import guarded
from fsrf_jax.cli.progress import training_progress
from fsrf_jax.data.describe import describe
from fsrf_jax.evaluation import tables
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.run import Run, open_run
from fsrf_jax.experiments.train import train_run
from fsrf_jax.training.loop import InterruptedTraining

DESCRIPTION = """Train a method on incomplete samples, evaluate it under all missing conditions, and
write a run folder. An unfinished run in the same folder is resumed; a finished one is shown again.

  train --config configs/demo.yaml
  train --config configs/mosi.yaml --data.path FILE --training.seed 1 --output.directory runs/mosi

Options of the experiment follow by section, with their defaults; any of them can stand in a YAML
file. Those of the section `method` are of the method that --method.name gives."""


def command(argv: Sequence[str]) -> int:
    """Run `train` with these arguments and return the exit status."""
    parser = arguments.make_parser("train", DESCRIPTION, argv, usage="[--overwrite]")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start anew; an existing run folder is renamed, never deleted",
    )
    config, options = arguments.parse(parser, argv)
    folder = run_folder.choose(config, arguments.config_name(argv))
    if not options.overwrite:
        run_folder.check_same(folder, config)
    run = open_run(config)
    console = Console()
    if options.overwrite and (old := run_folder.set_aside(folder)):
        console.out(f"The old run folder is now {old}.", highlight=False)
    if config.output.progress:
        _introduce(console, run, folder)
    try:
        show = partial(training_progress, console, shown=config.output.progress)
        results = train_run(run, folder, show)
    except InterruptedTraining as interruption:
        print(f"{interruption}; go on with --output.directory {folder}", file=sys.stderr)
        return interruption.status
    console.print(tables.terminal_table(results))
    console.out(f"Run folder: {folder}", highlight=False)
    return 0


def _introduce(console: Console, run: Run, folder: Path) -> None:
    console.out(describe(run.source.dataset), highlight=False)
    for note in run.source.dataset.notes:
        console.out(f"- {note}", highlight=False)
    console.out(f"Run folder: {folder}", highlight=False)


main = guarded(command)
