"""Methods on the same masks against the first: how large is a difference, and is it chance?

There are two kinds of chance, kept apart. Other test samples: a paired bootstrap whose unit is the
sample. Other training seeds: a paired t-test whose unit is the seed, and their standard deviation.
Each p-value is corrected over the methods that are compared with the same one (Holm), figure by
figure. Tables of ablations and reports all have their differences from here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.details import combined
from fsrf_jax.evaluation.evaluated import Evaluated, check_comparable
from fsrf_jax.evaluation.metrics.bootstrap import (
    Interval,
    interval,
    resample_counts,
    resampled,
    two_sided_p,
)
from fsrf_jax.evaluation.metrics.families import family_of_results
from fsrf_jax.evaluation.metrics.statistics import Difference, holm, paired_difference
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING, entry_of

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
        samples: its 95 % bootstrap interval over the test samples; None if undefined.
        samples_p: two-sided, see `fsrf_jax.evaluation.metrics.bootstrap.two_sided_p`; corrected.
        seeds: the same difference over training seeds, with its t-interval and p, corrected; None
            if the methods do not have the same two or more seeds, or the figure is undefined in
            one.
        within_spread: a warning: the difference is smaller than the larger standard deviation over
            training seeds; None where that is unknown, with one seed each.
    """

    score: Spread
    reference: Spread
    difference: float | None
    samples: Interval
    samples_p: float | None
    seeds: Difference | None
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
        methods: runs by the method's name, one a training seed; the first is the reference.
        resamples: of the test samples, at least 1.

    Returns:
        By the name of every method but the first.

    Raises:
        RunError: no run, a seed twice, or runs that were not evaluated alike on the same masks.
    """
    for runs in methods.values():
        _check_seeds(runs)
    check_comparable([run for runs in methods.values() for run in runs])
    first, *others = methods
    base = resample_rows(methods[first], resamples)
    drawn = {name: resample_rows(methods[name], resamples) for name in others}
    metrics = family_of_results(methods[first][0].results).names
    found: dict[str, Comparison] = {name: {row: {} for row in base} for name in others}
    for row, figures in base.items():
        for metric in metrics:
            sides = {name: (methods[name], methods[first], row, metric) for name in others}
            differences = {name: drawn[name][row][metric] - figures[metric] for name in others}
            cells = {name: _compare(*sides[name], differences[name]) for name in others}
            samples_p = holm({name: cell.samples_p for name, cell in cells.items()})
            pairs = {name: _paired(*side) for name, side in sides.items()}
            scores = {name: pair[0] for name, pair in pairs.items() if pair}
            of_first: list[float] = next((pair[1] for pair in pairs.values() if pair), [])
            seeds = differences_over_seeds(scores, of_first)
            for name, cell in cells.items():
                found[name][row][metric] = dataclasses.replace(
                    cell, samples_p=samples_p[name], seeds=seeds.get(name)
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
    corrected = holm({name: cell.p if cell else None for name, cell in found.items()})
    return {
        name: cell and dataclasses.replace(cell, p=corrected[name]) for name, cell in found.items()
    }


def rows_of(run: Evaluated) -> list[str]:
    """Every condition, then the averages that the protocol has."""
    average = run.results["average"]
    rows = {AVERAGE: average, EVERYTHING: average[EVERYTHING]}
    return [*run.predictions, *(row for row, entry in rows.items() if entry["weights"])]


def figure_of(run: Evaluated, row: str, metric: str) -> float | None:
    """A figure of the results, the mean over the mask seeds."""
    return entry_of(run.results, row)["metrics"][metric]


def spread_of(runs: Sequence[Evaluated], row: str, metric: str) -> Spread:
    """A figure's mean and its standard deviations over training seeds and mask seeds, apart."""
    figures = [figure_of(run, row, metric) for run in runs]
    known = [figure for figure in figures if figure is not None]
    if len(known) < len(figures):
        return Spread(None, None, None)
    masks = [entry_of(run.results, row).get("metrics_std", {}).get(metric) for run in runs]
    of_masks = [spread for spread in masks if spread is not None]
    return Spread(
        mean=float(np.mean(known)),
        training_std=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        mask_std=float(np.sqrt(np.mean(np.square(of_masks)))) if of_masks else None,
    )


def resample_rows(runs: Sequence[Evaluated], resamples: int) -> Rows:
    """Mean over the runs of every figure in every resample, [r], by row and metric."""
    by_run = [_resample(run, resamples) for run in runs]
    return {
        row: {name: np.mean([rows[row][name] for rows in by_run], axis=0) for name in figures}
        for row, figures in by_run[0].items()
    }


def _resample(run: Evaluated, resamples: int) -> Rows:
    counts = resample_counts(len(run.labels), resamples)
    tally = family_of_results(run.results).tally
    drawn = {
        condition: resampled(tally, predictions, run.labels, counts)
        for condition, predictions in run.predictions.items()
    }
    averages = [row for row in rows_of(run) if row not in drawn]
    return drawn | {row: combined(drawn, entry_of(run.results, row)["weights"]) for row in averages}


def _compare(
    method: Sequence[Evaluated],
    reference: Sequence[Evaluated],
    row: str,
    metric: str,
    differences_r: np.ndarray,
) -> Compared:
    own, other = spread_of(method, row, metric), spread_of(reference, row, metric)
    if own.mean is None or other.mean is None:
        return Compared(own, other, None, None, None, None, None)
    difference = own.mean - other.mean
    spreads = [side.training_std for side in (own, other) if side.training_std is not None]
    return Compared(
        score=own,
        reference=other,
        difference=difference,
        samples=interval(differences_r),
        samples_p=two_sided_p(differences_r),
        seeds=None,  # of all methods together
        within_spread=abs(difference) < max(spreads) if spreads else None,
    )


def _paired(
    method: Sequence[Evaluated], reference: Sequence[Evaluated], row: str, metric: str
) -> tuple[list[float], list[float]] | None:
    """Scores of both by training seed; None unless both have the same two or more seeds."""
    scores, base = (
        {
            run.results["training_seed"]: figure
            for run in side
            if (figure := figure_of(run, row, metric)) is not None
        }
        for side in (method, reference)
    )
    if len(scores) < 2 or scores.keys() != base.keys():
        return None
    return [scores[seed] for seed in sorted(base)], [base[seed] for seed in sorted(base)]


def _check_seeds(runs: Sequence[Evaluated]) -> None:
    seeds = [run.results["training_seed"] for run in runs]
    if not runs or len(set(seeds)) < len(seeds):
        raise RunError(
            f"found runs of the training seeds {seeds}, expected one run or more, each of another "
            "seed; give every run once."
        )
