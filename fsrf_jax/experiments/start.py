"""How a run starts: from the parameters of another one, and with some of them held still."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from fsrf_jax import arguments, sealed
from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError, RunError
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.experiment import Experiment, initial_states, make_recipe, restore
from fsrf_jax.methods.method import Parameters
from fsrf_jax.options import split
from fsrf_jax.progress import Say, silent
from fsrf_jax.source import Shapes
from fsrf_jax.training import checkpoints, frozen, transfer
from fsrf_jax.training.loop import member
from fsrf_jax.training.state import TrainState, start_from

WIDTH = 7
"""Features of the modality that is only thought of: a number that nothing else is likely to be."""
FOLDS = ("folds", "fold", "fold_seed", "pooled", "valid_share")


@dataclasses.dataclass(frozen=True)
class Started:
    """The run that another one starts from.

    Attributes:
        folder: its folder.
        modalities: sorted.
        best_epoch: of the parameters.
        parameters: the best ones for inference, and those for training at its last checkpoint.
    """

    folder: Path
    modalities: tuple[str, ...]
    best_epoch: int
    parameters: Parameters


def check_start(run: Experiment) -> None:
    """Refuse what a run cannot start from, or cannot freeze, before it has a folder.

    Raises:
        ConfigError: `training.freeze` names a group that there is not, or all of them.
        RunError: `training.init_from` is no run with a checkpoint, or nothing of it fits.
    """
    describe_frozen(run)
    if run.config.training.init_from is not None:
        _planned(run, _opened(run))


def describe_frozen(run: Experiment) -> str | None:
    """How many parameters are held still, in words; None where none is.

    Raises:
        ConfigError: see `check_start`.
    """
    names = run.config.training.freeze
    if not names:
        return None
    try:
        return frozen.describe(_parameters(run, run.shapes), names)
    except ValueError as error:
        raise ConfigError(f"training.{error}") from error


def started(
    run: Experiment, states: TrainState, folders: Sequence[Path], say: Say = silent
) -> TrainState:
    """The states of a population before its first step, with the parameters of `init_from`.

    Args:
        run: one of the population; all have the same static part and start from the same run.
        states: fresh ones.
        folders: run folders, in which init.json says what was taken.
        say: is given a line about it.

    Raises:
        RunError: see `check_start`.
    """
    if run.config.training.init_from is None:
        return states
    found = _opened(run)
    planned = _planned(run, found)
    for folder in folders:
        _write_taken(folder, found, planned)
    short = transfer.grouped(planned.anew, states.parameters)
    say(
        f"starts from {found.folder}, epoch {found.best_epoch}: took {planned.taken:,} of "
        f"{planned.total:,} parameters; drawn anew: {', '.join(short) or 'nothing'}"
    )
    return start_from(states, transfer.apply(planned, found.parameters, states.parameters))


def _write_taken(folder: Path, found: Started, planned: transfer.Transfer) -> None:
    content = {
        "run": str(found.folder),
        "best_epoch": found.best_epoch,
        "taken": planned.taken,
        "parameters": planned.total,
        "drawn_anew": list(planned.anew),
    }
    sealed.write(folder / "init.json", content)


def share_taken(folder: Path, run: Callable[[], Experiment]) -> float:
    """Which share of its parameters a run took of `training.init_from`, as init.json says.

    Args:
        folder: of the run.
        run: gives it; called if the file is damaged or gone, and written anew.

    Raises:
        RunError: then, if `training.init_from` is gone as well.
    """
    path = folder / "init.json"
    try:
        found = sealed.read(path, "give the same command again")
        return float(found["taken"] / found["parameters"])
    except (sealed.DamagedFile, KeyError, TypeError, ZeroDivisionError):
        again = run()
        started_from = _opened(again)
        planned = _planned(again, started_from)
        _write_taken(folder, started_from, planned)
        return planned.taken / planned.total


def check_unseen(config: Config) -> None:
    """Refuse to start from a run of the same data dealt otherwise: it may know the test split.

    Raises:
        RunError: there is no such run, or it is of other folds of the same data.
    """
    if (name := config.training.init_from) is None:
        return
    here, there = config.data, _config_of(Path(name)).data
    where = [
        (data.source, data.path and Path(data.path).resolve(), data.synthetic)
        for data in (here, there)
    ]
    dealt = [tuple(getattr(data, field) for field in FOLDS) for data in (here, there)]
    if where[0] == where[1] and dealt[0] != dealt[1] and max(here.folds, there.folds):
        differing = ", ".join(
            f"data.{field} {getattr(there, field)!r} there, {getattr(here, field)!r} here"
            for field in FOLDS
            if getattr(there, field) != getattr(here, field)
        )
        raise RunError(
            f"training.init_from: {name} was trained on the same data, dealt otherwise "
            f"({differing}): it may have seen the samples that are tested here. Give a run of "
            "other data, or of the same fold."
        )


def _config_of(folder: Path) -> Config:
    if not (folder / "config.yaml").is_file():
        raise RunError(
            f"training.init_from: found no run folder {folder}, with a config.yaml in it."
        )
    return arguments.load_saved(folder / "config.yaml")


def _opened(run: Experiment) -> Started:
    """What `training.init_from` names."""
    check_unseen(run.config)
    assert run.config.training.init_from is not None
    folder = Path(run.config.training.init_from)
    config = _config_of(folder)
    shapes = run_folder.read_shapes(folder)
    if shapes is None:
        raise RunError(
            f"training.init_from: {folder} has no shapes.json, because its program was older: "
            "the same bin/train command, with some more epochs, writes it."
        )
    recipe, _ = split(make_recipe(config, shapes))
    try:
        with checkpoints.open_manager(folder / "checkpoints", read_only=True) as manager:
            states, _ = restore(recipe, shapes, run.mesh, manager)
    except RunError as error:
        raise RunError(f"training.init_from: {error}") from error
    state = member(states, 0)
    parameters = {"inference": state.best, "training": state.parameters["training"]}
    modalities = tuple(sorted(shapes.features))
    return Started(folder, modalities, int(state.best_epoch), jax.device_get(parameters))


def _planned(run: Experiment, found: Started) -> transfer.Transfer:
    """What of it is taken."""
    shapes = run.shapes
    another = "".join(sorted(shapes.features)) + "+"  # no modality has this name
    wider = dataclasses.replace(
        shapes,
        frames={**shapes.frames, another: 1},
        features={**shapes.features, another: WIDTH},
    )
    modalities = found.modalities, tuple(sorted(shapes.features))
    new = _parameters(run, shapes)
    more = new if modalities[0] == modalities[1] else _parameters(run, wider)
    planned = transfer.plan(found.parameters, new, modalities, more)
    if not planned.taken:
        raise RunError(
            f"training.init_from: nothing of {found.folder} fits by name and shape; expected a run "
            "whose model.width, modalities or features are those of this one."
        )
    return planned


def _parameters(run: Experiment, shapes: Shapes) -> Any:
    """Shapes of the parameters of one run on data of these shapes."""
    recipe = dataclasses.replace(run.recipe, freeze=())
    states = jax.eval_shape(lambda: initial_states(recipe, shapes, [0]))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), states.parameters)
