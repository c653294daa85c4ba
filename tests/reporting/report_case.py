"""Methods for the tests of reports: evaluated without a network, some with a config."""

import dataclasses
from pathlib import Path

import numpy as np
from evaluation_case import MODALITIES, observer

from fsrf_jax.config import Config
from fsrf_jax.data.dataset import Split
from fsrf_jax.data.synthetic import SyntheticOptions, make_world, sample
from fsrf_jax.evaluation.evaluate import Evaluation, evaluate
from fsrf_jax.evaluation.metrics.families import family_of
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.evaluation.runs import Evaluated
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.reporting.material import Material, RunGroup


def evaluation_of(labels, protocol="corrkd", modalities=MODALITIES, seed=0, metrics="mosi"):
    """An evaluation of numbers that are noisy copies of the labels, constant without language."""
    drawn, _ = sample(make_world(SyntheticOptions(), MODALITIES), "test", len(labels))
    pairs = list(zip(modalities, MODALITIES, strict=False))
    split = Split(
        ids=drawn.ids,
        features={name: drawn.features[m] for name, m in pairs},
        valid={name: drawn.valid[m] for name, m in pairs},
        labels=np.asarray(labels, np.float32),
    )
    noise = np.random.default_rng(seed).normal(size=len(labels))

    def predict(observed):
        share = observed["language"].mean()
        return (share * (split.labels + noise) - 0.1).astype(np.float32)

    described = PROTOCOLS[protocol](modalities)
    return evaluate(described, split, predict, (0, 1), observer(split), None, family_of(metrics))


def material_of(evaluation: Evaluation, name="run", seed: int | None = 0, config=None, **more):
    results = summarise(evaluation, "test", seed, "abc", resamples=20)
    evaluated = Evaluated(
        path=Path(name) / "results.json",
        results=results,
        ids=evaluation.ids,
        labels=evaluation.labels,
        predictions={r.condition.name: r.predictions for r in evaluation.conditions},
    )
    filled = {"journal": (), "environment": None, "probes": None, "recovery": None, **more}
    return Material(name=name, evaluated=evaluated, config=config, **filled)


def method_of(labels, name="ours", seeds=(0,), **settings) -> RunGroup:
    runs = [material_of(evaluation_of(labels, seed=s, **settings), f"{name}-{s}", s) for s in seeds]
    return RunGroup(name, runs)


def config_with(**training) -> Config:
    base = Config()
    return dataclasses.replace(base, training=dataclasses.replace(base.training, **training))


def labels_with(negative: int, positive: int, zero: int) -> np.ndarray:
    return np.repeat([-1.5, 2.0, 0.0], [negative, positive, zero])
