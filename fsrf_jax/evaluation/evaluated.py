"""Results and predictions of a finished evaluation, read back from its files and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.errors import DataError, RunError
from fsrf_jax.evaluation.results import read_results
from fsrf_jax.reading.npz import open_npz

ARRAYS = ("ids", "labels", "conditions", "mask_seeds", "predictions")

# What has to be equal for two evaluations to be compared, beside ids and labels.
SAME = (
    *("protocol", "average_rule", "split", "form", "metrics", "tasks", "mask_seeds"),
    "masks_digest",
)


@dataclass(frozen=True)
class Evaluated:
    """One training seed of a method, as its files tell.

    Attributes:
        path: the results file.
        results: what it holds.
        ids: str [n].
        labels: [n], or [n, o] for binary tasks.
        predictions: [s, n] or [s, n, o] by condition, s mask seeds.
    """

    path: Path
    results: dict[str, Any]
    ids: np.ndarray
    labels: np.ndarray
    predictions: dict[str, np.ndarray]


def read_evaluated(path: Path) -> Evaluated:
    """Read a run folder, or a results file FILE.json with FILE.predictions.npz beside it.

    Raises:
        RunError: a file is missing or damaged, or the two do not belong together.
    """
    path = path / "results.json" if path.is_dir() else path
    own = path.name == "results.json"
    arrays_path = path.with_name("predictions.npz") if own else path.with_suffix(".predictions.npz")
    for needed in (path, arrays_path):
        if not needed.is_file():
            raise RunError(
                f"{needed}: not found, expected the files of an evaluation: give a finished run "
                "folder, or make them with bin/evaluate."
            )
    results = read_results(path)
    try:
        with open_npz(arrays_path) as content:
            arrays = {name: content[name] for name in ARRAYS}
        names = [entry["name"] for entry in results["conditions"]]
        missing = [key for key in (*SAME, "n", "average", "resamples") if key not in results]
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path.parent}: cannot read the results ({error}); evaluate the run again."
        ) from error
    if missing:
        raise RunError(f"{path}: found no {', '.join(missing)}; evaluate the run again.")
    shape = (len(names), len(results["mask_seeds"]), results["n"])
    if arrays["conditions"].tolist() != names or arrays["predictions"].shape[:3] != shape:
        raise RunError(
            f"{arrays_path}: does not belong to {path.name}: found predictions "
            f"{arrays['predictions'].shape}, expected {shape} of the same conditions; evaluate the "
            "run again."
        )
    predictions = dict(zip(names, arrays["predictions"], strict=True))
    return Evaluated(path, results, arrays["ids"], arrays["labels"], predictions)


def check_comparable(runs: Sequence[Evaluated]) -> None:
    """Refuse evaluations whose difference would mean nothing.

    Raises:
        RunError: they differ in protocol, metrics, masks, samples or labels.
    """
    first = runs[0]
    for run in runs[1:]:
        for key in SAME:
            found, expected = run.results[key], first.results[key]
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
