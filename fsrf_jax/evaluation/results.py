"""The files an evaluation leaves: `results.json` and `predictions.npz`, each written whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.details import (
    Resamples,
    average_details,
    bootstrap_of,
    compat_details,
    condition_details,
    resample_evaluation,
)
from fsrf_jax.evaluation.evaluate import ConditionResult, Evaluation
from fsrf_jax.evaluation.metrics.figures import mean_of, std_metrics
from fsrf_jax.evaluation.protocols.averages import (
    Weights,
    equal_weights,
    weighted_metrics,
    weights_of,
)
from fsrf_jax.evaluation.protocols.files import describe
from fsrf_jax.files import replacing, write_text
from fsrf_jax.reading.text import read_json

Results = dict[str, Any]

VERSION = 2
"""Of what a results file holds: raised with every key that readers need."""

AVERAGE, EVERYTHING = "average", "all_conditions"
"""Rows that stand for several conditions, by their key in the results."""


def results_dict(
    evaluation: Evaluation,
    split: str,
    training_seed: int | None,
    data_fingerprint: str,
    *,
    resamples: int = 0,
    compat: bool = False,
) -> Results:
    """Build what `results.json` holds; figures are fractions, undefined ones None.

    `metrics` are means over the mask seeds, `metrics_std` their sample standard deviations.

    `missing` is the share of frames and of modalities that were really missing under a condition.

    Beside the protocol's own average, `average["all_conditions"]` is the mean over every condition
    that observes something, that is, all but `rate=1.0`.

    Args:
        evaluation: what was measured.
        split: name of the split it was measured on.
        training_seed: seed of the training run; None for predictions of another program.
        data_fingerprint: digest of the data, see `fsrf_jax.source.fingerprint`.
        resamples: of the samples, for `bootstrap`, 95 % intervals; 0 leaves them out.
        compat: also give `compat`, figures of older code for comparison alone.
    """
    drawn = resample_evaluation(evaluation, resamples) if resamples else {}
    conditions = [_entry(evaluation, result, drawn) for result in evaluation.conditions]
    if compat:
        for entry, result in zip(conditions, evaluation.conditions, strict=True):
            entry |= compat_details(evaluation, result)
    protocol = evaluation.protocol
    own = weights_of(protocol)
    shown = equal_weights([condition.name for condition in protocol.conditions if condition.shows])
    counts = {"n": len(evaluation.labels)}
    if evaluation.family.form == "number":
        counts["n_non0"] = int(np.count_nonzero(evaluation.labels))
    return {
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
        **counts,
        "conditions": conditions,
        "average": {
            **_average(evaluation, own),
            **average_details(conditions, own, drawn),
            "all_conditions": {
                **_average(evaluation, shown),
                **average_details(conditions, shown, drawn),
            },
        },
    }


def read_results(path: Path) -> Results:
    """What a results file holds.

    Raises:
        RunError: it cannot be read, or is of another version.
    """
    try:
        results = read_json(path, RunError)
        found = results.get("version", 1)
    except (RunError, AttributeError) as error:
        raise RunError(
            f"{path}: cannot read the results ({error}); evaluate the run again with bin/evaluate."
        ) from error
    if found != VERSION:
        raise RunError(
            f"{path}: holds results of version {found}, expected {VERSION}: evaluate the run again "
            "with bin/evaluate."
        )
    return results


def save_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write the results as JSON."""
    write_text(path, json.dumps(results, indent=1, allow_nan=False) + "\n")


def save_predictions(path: Path, evaluation: Evaluation) -> None:
    """Write all predictions, so that anybody can compute the table again.

    The arrays are `ids` [n], `labels` [n], `conditions` [c] (names), `mask_seeds` [s],
    `masks_digest` and `predictions` [c, s, n]; for classes predictions have a last axis of their
    probabilities, for binary tasks predictions and labels have a last axis of tasks. Gaussian
    predictions are means, and have `log_variances` [c, s, n] beside them.
    """
    spread = [r.log_variances for r in evaluation.conditions if r.log_variances is not None]
    sureness: dict[str, Any] = {"log_variances": np.stack(spread)} if spread else {}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=evaluation.ids,
            labels=evaluation.labels,
            conditions=np.array([result.condition.name for result in evaluation.conditions]),
            mask_seeds=np.array(evaluation.mask_seeds),
            masks_digest=np.array(evaluation.masks_digest),
            predictions=np.stack([result.predictions for result in evaluation.conditions]),
            **sureness,
        )


def _entry(evaluation: Evaluation, result: ConditionResult, drawn: Resamples) -> Results:
    """What the results say of a condition."""
    entry: Results = {
        "name": result.condition.name,
        "metrics": result.metrics,
        "metrics_std": std_metrics(result.per_seed),
        "metrics_per_mask_seed": result.per_seed,
        "missing": mean_of(result.missing_per_seed, result.missing_per_seed[0]),
        "missing_per_mask_seed": result.missing_per_seed,
        "floor": evaluation.floor,
        **condition_details(evaluation, result),
    }
    if drawn:
        entry["bootstrap"] = bootstrap_of(drawn, {result.condition.name: 1.0})
    if result.bayes is not None:
        entry["bayes"] = result.bayes
        entry["bayes_per_mask_seed"] = result.bayes_per_seed
    return entry


def _average(evaluation: Evaluation, weights: Weights) -> Results:
    """The weighted sum of the conditions' figures; one that is undefined in any is None."""
    by_name = {result.condition.name: result for result in evaluation.conditions}
    names = list(evaluation.floor)
    found: Results = {
        "metrics": weighted_metrics(weights, {n: by_name[n].metrics for n in weights}, names),
        "floor": weighted_metrics(weights, dict.fromkeys(weights, evaluation.floor), names),
    }
    bayes = {n: best for n in weights if (best := by_name[n].bayes) is not None}
    if bayes:
        found["bayes"] = weighted_metrics(weights, bayes, names)
    return found


def entry_of(results: Mapping[str, Any], row: str) -> Mapping[str, Any]:
    """What the results say of a row."""
    if row in (AVERAGE, EVERYTHING):
        average = results["average"]
        return average if row == AVERAGE else average[EVERYTHING]
    return next(entry for entry in results["conditions"] if entry["name"] == row)
