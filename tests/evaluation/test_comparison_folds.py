"""Methods over several folds: means over the folds, resamples within them, refusals."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from evaluation_case import SEEDS, corrkd_at, make_split, observer

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.comparison import by_fold, compare_methods, fold_of, spread_of
from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.metrics.bootstrap import resample_counts
from fsrf_jax.evaluation.metrics.statistics import paired_difference
from fsrf_jax.evaluation.runs import Evaluated
from fsrf_jax.evaluation.summary import summarise

FOLDS, PERSONS, EACH = 3, 4, 30
TRAIN = 60


def _run(noise, seed, fold):
    """A run of one fold: other samples, and persons of its own."""
    split, oracle = make_split(EACH * FOLDS)
    part = split.take(slice(EACH * fold, EACH * (fold + 1)))
    groups = np.array([f"person {fold}.{i % PERSONS}" for i in range(EACH)])
    part = dataclasses.replace(part, groups=groups)

    def predict(observed):
        whole = {m: np.zeros_like(valid) for m, valid in split.valid.items()}
        for m, mask in observed.items():
            whole[m][EACH * fold : EACH * (fold + 1)] = mask
        best = oracle.predict(whole)[EACH * fold : EACH * (fold + 1)]
        errors = np.random.default_rng([seed, fold, int(10 * noise)]).standard_normal(EACH)
        return (best + noise * errors).astype(np.float32)

    evaluation = evaluate(corrkd_at(0.5), part, predict, SEEDS, observer(part))
    results = summarise(evaluation, "test", seed, f"fold {fold}")
    results["fold"] = {"number": fold, "of": FOLDS, "train": TRAIN}
    predictions = {r.condition.name: r.predictions for r in evaluation.conditions}
    ids, labels = evaluation.ids, evaluation.labels
    return Evaluated(Path(f"{noise}-{seed}-{fold}"), results, ids, labels, predictions, groups)


@pytest.fixture(scope="module")
def methods():
    return {
        name: [_run(noise, seed, fold) for seed in (0, 1) for fold in range(FOLDS)]
        for name, noise in (("bad", 0.9), ("good", 0.3))
    }


@pytest.fixture(scope="module")
def compared(methods):
    return compare_methods(methods, resamples=80)["good"]


def _metric(run, row, name):
    entries = {entry["name"]: entry for entry in run.results["conditions"]}
    return entries[row]["metrics"][name]


def test_a_figure_is_the_mean_over_folds_and_its_spread_that_over_seeds(methods):
    found = spread_of(methods["good"], "audio", "mae")
    by_seed = [
        np.mean(
            [_metric(r, "audio", "mae") for r in methods["good"] if r.results["training_seed"] == s]
        )
        for s in (0, 1)
    ]
    assert found.mean == pytest.approx(np.mean(by_seed), abs=1e-12)
    assert found.training_std == pytest.approx(np.std(by_seed, ddof=1), abs=1e-12)


def test_persons_are_resampled_within_their_fold(methods, compared):
    """By brute force: in every resample the persons of a fold are drawn from those of the fold."""
    differences = []
    counts = [resample_counts(PERSONS, 80, stream=fold) for fold in range(FOLDS)]
    assert not np.array_equal(counts[0], counts[1])
    for r in range(80):
        sides = []
        for name in ("good", "bad"):
            figures = []
            for run in methods[name]:
                times = counts[fold_of(run)][r]
                drawn = np.concatenate(
                    [np.repeat(i, int(times[i % PERSONS])) for i in range(EACH)]
                ).astype(int)
                errors = [np.abs(p[drawn] - run.labels[drawn]) for p in run.predictions["audio"]]
                figures.append(np.mean(errors))
            sides.append(np.mean(figures))
        differences.append(sides[0] - sides[1])
    expected = np.percentile(differences, [2.5, 97.5])
    assert compared["audio"]["mae"].samples == pytest.approx(expected, abs=1e-6)


def test_the_tests_over_folds_and_over_seeds(methods, compared):
    def means(name, key):
        keyed = {}
        for run in methods[name]:
            keyed.setdefault(key(run), []).append(_metric(run, "audio", "mae"))
        return [np.mean(keyed[k]) for k in sorted(keyed)]

    found = compared["audio"]["mae"]
    over_folds = [means(name, fold_of) for name in ("good", "bad")]
    assert found.folds == paired_difference(*over_folds, EACH / TRAIN)
    over_seeds = [means(name, lambda r: r.results["training_seed"]) for name in ("good", "bad")]
    expected = paired_difference(*over_seeds)
    for key in ("mean", "low", "high", "p"):
        assert getattr(found.seeds, key) == pytest.approx(getattr(expected, key), abs=1e-9)
    assert found.difference == pytest.approx(expected.mean, abs=1e-12)


def test_one_fold_has_no_test_over_folds(methods):
    alone = {name: by_fold(runs)[1] for name, runs in methods.items()}
    found = compare_methods(alone, resamples=20)["good"]["audio"]["mae"]
    assert found.folds is None
    assert found.seeds is not None


def test_folds_and_seeds_that_are_missing_are_refused(methods):
    bad, good = methods["bad"], methods["good"]
    with pytest.raises(RunError, match=r"good: found runs .* same seeds of every fold"):
        compare_methods({"bad": bad, "good": good[1:]}, resamples=0)
    two = [run for run in good if fold_of(run) < 2]
    with pytest.raises(RunError, match=r"good: .* folds \[0, 1\], expected \[0, 1, 2\] as of bad"):
        compare_methods({"bad": bad, "good": two}, resamples=0)
    strange = [dataclasses.replace(good[0], labels=good[0].labels + 1), *good[1:]]
    with pytest.raises(RunError, match="the samples have other labels"):
        compare_methods({"bad": bad, "good": strange}, resamples=0)
