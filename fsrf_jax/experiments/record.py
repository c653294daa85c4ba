"""What `results.json` says of the network: a model card is made from it alone."""

import dataclasses
from pathlib import Path

import numpy as np

from fsrf_jax import arguments
from fsrf_jax.config import Config, defaults, flatten
from fsrf_jax.data.dataset import Split
from fsrf_jax.data.labels import counts
from fsrf_jax.evaluation.results import RunRecord, SplitRecord
from fsrf_jax.experiments.environment import own_program, trained_by
from fsrf_jax.source import Shapes, Source


def run_record(
    config: Config, protocol: str, source: Source, shapes: Shapes, folder: Path
) -> RunRecord:
    """Describe a run.

    Args:
        config: of the run, with the settings that it is evaluated by.
        protocol: name of the protocol that it is evaluated under.
        source: the data that were opened to evaluate.
        shapes: of the data that it was trained on.
        folder: of the run.

    Raises:
        RunError: environment.json is damaged.
    """
    config = without_places(config, protocol)
    default, leaves = defaults(config), flatten(config)
    program, fingerprint = trained_by(folder)
    nested = arguments.to_mapping(config)
    del nested["output"]
    return {
        "config": nested,
        "changed": [
            key
            for key, value in leaves.items()
            if value != default[key] and not key.startswith("output.")
        ],
        "views": config.method.views,
        "complete_view": config.method.complete_view,
        "trained_by": program,
        "evaluated_by": own_program(),
        "trained_on": {"fingerprint": fingerprint, "samples": shapes.samples},
        "splits": {
            name: _split(split, source)
            for name, split in source.dataset.splits.items()
            if len(split)
        },
        "features": dict(shapes.features),
        "tokens": dict(shapes.vocabulary),
    }


def without_places(config: Config, protocol: str) -> Config:
    """The config with names in place of paths, which say where things lie on one machine.

    Args:
        config: any.
        protocol: name of the protocol in use, which a file of masks may have decided.
    """
    data, method, evaluation = config.data, config.method, config.evaluation
    if data.path is not None:
        data = dataclasses.replace(data, path=_name(data.path))
    if getattr(method, "teacher", None) is not None:
        method = dataclasses.replace(method, teacher=_name(method.teacher))  # type: ignore
    evaluation = dataclasses.replace(evaluation, protocol=protocol)
    return dataclasses.replace(config, data=data, method=method, evaluation=evaluation)


def _name(path: str) -> str:
    return Path(path).absolute().name  # a folder may be given as `.`


def _split(split: Split, source: Source) -> SplitRecord:
    groups = None if split.groups is None else len(np.unique(split.groups))
    found: SplitRecord = {"samples": len(split), "groups": groups}
    if source.form == "number":
        found["labels"] = [float(split.labels.min()), float(split.labels.max())]
    else:
        found["counts"] = [list(row) for row in counts(split.labels, source.form, source.outputs)]
    return found
