"""One evaluation in its files: `results.json` and the predictions that it was computed from."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.evaluate import Evaluation
from fsrf_jax.evaluation.results import Results, predictions_digest, read_results
from fsrf_jax.files import replacing
from fsrf_jax.reading.npz import open_npz

# What has to be equal for two evaluations to be compared, beside ids and labels.
SAME = (
    *("protocol", "average_rule", "split", "form", "metrics", "tasks", "mask_seeds"),
    "masks_digest",
)


@dataclass(frozen=True)
class Evaluated:
    """One training seed of a method, read back from its files.

    Attributes:
        path: the results file.
        results: what it holds.
        ids: str [n].
        labels: [n], or [n, o] for binary tasks.
        predictions: [s, n] or [s, n, o] by condition, s mask seeds.
        groups: str [n]; None if unknown.
    """

    path: Path
    results: Results
    ids: np.ndarray
    labels: np.ndarray
    predictions: dict[str, np.ndarray]
    groups: np.ndarray | None = None


def file_beside(path: Path, name: str) -> Path:
    """Results of a run have NAME beside them, those of FILE.json FILE.NAME."""
    own = path.name == "results.json"
    return path.with_name(name) if own else path.with_suffix(f".{name}")


def save_predictions(path: Path, evaluation: Evaluation) -> None:
    """Write all predictions, so that anybody can compute the table again.

    The arrays are `ids` [n], `labels` [n], `conditions` [c] (names), `mask_seeds` [s],
    `masks_digest` and `predictions` [c, s, n]; for classes predictions have a last axis of their
    probabilities, for binary tasks predictions and labels have a last axis of tasks. Gaussian
    predictions are means, and have `log_variances` [c, s, n] beside them; `groups` [n] are there
    where the data have them.
    """
    spread = [r.log_variances for r in evaluation.conditions if r.log_variances is not None]
    more: dict[str, Any] = {"log_variances": np.stack(spread)} if spread else {}
    if evaluation.groups is not None:
        more["groups"] = evaluation.groups
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=evaluation.ids,
            labels=evaluation.labels,
            conditions=np.array([result.condition.name for result in evaluation.conditions]),
            mask_seeds=np.array(evaluation.mask_seeds),
            masks_digest=np.array(evaluation.masks_digest),
            predictions=evaluation.predictions,
            **more,
        )


def predictions_csv(evaluation: Evaluation) -> str:
    """The same as comma-separated values, a row for each condition, mask seed and sample.

    `evaluate --predictions` reads it. Columns: `id`, `condition`, `mask_seed`, `label` and
    `prediction` (of several classes or tasks numbered: `prediction_0`, ..; the labels of tasks
    `label_0`, ..), `log_variance` of Gaussian predictions.
    """
    labels_no = _columns(evaluation.labels)
    predicted = _numbered("prediction", evaluation.conditions[0].predictions[0])
    gaussian = evaluation.conditions[0].log_variances is not None
    text = io.StringIO()
    text.write(f"# masks_digest={evaluation.masks_digest}\n")
    rows = csv.writer(text, lineterminator="\n")
    header = ["id", "condition", "mask_seed", *_numbered("label", evaluation.labels), *predicted]
    rows.writerow([*header, *(["log_variance"] if gaussian else [])])
    for result in evaluation.conditions:
        for s, seed in enumerate(evaluation.mask_seeds):
            parts = [labels_no, _columns(result.predictions[s])]
            if result.log_variances is not None:
                parts.append(_columns(result.log_variances[s]))
            cells_nk = np.concatenate(parts, axis=1).tolist()
            for name, cells in zip(evaluation.ids, cells_nk, strict=True):
                rows.writerow([name, result.condition.name, seed, *cells])
    return text.getvalue()


def _columns(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(len(values), -1)


def _numbered(name: str, values: np.ndarray) -> list[str]:
    return [name] if values.ndim == 1 else [f"{name}_{i}" for i in range(values.shape[1])]


def read_evaluated(path: Path) -> Evaluated:
    """Read a run folder, or a results file FILE.json with FILE.predictions.npz beside it.

    Raises:
        RunError: a file is missing or damaged, or the two do not belong together.
    """
    path = path / "results.json" if path.is_dir() else path
    arrays_path = file_beside(path, "predictions.npz")
    for needed in (path, arrays_path):
        if not needed.is_file():
            raise RunError(
                f"{needed}: not found, expected the files of an evaluation: give a finished run "
                "folder, or make them with bin/evaluate."
            )
    results = read_results(path)
    try:
        with open_npz(arrays_path, RunError) as content:
            names = content["conditions"].tolist()
            ids, labels, values = (content[name] for name in ("ids", "labels", "predictions"))
            groups = content.get("groups")
    except (RunError, KeyError, TypeError) as error:
        raise RunError(
            f"{arrays_path}: cannot read the predictions ({error}); evaluate the run again."
        ) from error
    listed = [entry["name"] for entry in results["conditions"]]
    shape = (len(listed), len(results["mask_seeds"]), results["n"])
    if names != listed or values.shape[:3] != shape:
        raise RunError(
            f"{arrays_path}: does not belong to {path.name}: found predictions {values.shape}, "
            f"expected {shape} of the same conditions; evaluate the run again."
        )
    if results.get("predictions_digest") not in (None, predictions_digest(values)):
        raise RunError(
            f"{arrays_path}: does not belong to {path.name}: found predictions other than those "
            "that the results are of; evaluate the run again."
        )
    return Evaluated(path, results, ids, labels, dict(zip(names, values, strict=True)), groups)


def check_comparable(runs: Sequence[Evaluated]) -> None:
    """Refuse evaluations whose difference would mean nothing.

    Raises:
        RunError: they differ in protocol, metrics, masks, samples or labels.
    """
    first = runs[0]
    for run in runs[1:]:
        for key in SAME:
            found, expected = run.results[key], first.results[key]  # type: ignore[literal-required]
            if found != expected:
                _refuse(run, first, f"{key} is {found!r}, expected {expected!r}")
        if run.ids.tolist() != first.ids.tolist():
            _refuse(run, first, "it has other samples, or in another order")
        if not np.array_equal(run.labels, first.labels):
            _refuse(run, first, "the samples have other labels")


def _refuse(run: Evaluated, first: Evaluated, found: str) -> None:
    raise RunError(
        f"{run.path}: {found}, as in {first.path}: they cannot be compared; evaluate both alike, "
        "with bin/evaluate RUN --output FILE.json."
    )
