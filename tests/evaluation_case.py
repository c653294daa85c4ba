"""A small split with an oracle, and its evaluation, for the tests in this folder."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fsrf_jax.data.dataset import Masks, Split
from fsrf_jax.data.labels import cut_labels
from fsrf_jax.data.synthetic import SyntheticOptions, make_oracle, make_world, sample
from fsrf_jax.evaluation.ablation_table import ablation_table
from fsrf_jax.evaluation.comparison import compare_methods
from fsrf_jax.evaluation.evaluate import Evaluation, evaluate
from fsrf_jax.evaluation.metrics.families import family_of
from fsrf_jax.evaluation.protocols.registry import Condition, corrkd
from fsrf_jax.evaluation.results import Results
from fsrf_jax.evaluation.runs import Evaluated
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.reporting.comparison_tables import ablation_document
from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.material import Material, RunGroup

MODALITIES = ("language", "audio", "vision")
NUMBERS = ("number", "mosi", "sims")  # a number is measured as in MOSI unless said otherwise
TASKS = {"binary": ("task0", "task1")}
SEEDS = (0, 1, 5)


CUTS = (-1.0, 0.5)  # three classes, or two tasks


def make_split(count: int = 200, form: str = "number") -> tuple[Split, "CountingOracle"]:
    world = make_world(SyntheticOptions(), MODALITIES)
    split, _ = sample(world, "test", count)
    split.labels[:7] = 0
    if form in NUMBERS:
        return split, CountingOracle(make_oracle(world, split.features))
    split = dataclasses.replace(split, labels=cut_labels(split.labels, CUTS, form))
    return split, CountingOracle(make_oracle(world, split.features, form, CUTS))


class CountingOracle:
    """The oracle, and how often it was asked."""

    def __init__(self, predict):
        self.predict, self.calls = predict, 0

    def __call__(self, observed: Masks) -> np.ndarray:
        self.calls += 1
        return self.predict(observed)


def observer(split: Split):
    """Masks that depend on the condition and the seed alone."""

    def observe(condition: Condition, seed: int) -> Mapping[str, np.ndarray]:
        rng = np.random.default_rng([seed, int(condition.rate * 1000)])
        return {
            name: valid & (rng.random(valid.shape) >= condition.rate) & (name in condition.subset)
            for name, valid in split.valid.items()
        }

    return observe


def model_of(split: Split, oracle: CountingOracle):
    """A fair model that is constant where only vision is observed."""

    def predict(observed: Masks) -> np.ndarray:
        if not observed["language"].any() and not observed["audio"].any():
            return np.full(len(split), 0.25, np.float32)
        noise = np.random.default_rng(0).standard_normal(len(split))
        return (oracle.predict(observed) + 0.3 * noise).astype(np.float32)

    return predict


def doubtful_model_of(oracle: CountingOracle):
    """The same for probabilities: less sure than the oracle."""

    def predict(observed: Masks) -> np.ndarray:
        best = oracle.predict(observed)
        if not observed["language"].any() and not observed["audio"].any():
            return np.full_like(best, 1 / best.shape[1])
        return (0.5 * best + 0.5 / best.shape[1]).astype(np.float32)

    return predict


def corrkd_at(*rates):
    """The protocol corrkd with these frame rates alone."""
    whole = corrkd(MODALITIES)
    names = {f"rate={rate}" for rate in rates}
    kept = [c for c in whole.conditions if c.name in names or not c.name.startswith("rate=")]
    return dataclasses.replace(whole, conditions=tuple(kept))


def run(with_oracle: bool = True, count: int = 200, form: str = "number") -> Evaluation:
    split, oracle = make_split(count, form)
    return evaluate(
        corrkd(MODALITIES),
        split,
        model_of(split, oracle) if form in NUMBERS else doubtful_model_of(oracle),
        SEEDS,
        observer(split),
        oracle if with_oracle else None,
        family_of("mosi" if form == "number" else form, TASKS.get(form, ())),
    )


def evaluated(results: Results) -> Evaluated:
    """Results without their predictions."""
    return Evaluated(Path("results.json"), results, np.zeros(0), np.zeros(0), {})


def ablation_text(methods: Mapping[str, list[Evaluated]]) -> str:
    """`ablation.md` of variants."""
    groups = [
        RunGroup(name, [Material(name, run, None, (), None, None, None) for run in runs])
        for name, runs in methods.items()
    ]
    comparisons = compare_methods(methods, 0)
    matched = ablation_table(methods, comparisons)["matched"]
    return to_markdown(ablation_document(groups, comparisons, matched))


def run_results(with_oracle: bool = True, form: str = "number") -> Results:
    return summarise(run(with_oracle, form=form), "test", 11, "abc")
