"""What `results.json` holds: the one definition that whoever writes it and whoever reads it share.

Figures are fractions, and None where they are undefined. A row is a condition of the protocol, or
an average over several.
"""

import hashlib
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from fsrf_jax import sealed
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.metrics.collapse import Collapse
from fsrf_jax.evaluation.metrics.families import MetricFamily, family_of
from fsrf_jax.evaluation.metrics.figures import Metrics

VERSION = 5
"""Of what a results file holds: raised with every key that readers need."""

ANEW = "evaluate the run again with bin/evaluate"

AVERAGE, EVERYTHING = "average", "all_conditions"
"""Rows that stand for several conditions, by their key in the results."""


FLOOR = "floor: {}"
"""The `method` of results of a floor, by its name."""


class Row(TypedDict):
    """What every row has.

    `floor` is the best constant prediction, `bayes` the best possible one; `floors`, by their name,
    are fitted without a network, see `fsrf_jax.evaluation.floors`, and are not there without a
    training and a validation split. `missing` has the shares of `frames` and of `modalities` that
    were really missing. `recovery` is the share of the headline figure's gain over the floor, with
    everything observed, that is left. `bootstrap` has 95 % intervals, `compat` figures of older
    code.
    """

    metrics: Metrics
    floor: Metrics
    missing: Metrics
    recovery: float | None
    floors: NotRequired[dict[str, Metrics]]
    bayes: NotRequired[Metrics]
    bootstrap: NotRequired[dict[str, list[float] | None]]
    compat: NotRequired[Metrics]


class ClassFigures(TypedDict):
    """One class, or one binary task: means over the mask seeds, see `by_class`."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: float


class ConditionRow(Row):
    """A condition; `metrics` are means over the mask seeds, `metrics_std` standard deviations.

    `confusion` has counts by true class (rows) and predicted class (columns), for binary tasks such
    a matrix of "no" and "yes" each; means over the mask seeds.
    """

    name: str
    metrics_std: Metrics
    metrics_per_mask_seed: list[Metrics]
    missing_per_mask_seed: list[Metrics]
    collapse: Collapse
    calibration: NotRequired[Metrics]
    classes: NotRequired[list[ClassFigures]]
    confusion: NotRequired[list[Any]]
    compat_floor: NotRequired[Metrics]
    bayes_per_mask_seed: NotRequired[list[Metrics]]


class AverageRow(Row):
    """A weighted sum over conditions; without weights there is none, and its figures are None."""

    weights: dict[str, float]


class Average(AverageRow):
    """The protocol's own average, and the mean over every condition that shows a frame."""

    all_conditions: AverageRow


class Fold(TypedDict):
    """Which fold of how many the split is the test part of, and the samples trained on."""

    number: int
    of: int
    train: int


class Program(TypedDict):
    """What a run was computed by; `commit` is None where the program was installed without git."""

    commit: str | None
    python: str
    versions: dict[str, str]


class SplitRecord(TypedDict):
    """One split: samples, and groups of them (None: unknown).

    Of numbers `labels` has the lowest and the highest; of classes `counts` has one row, how many
    are of each, and of binary tasks a row each, how many are no and yes.
    """

    samples: int
    groups: int | None
    labels: NotRequired[list[float]]
    counts: NotRequired[list[list[int]]]


class TrainedOn(TypedDict):
    """The training data: `fingerprint` (None: unknown) of all their splits, training samples."""

    fingerprint: str | None
    samples: int


class RunRecord(TypedDict):
    """The network that was evaluated: all that is needed to describe and to repeat it.

    `config` has no section `output`, and of a file or folder that it names only the name. `changed`
    are dotted keys whose value is not the default. `views`, and a `complete_view` beside them, are
    what a training step sees of each sample. `trained_by` is None where nobody wrote it down.
    `splits` are those of the data that were opened to evaluate; `features` are widths, `tokens`
    numbers of token ids of the modalities that have them.
    """

    config: dict[str, Any]
    changed: list[str]
    views: int
    complete_view: bool
    trained_by: Program | None
    evaluated_by: Program
    trained_on: TrainedOn
    splits: dict[str, SplitRecord]
    features: dict[str, int]
    tokens: dict[str, int]


class Results(TypedDict):
    """A whole file. `unit` is what intervals resample: sample, or group of samples.

    `predictions_digest` is of the array in the file of predictions; results of earlier versions
    have none. `averages` are more averages by name, which a comparison asked for.

    `n_non0`, labels that are not 0, belongs to numbers. What a run adds stands last; floors, and
    predictions of another program, have no `run`.
    """

    version: int
    form: str
    metrics: str
    tasks: list[str]
    protocol: str
    protocol_description: dict[str, Any]
    split: str
    average_rule: str
    mask_law: str
    mask_seeds: list[int]
    masks_digest: str
    training_seed: int | None
    data_fingerprint: str
    resamples: int
    unit: str
    n: int
    conditions: list[ConditionRow]
    average: Average
    predictions_digest: NotRequired[str]
    n_non0: NotRequired[int]
    averages: NotRequired[dict[str, AverageRow]]
    predictions: NotRequired[dict[str, str]]
    method: NotRequired[str]
    fold: NotRequired[Fold]
    epochs_trained: NotRequired[int]
    best_epoch: NotRequired[int]
    validation_error: NotRequired[float]
    selection: NotRequired[str]
    run: NotRequired[RunRecord]


def predictions_digest(predictions: np.ndarray) -> str:
    """SHA-256 of the array `predictions`, by which results know those that they are of."""
    return hashlib.sha256(np.ascontiguousarray(predictions).tobytes()).hexdigest()


def rows_of(results: Results) -> dict[str, Row]:
    """Every condition by its name, then the averages that the protocol has."""
    average = results["average"]
    rows: dict[str, Row] = {entry["name"]: entry for entry in results["conditions"]}
    means: dict[str, AverageRow] = {AVERAGE: average, **results.get("averages", {})}
    means[EVERYTHING] = average["all_conditions"]
    return rows | {name: row for name, row in means.items() if row["weights"]}


def family_of_results(results: Results) -> MetricFamily:
    """The family that the results were measured with."""
    return family_of(results["metrics"], results["tasks"])


def read_results(path: Path) -> Results:
    """What a results file holds.

    Raises:
        RunError: it is damaged, lacks something, or is of another version.
    """
    try:
        found: Any = sealed.read(path, ANEW)
        version = found.get("version", 1)
        if version == VERSION:
            lacking = [Results.__required_keys__ - found.keys()]
            lacking.append(Average.__required_keys__ - found["average"].keys())
            if "run" in found:
                lacking.append(RunRecord.__required_keys__ - found["run"].keys())
            lacking += [ConditionRow.__required_keys__ - row.keys() for row in found["conditions"]]
            missing = [key for keys in lacking for key in keys]
            if missing:
                raise KeyError(", ".join(sorted(missing)))
            return cast(Results, found)
    except (AttributeError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise sealed.damaged(path, what, ANEW) from error
    raise RunError(f"{path}: holds results of version {version}, expected {VERSION}: {ANEW}.")
