"""From what was measured to what `results.json` holds."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from fsrf_jax.evaluation.evaluate import ConditionResult, Evaluation
from fsrf_jax.evaluation.metrics.bootstrap import Resamples, interval, resample_counts, resampled
from fsrf_jax.evaluation.metrics.calibration import (
    binary_calibration,
    class_calibration,
    gaussian_calibration,
)
from fsrf_jax.evaluation.metrics.classification import by_class, confusion
from fsrf_jax.evaluation.metrics.collapse import collapse_monitor, recovery
from fsrf_jax.evaluation.metrics.figures import Metrics, mean_of, std_metrics
from fsrf_jax.evaluation.protocols.averages import (
    Weights,
    equal_weights,
    weighted_metrics,
    weighted_sum,
    weights_of,
)
from fsrf_jax.evaluation.protocols.files import describe
from fsrf_jax.evaluation.results import (
    VERSION,
    AverageRow,
    ConditionRow,
    Results,
    predictions_digest,
)


def summarise(
    evaluation: Evaluation,
    split: str,
    training_seed: int | None,
    data_fingerprint: str,
    *,
    resamples: int = 0,
    compat: bool = False,
    floors: Mapping[str, Evaluation] = MappingProxyType({}),
) -> Results:
    """Sum an evaluation up.

    Args:
        evaluation: what was measured.
        split: name of the split it was measured on.
        training_seed: seed of the training run; None for predictions of another program.
        data_fingerprint: digest of the data, see `Source.fingerprint`.
        resamples: of the samples, for `bootstrap`, 95 % intervals; 0 leaves them out.
        compat: also give `compat`, figures of older code for comparison alone.
        floors: by name, measured under the same conditions on the same samples and masks.
    """
    drawn = _resample(evaluation, resamples) if resamples else {}
    complete = complete_condition(evaluation)
    conditions = [
        _condition(evaluation, result, complete, drawn, compat) for result in evaluation.conditions
    ]
    for index, row in enumerate(conditions if floors else ()):
        row["floors"] = {name: one.conditions[index].metrics for name, one in floors.items()}
    protocol, labels = evaluation.protocol, evaluation.labels
    shown = equal_weights([condition.name for condition in protocol.conditions if condition.shows])
    own = average_row(conditions, weights_of(protocol), drawn)
    results: Results = {
        "version": VERSION,
        "form": evaluation.family.form,
        "metrics": evaluation.family.name,
        "tasks": list(evaluation.family.tasks),
        "protocol": protocol.name,
        "protocol_description": describe(protocol),
        "split": split,
        "average_rule": protocol.average_rule,
        "mask_law": protocol.mask_law,
        "mask_seeds": list(evaluation.mask_seeds),
        "masks_digest": evaluation.masks_digest,
        "training_seed": training_seed,
        "data_fingerprint": data_fingerprint,
        "resamples": resamples,
        "unit": "sample" if evaluation.groups is None else "group",
        "n": len(labels),
        "conditions": conditions,
        "average": {**own, "all_conditions": average_row(conditions, shown, drawn)},
        "predictions_digest": predictions_digest(evaluation.predictions),
    }
    if evaluation.family.form == "number":
        results["n_non0"] = int(np.count_nonzero(labels))
    return results


def complete_condition(evaluation: Evaluation) -> ConditionResult | None:
    """The condition under which everything is observed; None if the protocol has none."""
    most = max(len(result.condition.subset) for result in evaluation.conditions)
    whole = (
        result
        for result in evaluation.conditions
        if not result.condition.random and len(result.condition.subset) == most
    )
    return next(whole, None)


def _condition(
    evaluation: Evaluation,
    result: ConditionResult,
    complete: ConditionResult | None,
    drawn: Resamples,
    compat: bool,
) -> ConditionRow:
    family, labels, floor = evaluation.family, evaluation.labels, evaluation.floor
    row: ConditionRow = {
        "name": result.condition.name,
        "metrics": result.metrics,
        "metrics_std": std_metrics(result.per_seed),
        "metrics_per_mask_seed": result.per_seed,
        "missing": mean_of(result.missing_per_seed, result.missing_per_seed[0]),
        "missing_per_mask_seed": result.missing_per_seed,
        "floor": floor,
        "collapse": collapse_monitor(
            result.predictions,
            labels,
            result.metrics,
            floor,
            family,
            sanity=not result.condition.shows,
        ),
        "recovery": recovery(
            result.metrics, None if complete is None else complete.metrics, floor, family
        ),
    }
    if result.log_variances is not None:
        pairs = zip(result.predictions, result.log_variances, strict=True)
        row["calibration"] = _mean([gaussian_calibration(*pair, labels) for pair in pairs])
    if family.form in _CERTAIN:
        row["calibration"] = _mean([_CERTAIN[family.form](p, labels) for p in result.predictions])
        row |= _classes(evaluation, result)  # type: ignore[typeddict-item]
    if drawn:
        row["bootstrap"] = _intervals(drawn, {result.condition.name: 1.0})
    if result.bayes is not None:
        row["bayes"] = result.bayes
        row["bayes_per_mask_seed"] = result.bayes_per_seed
    if compat:
        row["compat"] = _mean([family.swapped(p, labels) for p in result.predictions])
        row["compat_floor"] = family.swapped_floor(labels)
    return row


_CERTAIN: dict[str, Callable[[np.ndarray, np.ndarray], Metrics]] = {
    "class": class_calibration,
    "binary": binary_calibration,
}


def _classes(evaluation: Evaluation, result: ConditionResult) -> dict[str, Any]:
    """`confusion` and `classes`; of a binary task the figures are those of its "yes"."""
    labels, predictions = evaluation.labels, result.predictions
    if evaluation.family.form == "class":
        count = predictions.shape[-1]
        counts = np.mean([confusion(p.argmax(axis=1), labels, count) for p in predictions], axis=0)
        names = evaluation.classes or tuple(f"class {c}" for c in range(count))
        figures = by_class(counts)
    else:
        decided, true = predictions > 0.5, labels > 0.5
        tasks = range(labels.shape[1])
        counts = np.stack(
            [np.mean([confusion(d[:, e], true[:, e], 2) for d in decided], axis=0) for e in tasks]
        )
        names, figures = evaluation.family.tasks, [by_class(of_task)[1] for of_task in counts]
    named = [{"name": name, **found} for name, found in zip(names, figures, strict=True)]
    return {"classes": named, "confusion": counts.tolist()}


def average_row(
    conditions: Sequence[ConditionRow], weights: Weights, drawn: Resamples
) -> AverageRow:
    """The weighted sum of the conditions' figures; one that is undefined in any is None.

    What is missing, and `recovery`, are means, whatever the weights sum to.
    """
    rows: dict[str, Mapping[str, Any]] = {row["name"]: row for row in conditions}
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}

    def of_tables(tables: Mapping[str, Metrics], counted: Weights = weights) -> Metrics:
        return weighted_metrics(counted, tables, tables[conditions[0]["name"]])

    def summed(key: str, counted: Weights = weights) -> Metrics:
        return of_tables({name: row[key] for name, row in rows.items()}, counted)

    found: AverageRow = {
        "metrics": summed("metrics"),
        "floor": summed("floor"),
        "missing": summed("missing", shares),
        "weights": dict(weights),
        "recovery": weighted_sum(shares, {name: rows[name]["recovery"] for name in shares}),
    }
    for key in ("bayes", "compat"):
        if key in conditions[0]:
            found[key] = summed(key)
    if "floors" in conditions[0]:
        found["floors"] = {
            floor: of_tables({name: row["floors"][floor] for name, row in rows.items()})
            for floor in conditions[0]["floors"]
        }
    if drawn:
        found["bootstrap"] = _intervals(drawn, weights)
    return found


def _resample(evaluation: Evaluation, resamples: int) -> Resamples:
    """Every figure of every condition in the same resamples of the samples."""
    counts = resample_counts(len(evaluation.labels), resamples, evaluation.groups)
    tally, labels = evaluation.family.tally, evaluation.labels
    return {
        result.condition.name: resampled(tally, result.predictions, labels, counts)
        for result in evaluation.conditions
    }


def combined(resamples: Resamples, weights: Weights) -> dict[str, np.ndarray]:
    """Every metric's weighted sum over conditions, [r], in the same resamples."""
    chosen = [(weight, resamples[condition]) for condition, weight in weights.items()]
    names = chosen[0][1] if chosen else ()
    return {name: np.sum([w * table[name] for w, table in chosen], axis=0) for name in names}


def _intervals(resamples: Resamples, weights: Weights) -> dict[str, list[float] | None]:
    return {name: interval(values) for name, values in combined(resamples, weights).items()}


def _mean(tables: Sequence[Metrics]) -> Metrics:
    return mean_of(tables, tables[0])
