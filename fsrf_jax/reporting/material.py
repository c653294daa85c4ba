"""What a report is made from: runs, read from their folders, and methods, which are several."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsrf_jax import arguments, sealed
from fsrf_jax.config import PLACES, Config, flatten
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.environment_file import read_environment
from fsrf_jax.evaluation.results import Results
from fsrf_jax.evaluation.runs import Evaluated, file_beside, read_evaluated
from fsrf_jax.journal import read_journal
from fsrf_jax.reporting.captions import made_by

# Keys that may differ between the runs of one method; those that end in a dot are sections.
FREE = (*PLACES, "training.seed")


@dataclass(frozen=True)
class Absent:
    """Something that cannot be shown; the reason is a sentence."""

    reason: str


@dataclass(frozen=True)
class Material:
    """One run.

    Attributes:
        name: of its folder or file.
        evaluated: its results and predictions.
        config: the experiment; None for results without a run.
        journal: what each epoch wrote down; may be empty.
        environment: what it was trained with; None if unknown.
        probes: of its codes, if they were measured.
        recovery: of its codes, if it was measured.
    """

    name: str
    evaluated: Evaluated
    config: Config | None
    journal: Sequence[dict[str, Any]]
    environment: dict[str, Any] | None
    probes: dict[str, Any] | None
    recovery: dict[str, Any] | None

    @property
    def results(self) -> Results:
        """Its results."""
        return self.evaluated.results

    @property
    def seed(self) -> int | None:
        """Its training seed; None for predictions of another program."""
        return self.results["training_seed"]


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in nothing but the training seed."""

    name: str
    runs: Sequence[Material]

    @property
    def first(self) -> Material:
        """The run that stands for it where one has to."""
        return self.runs[0]

    @property
    def evaluated(self) -> list[Evaluated]:
        """Results and predictions of all runs."""
        return [run.evaluated for run in self.runs]

    @property
    def words(self) -> str:
        """Its runs in words."""
        if self.first.seed is None:
            return made_by(self.first.results)
        seeds = ", ".join(str(run.seed) for run in self.runs)
        return f"training seed{'s' if len(self.runs) > 1 else ''} {seeds}"


def has_members(path: Path) -> bool:
    """Whether it is a folder made by ablate, or by rank, or a fold of such a one."""
    return (path / "members").is_dir()


def read_run(path: Path) -> Material:
    """Read a finished run folder, or a results file.

    Raises:
        RunError: it is none, is not finished, is damaged, or of another version.
    """
    if path.is_dir():
        if not (path / "config.yaml").is_file():
            raise RunError(
                f"{path}: found no config.yaml and no members/, expected a run folder made by "
                "train, or a folder made by ablate or rank (of a ranking in folds, one fold)."
            )
        if not (path / "results.json").is_file():
            raise RunError(
                f"{path}: found no results.json, so the run is not finished; go on with bin/train, "
                "or evaluate what there is with bin/evaluate."
            )
    elif path.suffix != ".json" or not path.is_file():
        raise RunError(f"{path}: not found, expected a run folder, or a results file FILE.json.")
    evaluated, of_run = read_evaluated(path), path.is_dir()
    return Material(
        name=path.resolve().name if of_run else path.stem,
        evaluated=evaluated,
        config=arguments.load_saved(path / "config.yaml") if of_run else None,
        journal=read_journal(path) if of_run else (),
        environment=read_environment(path) if of_run else None,
        probes=_read(file_beside(evaluated.path, "probes.json")),
        recovery=_read(file_beside(evaluated.path, "recovery.json")),
    )


def read_members(folder: Path) -> tuple[list[RunGroup], list[str]]:
    """The variants of an ablation or ranking, in its order, and notes on unfinished members.

    Raises:
        RunError: no member is finished, or a file is damaged.
    """
    methods, left_out = [], []
    for variant in _variants(folder):
        places = sorted(variant.glob("seed-*"), key=lambda place: int(place.name[5:]))
        done = [place for place in places if (place / "results.json").is_file()]
        left_out += [
            f"Left out, because it is not finished: {variant.name}, {place.name}."
            for place in places
            if place not in done
        ]
        runs = [read_run(place) for place in done]
        if runs:
            methods.append(RunGroup(variant.name, runs))
    if not methods:
        raise RunError(f"{folder}: no member is finished; go on with the command that began it.")
    return methods, left_out


def _variants(folder: Path) -> list[Path]:
    """Folders of the variants in the order of the table, where the first is the reference."""
    found = {place.name: place for place in sorted((folder / "members").iterdir())}
    order = _order(folder) or list(found)
    first = [found[name] for name in order if name in found]
    return [*first, *(place for place in found.values() if place not in first)]


def _order(folder: Path) -> list[str]:
    """Names of the rows in the table of an ablation or a ranking; empty where there is none yet."""
    tables = [("variants", folder / "ablation.json", "bin/ablate")]
    for place in (folder, folder.resolve().parent):  # a ranking has its table above its folds
        tables.append(("scores", place / "ranking.json", "bin/rank"))
    for key, table, command in tables:
        if table.is_file():
            again = f"run the same {command} again"
            try:
                return list(sealed.read(table, again)[key])
            except (KeyError, TypeError) as error:
                raise sealed.damaged(table, f"{type(error).__name__}: {error}", again) from error
    return []


def group(runs: Iterable[Material]) -> list[RunGroup]:
    """Runs whose configs differ in the training seed alone are one method, in the order given.

    A run whose seed its method has already, such as a copy, begins another one.
    """
    groups: list[list[Material]] = []
    for run in runs:
        for members in groups:
            seeds = {member.seed for member in members}
            if _key(run) == _key(members[0]) and run.seed not in seeds and run.config is not None:
                members.append(run)
                break
        else:
            groups.append([run])
    names = [_common_name([run.name for run in members]) for members in groups]
    return [RunGroup(_distinct(names, index), members) for index, members in enumerate(groups)]


def _key(run: Material) -> dict[str, Any] | None:
    """What the runs of one method share; None for results without a config."""
    if run.config is None:
        return None
    leaves = flatten(run.config)
    return {key: value for key, value in leaves.items() if not key.startswith(FREE)}


def _common_name(names: Sequence[str]) -> str:
    """The one name; of several the first without its seed at the end."""
    if len(names) == 1:
        return names[0]
    return re.sub(r"[-_. ]*(seed)?[-_. ]*\d+$", "", names[0]) or names[0]


def _distinct(names: Sequence[str], index: int) -> str:
    """The name at an index, numbered where it is not the only one of its kind."""
    if names.count(names[index]) == 1:
        return names[index]
    return f"{names[index]} ({names[: index + 1].count(names[index])})"


def _read(path: Path) -> dict[str, Any] | None:
    return sealed.read(path, "make it again, or remove it") if path.is_file() else None
