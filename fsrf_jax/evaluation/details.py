"""What the results say of a condition beside its metrics: intervals, collapse, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fsrf_jax.evaluation.evaluate import ConditionResult, Evaluation
from fsrf_jax.evaluation.metrics.bootstrap import interval, resample_counts, resampled
from fsrf_jax.evaluation.metrics.calibration import (
    binary_calibration,
    class_calibration,
    gaussian_calibration,
)
from fsrf_jax.evaluation.metrics.collapse import collapse_monitor, recovery
from fsrf_jax.evaluation.metrics.figures import Metrics, mean_of
from fsrf_jax.evaluation.protocols.averages import Weights, weighted_metrics, weighted_sum

Resamples = dict[str, dict[str, np.ndarray]]
"""Figures [r] in every resample, by condition and metric."""


def complete_condition(evaluation: Evaluation) -> ConditionResult | None:
    """The condition under which everything is observed; None if the protocol has none."""
    most = max(len(result.condition.subset) for result in evaluation.conditions)
    whole = (
        result
        for result in evaluation.conditions
        if not result.condition.random and len(result.condition.subset) == most
    )
    return next(whole, None)


def condition_details(evaluation: Evaluation, result: ConditionResult) -> dict[str, Any]:
    """`collapse`, `recovery` and, where predictions say how sure they are, `calibration`."""
    complete = complete_condition(evaluation)
    whole = complete.metrics if complete else None
    details: dict[str, Any] = {
        "collapse": collapse_monitor(
            result.predictions,
            evaluation.labels,
            result.metrics,
            evaluation.floor,
            evaluation.family,
            sanity=not result.condition.shows,
        ),
        "recovery": recovery(result.metrics, whole, evaluation.floor, evaluation.family),
    }
    calibration = calibration_of(evaluation, result)
    return details if calibration is None else {**details, "calibration": calibration}


def calibration_of(evaluation: Evaluation, result: ConditionResult) -> Metrics | None:
    """Means over the mask seeds; None for numbers without a variance."""
    labels = evaluation.labels
    if result.log_variances is not None:
        pairs = zip(result.predictions, result.log_variances, strict=True)
        tables = [gaussian_calibration(*pair, labels) for pair in pairs]
    elif evaluation.family.form == "class":
        tables = [class_calibration(p, labels) for p in result.predictions]
    elif evaluation.family.form == "binary":
        tables = [binary_calibration(p, labels) for p in result.predictions]
    else:
        return None
    return mean_of(tables, tables[0])


def compat_details(evaluation: Evaluation, result: ConditionResult) -> dict[str, Metrics]:
    """`compat`, F1 weighted by the predicted supports, and `compat_floor`, a constant's best."""
    tables = [evaluation.family.swapped(p, evaluation.labels) for p in result.predictions]
    return {
        "compat": mean_of(tables, tables[0]),
        "compat_floor": evaluation.family.swapped_floor(evaluation.labels),
    }


def resample_evaluation(evaluation: Evaluation, resamples: int) -> Resamples:
    """Every figure of every condition in the same resamples of the samples."""
    counts = resample_counts(len(evaluation.labels), resamples)
    tally = evaluation.family.tally
    return {
        result.condition.name: resampled(tally, result.predictions, evaluation.labels, counts)
        for result in evaluation.conditions
    }


def bootstrap_of(resamples: Resamples, weights: Weights) -> dict[str, list[float] | None]:
    """95 % interval of every metric's weighted sum over conditions."""
    return {name: interval(values) for name, values in combined(resamples, weights).items()}


def combined(resamples: Resamples, weights: Weights) -> dict[str, np.ndarray]:
    """Every metric's weighted sum over conditions, [r], in the same resamples."""
    chosen = [(weight, resamples[condition]) for condition, weight in weights.items()]
    names = chosen[0][1] if chosen else ()
    return {name: np.sum([w * table[name] for w, table in chosen], axis=0) for name in names}


def average_details(
    entries: Sequence[Mapping[str, Any]], weights: Weights, resamples: Resamples
) -> dict[str, Any]:
    """What an average over conditions says beside its metrics.

    Args:
        entries: of the results, one a condition.
        weights: of the average, by condition.
        resamples: what `resample_evaluation` gave; empty leaves `bootstrap` out.

    Returns:
        `weights`, `recovery` (a weighted mean, whatever the weights sum to) and, where the entries
        have them, `compat` and `bootstrap`.
    """
    by_name = {entry["name"]: entry for entry in entries}
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    details: dict[str, Any] = {
        "weights": dict(weights),
        "recovery": weighted_sum(shares, {name: by_name[name]["recovery"] for name in shares}),
    }
    if entries and "compat" in entries[0]:
        tables = {name: by_name[name]["compat"] for name in weights}
        details["compat"] = weighted_metrics(weights, tables, entries[0]["compat"])
    if resamples:
        details["bootstrap"] = bootstrap_of(resamples, weights)
    return details
