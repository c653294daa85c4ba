"""What a report is made from: runs, read from their folders, and methods, which are several."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsrf_jax.config import Config, flatten
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.evaluated import Evaluated, read_evaluated
from fsrf_jax.reading.text import parse_json, read_json, read_text

# Keys that may differ between the runs of one method; those that end in a dot are sections.
FREE = ("data.path", "output.", "training.seed")


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
    def results(self) -> dict[str, Any]:
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
            return "predictions of another program"
        seeds = ", ".join(str(run.seed) for run in self.runs)
        return f"training seed{'s' if len(self.runs) > 1 else ''} {seeds}"


def read_material(path: Path, config: Config | None, name: str | None = None) -> Material:
    """Read a run folder, or a results file of an evaluation.

    Args:
        path: of the folder or the file.
        config: the experiment, where there is a run.
        name: of the run; by default that of the folder or file.

    Raises:
        RunError: it has no results, is damaged, or is of another version.
    """
    evaluated = read_evaluated(path)
    of_run = path.is_dir()
    return Material(
        name=name or (path.resolve().name if of_run else path.stem),
        evaluated=evaluated,
        config=config,
        journal=_read_lines(path / "metrics.jsonl") if of_run else (),
        environment=_read(path / "environment.json") if of_run else None,
        probes=_read(path / "probes.json" if of_run else path.with_suffix(".probes.json")),
        recovery=_read(path / "recovery.json" if of_run else path.with_suffix(".recovery.json")),
    )


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
    if not path.is_file():
        return None
    try:
        found = read_json(path, RunError)
    except RunError as error:
        raise RunError(f"{path}: is damaged ({error}); make it again, or remove it.") from error
    if not isinstance(found, dict):
        raise RunError(f"{path}: is damaged; make it again, or remove it.")
    return found


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """What stands in the journal; a last line that was cut off is left out."""
    found = []
    for line in read_text(path, RunError).splitlines() if path.is_file() else ():
        try:
            record = parse_json(line, str(path), RunError)
        except RunError:
            continue
        if isinstance(record, dict) and "epoch" in record:
            found.append(record)
    return found
