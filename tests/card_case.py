"""Results with a network, for the tests of model cards: nothing is trained."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from evaluation_case import CUTS, MODALITIES, SEEDS, make_split, observer

from fsrf_jax import arguments
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.metrics.families import family_of
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.experiments.record import run_record
from fsrf_jax.source import Source

KINDS = {"number": "l1", "class": "cross_entropy", "binary": "binary_cross_entropy"}
NAMES = {"class": ("sad", "flat", "glad"), "binary": ("up", "far_up"), "number": ()}
OUTPUTS = {"number": 1, "class": 3, "binary": 2}
ENVIRONMENT = {
    "commit": "c0ffee",
    "python": "3.11.7",
    "versions": {"jax": "0.10.2", "fsrf-jax": "0.1.0"},
    "data_fingerprint": "abc",
}
COUNT = 60


def split_of(form="number", groups=None):
    split, _ = make_split(COUNT, form)
    if groups is None:
        return split
    return dataclasses.replace(split, groups=np.array([f"g{i % groups}" for i in range(COUNT)]))


def guess(split, form, share):
    """Predictions between a constant (share 0) and the labels (share 1)."""
    if form == "number":
        return (share * split.labels + (1 - share) * 0.25).astype(np.float32)
    sure = np.eye(3)[split.labels.astype(int)] if form == "class" else split.labels
    return (share * sure + (1 - share) / sure.shape[1]).astype(np.float32)


def card_results(
    folder: Path,
    form="number",
    protocol="corrkd",
    groups=None,
    share=0.5,
    resamples=20,
    changes=None,
):
    """Results as a run's results.json has them, read back; the data are three parts of one split.

    Args:
        folder: of the run, for environment.json.
        form: of the labels.
        protocol: its name.
        groups: number of groups of samples; None: not known.
        share: of the labels in the predictions, 0 where only vision is seen; the floors `length`
            and `ridge` have 0 and 0.9.
        resamples: for intervals.
        changes: options of the config, by dotted name.
    """
    split = split_of(form, groups)
    splits = {"train": split.head(40), "valid": split.head(16), "test": split}
    tasks, classes = (NAMES[form] if form == name else () for name in ("binary", "class"))
    cuts = CUTS if form != "number" else ()
    options = {"task.kind": KINDS[form], "data.cuts": cuts, "data.tasks": tasks}
    config = arguments.load({**options, **(changes or {})})
    source = Source(Dataset(splits, classes=classes), None, form, OUTPUTS[form], cuts)
    family = family_of("mosi" if form == "number" else form, tasks)

    def measured(share_of):
        def predict(observed):
            seen = observed["language"].any() or observed["audio"].any()
            return guess(split, form, share_of if seen else 0.0)

        described, observe = PROTOCOLS[protocol](MODALITIES), observer(split)
        return evaluate(described, split, predict, SEEDS, observe, None, family, classes)

    floors = {"length": measured(0.0), "ridge": measured(0.9)}
    results = summarise(measured(share), "test", 7, "abc", resamples=resamples, floors=floors)
    results["method"] = config.method.name
    results |= {
        "epochs_trained": 9,
        "best_epoch": 4,
        "validation_error": 0.625,
        "selection": "protocol",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    results["run"] = run_record(config, protocol, source, source.shapes, folder)
    return json.loads(json.dumps(results))
