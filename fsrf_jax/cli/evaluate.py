"""`evaluate`: the best network of a run under all conditions of its protocol."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jsonargparse
from rich.console import Console

from fsrf_jax import config as configuration
from fsrf_jax.cli import arguments, run_folder
from fsrf_jax.cli.main import guarded
from fsrf_jax.cli.run import Run, show_results, write_probes, write_recovery, write_results
from fsrf_jax.config import Config, EvaluationConfig
from fsrf_jax.data import normalise
from fsrf_jax.errors import ConfigError, RunError
from fsrf_jax.source import fingerprint, open_source
from fsrf_jax.training import checkpoints

DESCRIPTION = """Evaluate the best network of a run folder and write the results into it, or
elsewhere with --output. Settings of the evaluation can be changed if the results go elsewhere."""


def command(argv: Sequence[str]) -> int:
    """Run `evaluate` with these arguments and return the exit status."""
    folder, config, output, more = _parse(argv)
    source = open_source(config.data, config.losses.task.form)
    if output.resolve() == (folder / "results.json").resolve():
        remedy = "give --output FILE.json to write the results elsewhere"
        run_folder.check_data(folder, fingerprint(source.dataset), remedy)
    run = Run.make(config, source)
    with checkpoints.open_manager(folder / "checkpoints", read_only=True) as manager:
        shapes = normalise.fit(source.split("train"), config.data.clip)
        state, normaliser = run.restore(manager, shapes)
    evaluation, results = run.evaluate(state, normaliser)
    write_results(output, evaluation, results)
    show_results(console := Console(), results)
    console.out(f"Results: {output}", highlight=False)
    if "probes" in more:
        write_probes(place := _beside(output, "probes"), run.probe(state, normaliser))
        console.out(f"Probes: {place}", highlight=False)
    if "recovery" in more:
        write_recovery(place := _beside(output, "recovery"), run.recovery(state, normaliser))
        console.out(f"Recovery: {place}", highlight=False)
    return 0


def _beside(output: Path, name: str) -> Path:
    """Where other measurements stand: RUN/NAME.json, or FILE.NAME.json."""
    own = output.name == "results.json"
    return output.with_name(f"{name}.json" if own else f"{output.stem}.{name}.json")


def _parse(argv: Sequence[str]) -> tuple[Path, Config, Path, tuple[str, ...]]:
    parser = jsonargparse.ArgumentParser(
        prog="evaluate", description=DESCRIPTION, exit_on_error=False
    )
    parser.add_argument("run", metavar="RUN", help="run folder, made by train")
    parser.add_argument("--output", metavar="FILE", help="results file; default RUN/results.json")
    parser.add_argument(
        "--probes",
        action="store_true",
        help="also measure what the homogeneous, heterogeneous and noise codes hold",
    )
    parser.add_argument(
        "--recovery",
        action="store_true",
        help="also measure how close the codes of incomplete samples are to the complete ones'",
    )
    parser.add_argument("--data.path", metavar="FILE", help="data file, if it was moved")
    for field in dataclasses.fields(EvaluationConfig):
        parser.add_argument(
            f"--evaluation.{field.name}", type=field.type, help="as in train; default: the run's"
        )
    parsed = arguments.parse_plain(parser, argv)
    folder = Path(parsed.run)
    saved = folder / "config.yaml"
    if not saved.is_file():
        raise RunError(f"{folder}: found no config.yaml, expected a run folder made by train.")
    config = arguments.load(saved)
    changes = {k: v for k, v in vars(parsed.evaluation).items() if v is not None}
    output = Path(parsed.output) if parsed.output else folder / "results.json"
    own = output.resolve() == (folder / "results.json").resolve()
    if changes and own:
        raise ConfigError(
            f"--evaluation.{next(iter(changes))}: the results would differ from those the run "
            "stands for; give --output FILE.json to write them elsewhere."
        )
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, path=parsed.data.path or config.data.path),
        evaluation=dataclasses.replace(config.evaluation, **changes),
    )
    if not output.parent.is_dir() or output.suffix in (".md", ".png", ".npz"):
        raise ConfigError(f"--output: found {output}, expected FILE.json in an existing folder.")
    more = tuple(name for name in ("probes", "recovery") if getattr(parsed, name))
    return folder, configuration.check(config), output, more


main = guarded(command)
