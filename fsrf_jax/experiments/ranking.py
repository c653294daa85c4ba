"""A ranking: methods on one data set under one budget, each with settings of its own choice.

For every fold each method tries the same number of candidate settings on the fold's training and
validation samples alone. The candidate with the lowest validation error is trained with every
training seed, and those networks are tested. The choice is part of what is tested: where there are
several folds, each chooses anew, and no sample that a choice has seen is in its test.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.floors import FLOORS
from fsrf_jax.evaluation.results import read_results
from fsrf_jax.experiments.ablation import train_members
from fsrf_jax.experiments.experiment import open_experiment
from fsrf_jax.experiments.floors import evaluate_floors, normaliser_of
from fsrf_jax.experiments.members import Member, is_evaluated
from fsrf_jax.experiments.outputs import write_results
from fsrf_jax.experiments.start import check_unseen, share_taken

Candidates = Mapping[str, Mapping[str, Config]]
"""Configs by method, then by the candidate's name; the first method is the reference."""

BUDGET = (
    *("training.epochs", "training.batch_size", "views of a sample in a step"),
    "training.selection",
    "training.init_from",
)


@dataclass(frozen=True)
class Ranked:
    """What one fold of a ranking trained.

    Attributes:
        fold: its number; None without folds.
        chosen: the name of the chosen candidate by method.
        errors: validation error by method and candidate; empty where there was no choice.
        members: the tested networks.
        floors: folders of the results of every floor, by its name.
    """

    fold: int | None
    chosen: dict[str, str]
    errors: dict[str, dict[str, float]]
    members: Sequence[Member]
    floors: dict[str, Path]


def check_budget(candidates: Candidates) -> None:
    """Refuse methods that would not have the same budget.

    Raises:
        ConfigError: another number of candidates, epochs, samples in a step or views, another rule
            of selection, or another run that they start from.
    """
    counts = {method: len(found) for method, found in candidates.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{method} {count}" for method, count in counts.items())
        raise ConfigError(f"--search: found {listed} candidates, expected as many for each method.")
    budgets = {
        (method, name): (
            config.training.epochs,
            config.training.batch_size,
            config.method.views + config.method.complete_view,
            config.training.selection,
            config.training.init_from,
        )
        for method, found in candidates.items()
        for name, config in found.items()
    }
    (first, expected), *others = budgets.items()
    for (method, name), found in others:
        for what, one, other in zip(BUDGET, found, expected, strict=True):
            if one != other:
                raise ConfigError(
                    f"{method}, {name}: {what} is {one}, expected {other} as of {first[0]}, so "
                    "that all methods have the same budget."
                )


def rank(
    folder: Path,
    candidates: Candidates,
    folds: Sequence[int | None],
    seeds: Sequence[int],
    together: int,
    say: Callable[[str], None],
) -> list[Ranked]:
    """Choose, train and test every method on every fold.

    What was interrupted goes on, and nothing is trained twice.

    Args:
        folder: of the ranking.
        candidates: see `Candidates`; their configs name the data, and neither seed nor folder.
        folds: numbers of the folds; [None] for data that are not dealt into folds.
        seeds: training seeds; candidates are tried with the first.
        together: members that train as one program, see `train_members`.
        say: is given a line about what happens.

    Raises:
        InterruptedTraining, RunError: see `train_members`.
        ConfigError: see `check_budget`.
    """
    check_budget(candidates)
    for fold in folds:  # before the first one trains for hours
        check_unseen(_on_fold(next(iter(next(iter(candidates.values())).values())), fold))
    return [_rank_fold(folder, candidates, fold, seeds, together, say) for fold in folds]


def shares_taken(members: Sequence[Member]) -> dict[str, float]:
    """Which share of its parameters each method took of `training.init_from`, by its name."""
    return {
        member.variant: share_taken(member.folder, partial(open_experiment, member.config))
        for member in members
    }


def _rank_fold(
    folder: Path,
    candidates: Candidates,
    fold: int | None,
    seeds: Sequence[int],
    together: int,
    say: Callable[[str], None],
) -> Ranked:
    place = folder if fold is None else folder / f"fold-{fold}"
    if fold is not None:
        say(f"fold {fold}")
    errors: dict[str, dict[str, float]] = {}
    if max(map(len, candidates.values())) > 1:
        trials = {
            (method, name): _trial(place / "search", method, name, config, fold, seeds[0])
            for method, found in candidates.items()
            for name, config in found.items()
        }
        train_members(place / "search", list(trials.values()), together, say)
        for (method, name), member in trials.items():
            results = read_results(member.folder / "results.json")
            errors.setdefault(method, {})[name] = results["validation_error"]
    chosen = {
        method: min(errors[method], key=errors[method].__getitem__) if errors else next(iter(found))
        for method, found in candidates.items()
    }
    for method, name in chosen.items() if errors else ():
        say(f"{method}: chose {name!r}, validation error {errors[method][name]:.4f}")
    members = [
        Member.make(place, method, _on_fold(candidates[method][name], fold), seed)
        for method, name in chosen.items()
        for seed in seeds
    ]
    train_members(place, members, together, say)
    return Ranked(fold, chosen, errors, members, _floors(place / "floors", members[0].config))


def _floors(place: Path, config: Config) -> dict[str, Path]:
    """Folders with the results of every floor, measured unless they are there already."""
    if not config.evaluation.floors:
        return {}
    folders = {name: place / name for name in FLOORS}
    if not all(map(is_evaluated, folders.values())):
        run = open_experiment(config)
        settings = config.evaluation
        measured = evaluate_floors(
            run.source,
            normaliser_of(run.source, config.data.clip),  # type: ignore[arg-type]  # it was trained
            run.protocol,
            settings.mask_seeds,
            None,
            run.family,
            split=settings.split,
            resamples=settings.bootstrap,
        )
        for name, (evaluation, results) in measured.items():
            if run.fold is not None:
                results["fold"] = run.fold
            folders[name].mkdir(parents=True, exist_ok=True)
            write_results(folders[name] / "results.json", evaluation, results)
    return folders


def _trial(
    place: Path, method: str, name: str, config: Config, fold: int | None, seed: int
) -> Member:
    """A candidate: what is evaluated is the validation split, so the test split stays unseen."""
    config = _on_fold(config, fold)
    evaluation = dataclasses.replace(config.evaluation, split="valid", bootstrap=0)
    config = dataclasses.replace(config, evaluation=evaluation)
    return Member.make(place, f"{method}, {name}", config, seed)


def _on_fold(config: Config, fold: int | None) -> Config:
    if fold is None:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, fold=fold))
