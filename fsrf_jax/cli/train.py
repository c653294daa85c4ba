"""`train`: from a config to a trained, evaluated run; the same command resumes it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fsrf_jax import arguments, hosts
from fsrf_jax.api import train
from fsrf_jax.cli.main import guarded
from fsrf_jax.errors import ConfigError, InterruptedTraining
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.replay import replay
from fsrf_jax.reporting.terminal import terminal_results

DESCRIPTION = """Train a method on incomplete samples, evaluate it under all missing conditions, and
write a run folder. An unfinished run in the same folder is resumed; a finished one is shown again.

  train --config configs/demo.yaml
  train --config configs/mosi.yaml --data.path FILE --training.seed 1 --output.directory runs/mosi

Several processes train one run, each with the same arguments, on one host or many:

  srun train --config demo --output.directory runs/demo --distributed auto
  train --config demo --output.directory runs/demo --distributed HOST:PORT --processes 2 --process 0

Options of the experiment follow by section, with their defaults; any of them can stand in a YAML
file. Those of the section `method` are of the method that --method.name gives.

A training that stops because of NaN or infinities keeps its last step in the run folder:

  train --replay runs/mosi/bad-step.npz

repeats it, and names the operation that went wrong first."""


def command(argv: Sequence[str]) -> int:
    """Run `train` with these arguments and return the exit status."""
    usage = "[--overwrite] [--distributed auto|HOST:PORT]"
    parser = arguments.make_parser("train", DESCRIPTION, argv, usage=usage)
    parser.add_argument(
        "--replay",
        metavar="FILE",
        help="repeat the bad step in this file, and say what went wrong first; nothing is trained",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start anew; an existing run folder is renamed, never deleted",
    )
    parser.add_argument(
        "--distributed",
        metavar="auto|HOST:PORT",
        help="train with other processes: found by Slurm, Open MPI, GKE or Cloud TPU, or at the "
        "address of process 0",
    )
    parser.add_argument("--processes", type=int, metavar="N", help="how many, at HOST:PORT")
    parser.add_argument("--process", type=int, metavar="I", help="which of them this is, from 0")
    config, options = arguments.parse(parser, argv)
    if options.replay is not None:
        if len(argv) > 2:
            raise ConfigError("--replay: found more options, expected none: the file has its own.")
        print("\n".join(replay(Path(options.replay))))
        return 0
    if options.distributed is not None:
        hosts.join(options.distributed, options.processes, options.process)
    elif (options.processes, options.process) != (None, None):
        raise ConfigError(
            "--processes and --process: found no --distributed HOST:PORT, expected where process 0 "
            "is; leave them out to train in one process."
        )
    folder = run_folder.choose(config, arguments.config_name(argv))
    try:
        run = train(config, folder=folder, overwrite=options.overwrite)
    except InterruptedTraining as interruption:
        if hosts.is_first():
            print(f"{interruption}; go on with --output.directory {folder}", file=sys.stderr)
        return interruption.status
    if not hosts.is_first():
        return 0
    console = Console()
    console.print(terminal_results(run.results))
    console.out(f"Run folder: {folder}", highlight=False)
    return 0


main = guarded(command)
