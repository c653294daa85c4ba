"""Methods on the same masks against the first: how large is a difference, and is it chance?

There are three kinds of chance, kept apart. Other test samples: a paired bootstrap whose unit is
the sample, or the group of samples where the data have groups. Other training seeds: a paired
t-test whose unit is the seed, and their standard deviation. Other training sets, where the runs are
of several folds: the corrected resampled t-test over the folds. Each p-value is corrected over the
methods that are compared with the same one (Holm), figure by figure. Tables of ablations, reports
and rankings all have their differences from here.

A figure of runs of several folds is its mean over the folds; a resample draws within each fold.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.metrics.bootstrap import (
    Interval,
    interval,
    resample_counts,
    resampled,
    two_sided_p,
)
from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.metrics.statistics import (
    Difference,
    holm,
    paired_difference,
)
from fsrf_jax.evaluation.protocols.averages import mean_and_std
from fsrf_jax.evaluation.results import family_of_results, rows_of
from fsrf_jax.evaluation.runs import Evaluated, check_comparable
from fsrf_jax.evaluation.summary import combined

RESAMPLES = 1000


@dataclass(frozen=True)
class Spread:
    """One figure over the training seeds of a method.

    Attributes:
        mean: over the training seeds; None if one is undefined.
        training_std: standard deviation over them (n - 1); None for one.
        mask_std: standard deviation over the mask seeds, root mean square over the training seeds;
            None for averages and for one mask seed.
    """

    mean: float | None
    training_std: float | None
    mask_std: float | None


@dataclass(frozen=True)
class Compared:
    """One figure of two methods.

    Attributes:
        score: of the method.
        reference: of the other one.
        difference: mean of score - reference; None if either is undefined.
        samples: its 95 % bootstrap interval over the test samples; None if undefined, or not asked
            for.
        samples_p: two-sided, see `fsrf_jax.evaluation.metrics.bootstrap.two_sided_p`; corrected.
        seeds: the same difference over training seeds, with its t-interval and p, corrected; None
            if the methods do not have the same two or more seeds, or the figure is undefined in
            one.
        folds: the same difference over folds, with its corrected t-interval and p, corrected; None
            for fewer than two.
        within_spread: a warning: the difference is smaller than the larger standard deviation over
            training seeds; None where that is unknown, with one seed each.
    """

    score: Spread
    reference: Spread
    difference: float | None
    samples: Interval
    samples_p: float | None
    seeds: Difference | None
    folds: Difference | None
    within_spread: bool | None


Comparison = dict[str, dict[str, Compared]]
"""By row (every condition, `average`, `all_conditions`), then metric."""

Rows = dict[str, dict[str, np.ndarray]]
"""Figures in every resample, [r], by row and metric."""


def compare_methods(
    methods: Mapping[str, Sequence[Evaluated]], resamples: int = RESAMPLES
) -> dict[str, Comparison]:
    """Compare methods with the first one, figure by figure.

    Args:
        methods: runs by the method's name, one a training seed and fold; the first is the
            reference.
        resamples: of the test samples; 0: nothing is said of other samples.

    Returns:
        By the name of every method but the first.

    Raises:
        RunError: no run, a seed twice, methods of other folds, or runs that were not evaluated
            alike on the same masks.
    """
    check_folds(methods)
    first, *others = methods
    drawn = {name: _resample_rows(runs, resamples) for name, runs in methods.items()}
    rows = list(rows_of(methods[first][0].results))
    metrics = family_of_results(methods[first][0].results).names
    found: dict[str, Comparison] = {name: {row: {} for row in rows} for name in others}
    for row in rows:
        for metric in metrics:
            sides = {name: (methods[name], methods[first], row, metric) for name in others}
            differences = {
                name: drawn[name][row][metric] - drawn[first][row][metric] if resamples else None
                for name in others
            }
            cells = {name: _compare(*sides[name], differences[name]) for name in others}
            samples_p = holm({name: cell.samples_p for name, cell in cells.items()})
            pairs = {name: _paired(*side) for name, side in sides.items()}
            scores = {name: pair[0] for name, pair in pairs.items() if pair}
            of_first: list[float] = next((pair[1] for pair in pairs.values() if pair), [])
            seeds = differences_over_seeds(scores, of_first)
            folds = _corrected({name: _over_folds(*side) for name, side in sides.items()})
            for name, cell in cells.items():
                found[name][row][metric] = dataclasses.replace(
                    cell, samples_p=samples_p[name], seeds=seeds.get(name), folds=folds[name]
                )
    return found


def differences_over_seeds(
    scores: Mapping[str, Sequence[float | None]], reference: Sequence[float | None]
) -> dict[str, Difference | None]:
    """The paired difference of each method to the reference, its p corrected over the methods.

    Args:
        scores: a score for each training seed, by method.
        reference: scores of the same seeds, in the same order.

    Returns:
        None where a score of either is undefined.
    """
    found = {
        name: None if None in own or None in reference else paired_difference(own, reference)  # type: ignore[arg-type]
        for name, own in scores.items()
    }
    return _corrected(found)


def _corrected(found: Mapping[str, Difference | None]) -> dict[str, Difference | None]:
    """The same with p-values corrected over the methods."""
    corrected = holm({name: cell.p if cell else None for name, cell in found.items()})
    return {
        name: cell and dataclasses.replace(cell, p=corrected[name]) for name, cell in found.items()
    }


def spread_of(runs: Sequence[Evaluated], row: str, metric: str) -> Spread:
    """A figure's mean and its standard deviations over training seeds and mask seeds, apart."""
    rows = [rows_of(run.results)[row] for run in runs]
    found = mean_and_std(list(_by_seed(runs, row, metric).values()))
    if found["mean"] is None:
        return Spread(None, None, None)
    masks = [_masks_std(entry).get(metric) for entry in rows]
    of_masks = [spread for spread in masks if spread is not None]
    return Spread(
        mean=found["mean"],
        training_std=found["std"],
        mask_std=float(np.sqrt(np.mean(np.square(of_masks)))) if of_masks else None,
    )


def _masks_std(entry: Mapping[str, Any]) -> Metrics:
    return entry.get("metrics_std", {})


def _resample_rows(runs: Sequence[Evaluated], resamples: int) -> Rows:
    """Mean over the runs of every figure in every resample, [r], by row and metric."""
    if not resamples:
        return {}
    by_run = [_resample(run, resamples) for run in runs]
    return {
        row: {name: np.mean([rows[row][name] for rows in by_run], axis=0) for name in figures}
        for row, figures in by_run[0].items()
    }


def _resample(run: Evaluated, resamples: int) -> Rows:
    counts = resample_counts(len(run.labels), resamples, run.groups, stream=fold_of(run))
    tally = family_of_results(run.results).tally
    drawn = {
        condition: resampled(tally, predictions, run.labels, counts)
        for condition, predictions in run.predictions.items()
    }
    rows = rows_of(run.results)
    averages = {row: rows[row]["weights"] for row in rows if row not in drawn}  # type: ignore[typeddict-item]
    return drawn | {row: combined(drawn, weights) for row, weights in averages.items()}


def _compare(
    method: Sequence[Evaluated],
    reference: Sequence[Evaluated],
    row: str,
    metric: str,
    differences_r: np.ndarray | None,
) -> Compared:
    own, other = spread_of(method, row, metric), spread_of(reference, row, metric)
    if own.mean is None or other.mean is None:
        return Compared(own, other, None, None, None, None, None, None)
    difference = own.mean - other.mean
    spreads = [side.training_std for side in (own, other) if side.training_std is not None]
    return Compared(
        score=own,
        reference=other,
        difference=difference,
        samples=None if differences_r is None else interval(differences_r),
        samples_p=None if differences_r is None else two_sided_p(differences_r),
        seeds=None,  # of all methods together, as that of the folds
        folds=None,
        within_spread=abs(difference) < max(spreads) if spreads else None,
    )


def _paired(
    method: Sequence[Evaluated], reference: Sequence[Evaluated], row: str, metric: str
) -> tuple[list[float], list[float]] | None:
    """Scores of both by training seed; None unless both have the same two or more seeds."""
    scores, base = (
        {
            seed: figure
            for seed, figure in _by_seed(side, row, metric).items()
            if seed is not None and figure is not None
        }
        for side in (method, reference)
    )
    if len(scores) < 2 or scores.keys() != base.keys():
        return None
    return [scores[seed] for seed in sorted(base)], [base[seed] for seed in sorted(base)]


def _by_seed(runs: Sequence[Evaluated], row: str, metric: str) -> dict[int | None, float | None]:
    """A figure's mean over the folds by training seed; None where one is undefined."""
    figures: dict[int | None, list[float | None]] = {}
    for run in runs:
        figure = rows_of(run.results)[row]["metrics"][metric]
        figures.setdefault(run.results["training_seed"], []).append(figure)
    return {seed: mean_and_std(found)["mean"] for seed, found in figures.items()}


def _over_folds(
    method: Sequence[Evaluated], reference: Sequence[Evaluated], row: str, metric: str
) -> Difference | None:
    """The difference fold by fold, each a mean over the seeds; None with fewer than two."""
    scores, base = (
        [
            mean_and_std(list(_by_seed(runs, row, metric).values()))["mean"]
            for runs in by_fold(side).values()
        ]
        for side in (method, reference)
    )
    if len(base) < 2 or None in scores or None in base:
        return None
    shares = [run.results["n"] / run.results["fold"]["train"] for run in reference]
    return paired_difference(scores, base, float(np.mean(shares)))  # type: ignore[arg-type]


def fold_of(run: Evaluated) -> int:
    """The fold that a run was tested on; 0 for data that are not dealt into folds."""
    return run.results["fold"]["number"] if "fold" in run.results else 0


def by_fold(runs: Sequence[Evaluated]) -> dict[int, list[Evaluated]]:
    """The runs of each fold, in the order of the folds."""
    folds: dict[int, list[Evaluated]] = {}
    for run in sorted(runs, key=fold_of):
        folds.setdefault(fold_of(run), []).append(run)
    return folds


def check_folds(methods: Mapping[str, Sequence[Evaluated]]) -> None:
    """Refuse runs whose figures cannot be compared: see `compare_methods`.

    Raises:
        RunError: see there.
    """
    first, *others = methods
    folds = {name: by_fold(runs) for name, runs in methods.items()}
    for name, found in folds.items():
        for runs in found.values() or [()]:
            _check_seeds(runs)
        seeds = [sorted(str(run.results["training_seed"]) for run in f) for f in found.values()]
        if any(of_fold != seeds[0] for of_fold in seeds):
            raise RunError(
                f"{name}: found runs of the seeds {seeds} of the folds {list(found)}, expected the "
                "same seeds of every fold; train the missing ones."
            )
    for name in others:
        if folds[name].keys() != folds[first].keys():
            raise RunError(
                f"{name}: found runs of the folds {list(folds[name])}, expected "
                f"{list(folds[first])} as of {first}; train the missing ones."
            )
    for number in folds[first]:
        check_comparable([run for found in folds.values() for run in found[number]])


def _check_seeds(runs: Sequence[Evaluated]) -> None:
    seeds = [run.results["training_seed"] for run in runs]
    if not runs or len(set(seeds)) < len(seeds):
        raise RunError(
            f"found runs of the training seeds {seeds}, expected one run or more, each of another "
            "seed; give every run once."
        )
