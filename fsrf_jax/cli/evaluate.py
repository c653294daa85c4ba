"""`evaluate`: a run's best network, or predictions of another program, under a protocol."""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jsonargparse
from rich.console import Console

from fsrf_jax import arguments
from fsrf_jax import config as configuration
from fsrf_jax.api import load_run
from fsrf_jax.cli.main import guarded
from fsrf_jax.cli.reading import add_checkpoint
from fsrf_jax.config import Config, EvaluationConfig
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.evaluation.protocols.mask_files import MaskFile, observer_of, read_masks
from fsrf_jax.evaluation.protocols.registry import Protocol
from fsrf_jax.evaluation.runs import file_beside
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.experiment import Experiment, protocol_of
from fsrf_jax.experiments.outputs import write_probes, write_recovery, write_results
from fsrf_jax.experiments.score import score_file
from fsrf_jax.reporting.terminal import terminal_results
from fsrf_jax.source import open_source
from fsrf_jax.training.checkpoints import Which

DESCRIPTION = """Evaluate the best network of a run folder and write the results into it, or
elsewhere with --output. Settings of the evaluation can be changed if the results go elsewhere.
With --predictions FILE, score what any other program predicted on masks of bin/masks; the data and
the settings are those of RUN, or of --config FILE (and every option of train) in its place."""

# What a file of masks decides.
OF_MASKS = ("protocol", "split", "mask_seeds")

MORE = ("probes", "recovery")


@dataclass(frozen=True)
class Request:
    """What the arguments ask for.

    Attributes:
        folder: the run folder; None for predictions with a config.
        config: data and settings.
        changes: settings of the evaluation that differ from the config's own.
        output: the results file.
        masks: a file of masks, in place of drawing them.
        predictions: a file of predictions, in place of the run's network.
        more: what else to measure, of probes and recovery.
        checkpoint: of the run, that is evaluated.
    """

    folder: Path | None
    config: Config
    changes: tuple[str, ...]
    output: Path
    masks: Path | None
    predictions: Path | None
    more: tuple[str, ...]
    checkpoint: Which = "newest"


def command(argv: Sequence[str]) -> int:
    """Run `evaluate` with these arguments and return the exit status."""
    request = _parse(argv)
    masks = None if request.masks is None else read_masks(request.masks)
    protocol = _protocol(request, masks)
    config = request.config if masks is None else _settings_of(masks, request.config)
    source = open_source(config.data, config.task.form, trained=request.folder is not None)
    observe = None
    if masks is not None and request.masks is not None:
        observe = observer_of(masks, source.split(masks.split), request.masks)
    console = Console()
    if request.predictions is not None:
        evaluation, results = score_file(request.predictions, config, source, protocol, observe)
        write_results(request.output, evaluation, results)
        console.print(terminal_results(results))
        console.out(f"Results: {request.output}", highlight=False)
        return 0
    assert request.folder is not None  # _check
    if _is_own(request.output, request.folder):
        remedy = "give --output FILE.json to write the results elsewhere"
        run_folder.check_data(request.folder, source.fingerprint, remedy)
    shapes = run_folder.read_shapes(request.folder)
    run = Experiment.make(config, source, protocol, shapes)
    say = partial(console.out, highlight=False)
    state, normaliser = run.load(request.folder, request.checkpoint, say)
    evaluation, results = run.evaluate(request.folder, state, normaliser, observe)
    write_results(request.output, evaluation, results)
    console.print(terminal_results(results))
    say(f"Results: {request.output}")
    if "probes" in request.more:
        place = file_beside(request.output, "probes.json")
        write_probes(place, run.probe(state, normaliser))
        say(f"Probes: {place}")
    if "recovery" in request.more:
        found = run.recovery(state, normaliser, observe)
        write_recovery(place := file_beside(request.output, "recovery.json"), found)
        say(f"Recovery: {place}")
    return 0


def _protocol(request: Request, masks: MaskFile | None) -> Protocol:
    """The protocol of the masks; of the run's results, if its own file may be gone; or by name."""
    if masks is not None:
        return masks.protocol
    if request.folder is not None and "protocol" not in request.changes:
        return protocol_of(request.folder, request.config)
    return resolve(request.config.evaluation.protocol, request.config.data.modalities)


def _settings_of(masks: MaskFile, config: Config) -> Config:
    """The config with the split and the seeds of the masks."""
    evaluation = dataclasses.replace(
        config.evaluation, split=masks.split, mask_seeds=masks.mask_seeds
    )
    return dataclasses.replace(config, evaluation=evaluation)


def _parse(argv: Sequence[str]) -> Request:
    if any(argument.partition("=")[0] == "--config" for argument in argv):
        return _check(_parse_with_config(argv))
    parser = jsonargparse.ArgumentParser(
        prog="evaluate", description=DESCRIPTION, exit_on_error=False
    )
    parser.add_argument("run", metavar="RUN", nargs="?", help="run folder, made by train")
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
    add_checkpoint(parser)
    parser.add_argument(
        "--masks", metavar="FILE.npz", help="take protocol, split, seeds and masks from this file"
    )
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        help="score these predictions (.npz or .csv); results go to FILE.json beside them",
    )
    parser.add_argument(
        "--config", metavar="FILE.yaml", help="with --predictions: data and settings, without RUN"
    )
    parser.add_argument("--data.path", metavar="FILE", help="data file, if it was moved")
    parser.add_argument(
        "--data.licence", metavar="TEXT", help="licence of the data, as you state it; see report"
    )
    for field in dataclasses.fields(EvaluationConfig):
        parser.add_argument(
            f"--evaluation.{field.name}", type=field.type, help="as in train; default: the run's"
        )
    parsed = arguments.parse_plain(parser, argv)
    if parsed.run is None:
        raise ConfigError(
            "RUN: expected a run folder, or --predictions and --config; see evaluate --help."
        )
    run = load_run(parsed.run, data_path=parsed.data.path or None)
    folder, config = run.folder, run.config
    changes = {k: v for k, v in vars(parsed.evaluation).items() if v is not None}
    settings = dataclasses.replace(config.evaluation, **changes)
    config = dataclasses.replace(config, evaluation=settings)
    if parsed.data.licence is not None:
        if parsed.predictions:
            raise ConfigError("--data.licence: predictions have no model card: leave it out.")
        data = dataclasses.replace(config.data, licence=parsed.data.licence)
        config = dataclasses.replace(config, data=data)
    predictions, masks = (Path(p) if p else None for p in (parsed.predictions, parsed.masks))
    default = predictions.with_suffix(".json") if predictions else folder / "results.json"
    return _check(
        Request(
            folder=folder,
            config=configuration.check(config),
            changes=tuple(changes),
            output=Path(parsed.output) if parsed.output else default,
            masks=masks,
            predictions=predictions,
            more=tuple(name for name in MORE if getattr(parsed, name)),
            checkpoint=parsed.checkpoint,
        )
    )


def _parse_with_config(argv: Sequence[str]) -> Request:
    """The request for predictions without a run: own options first, the rest makes a config."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("--predictions", "--output", "--masks"):
        own.add_argument(name, type=Path)
    try:
        parsed, rest = own.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error}; see evaluate --help.") from error
    if parsed.predictions is None:
        raise ConfigError("--config: expected with --predictions FILE; a run has its own.")
    config, _ = arguments.parse(arguments.make_parser("evaluate", DESCRIPTION, rest), rest)
    changes = [name for name in OF_MASKS if any(a.startswith(f"--evaluation.{name}") for a in rest)]
    return Request(
        folder=None,
        config=config,
        changes=tuple(changes),
        output=parsed.output or parsed.predictions.with_suffix(".json"),
        masks=parsed.masks,
        predictions=parsed.predictions,
        more=(),
    )


def _check(request: Request) -> Request:
    """The request itself, if it overwrites nothing and does not contradict itself."""
    output, folder = request.output, request.folder
    if not output.parent.is_dir() or output.suffix in (".md", ".png", ".npz", ".csv"):
        raise ConfigError(f"--output: found {output}, expected FILE.json in an existing folder.")
    decided = [name for name in request.changes if name in OF_MASKS]
    if request.masks is not None and decided:
        raise ConfigError(f"--evaluation.{decided[0]}: the file of --masks decides it.")
    if request.predictions is not None:
        if request.checkpoint != "newest":
            raise ConfigError("--checkpoint: predictions are of none: leave it out.")
        if request.more:
            raise ConfigError(f"--{request.more[0]}: predictions have no codes: leave it out.")
        if request.predictions.resolve() == file_beside(output, "predictions.npz").resolve():
            raise ConfigError(f"--output: {request.predictions} would be overwritten.")
        if output.name == "results.json" and (output.parent / "config.yaml").exists():
            raise ConfigError("--output: results.json is of the run itself: choose another file.")
    elif folder is not None and _is_own(output, folder):
        changed = [f"--evaluation.{name}" for name in request.changes]
        changed += ["--masks"] if request.masks is not None else []
        if changed:
            raise ConfigError(
                f"{changed[0]}: the results would differ from those the run stands for; give "
                "--output FILE.json to write them elsewhere."
            )
    return request


def _is_own(output: Path, folder: Path) -> bool:
    return output.resolve() == (folder / "results.json").resolve()


main = guarded(command)
