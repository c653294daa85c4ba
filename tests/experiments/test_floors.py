"""Floors of a run's data: in its results, saved like runs, and measured once for many."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from ablation_case import full, member, parse
from command_case import read_json

from fsrf_jax.data import normalise
from fsrf_jax.evaluation.comparison import compare_methods
from fsrf_jax.evaluation.floors import FLOORS
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.evaluation.runs import predictions_csv, read_evaluated
from fsrf_jax.experiments import ablation, floors
from fsrf_jax.experiments.experiment import Experiment, metrics_of
from fsrf_jax.experiments.floors import evaluate_floors, measure_floors, normaliser_of
from fsrf_jax.experiments.outputs import write_results
from fsrf_jax.experiments.score import score_file
from fsrf_jax.source import open_source
from fsrf_jax.training import loop

SMALL = ("--method.name", "late_fusion", "--training.epochs", "1", "--evaluation.bootstrap", "5")


@pytest.fixture(scope="module")
def config():
    return parse(*SMALL)


@pytest.fixture(scope="module")
def source(config):
    return open_source(config.data)


@pytest.fixture
def fits(monkeypatch):
    """How often floors were fitted."""
    calls = []
    fit = floors.floors.fit
    monkeypatch.setattr(floors.floors, "fit", lambda *given: (calls.append(1), fit(*given))[1])
    return calls


def of(config, source, observe=None):
    """What the floors of a run depend on."""
    protocol = resolve(config.evaluation.protocol, config.data.modalities)
    return protocol, config.evaluation.mask_seeds, observe, metrics_of(config, source)


def without(source, *names):
    splits = {name: split for name, split in source.dataset.splits.items() if name not in names}
    return dataclasses.replace(source, dataset=dataclasses.replace(source.dataset, splits=splits))


def only(config, **changes):
    return dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, **changes))


def evaluated(config, source, normaliser):
    """Results of a run that was not trained."""
    run = Experiment.make(config, source, of(config, source)[0])
    return run.evaluate(Path("none"), loop.member(run.initial_states([0]), 0), normaliser)


def test_a_run_has_them_in_its_results(config, source):
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    results = evaluated(config, source, normaliser)[1]
    found = measure_floors(source, normaliser, *of(config, source), split="test")
    for entry in results["conditions"]:
        assert tuple(entry["floors"]) == FLOORS
    for floor, evaluation in found.items():
        by_name = {result.condition.name: result.metrics for result in evaluation.conditions}
        for entry in results["conditions"]:
            assert entry["floors"][floor] == by_name[entry["name"]]
    assert set(results["average"]["all_conditions"]["floors"]) == set(FLOORS)


def test_they_can_be_turned_off(config, source, fits):
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    results = evaluated(only(config, floors=False), source, normaliser)[1]
    assert not any("floors" in entry for entry in results["conditions"])
    assert "floors" not in results["average"]
    assert fits == []


def test_they_are_saved_and_compared_like_runs(config, source, tmp_path):
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    evaluation, results = evaluated(config, source, normaliser)
    results["validation_error"] = 0.0  # before the first epoch it is infinite
    write_results(tmp_path / "results.json", evaluation, results)
    asked = of(config, source)
    found = evaluate_floors(source, normaliser, *asked, resamples=5, compat=True)
    methods = {"run": [read_evaluated(tmp_path)]}
    for name, (of_floor, summed) in found.items():
        write_results(tmp_path / f"{name}.json", of_floor, summed)
        methods[name] = [read_evaluated(tmp_path / f"{name}.json")]
    assert tuple(found) == FLOORS
    comparisons = compare_methods(methods, resamples=5)
    for name in FLOORS:
        read = methods[name][0].results
        assert (read["method"], read["training_seed"]) == (f"floor: {name}", None)
        assert read["masks_digest"] == results["masks_digest"]
        assert read["data_fingerprint"] == source.fingerprint
        assert "bootstrap" in read["conditions"][0]
        assert "compat" in read["conditions"][0]
        for entry, of_run in zip(read["conditions"], results["conditions"], strict=True):
            assert entry["metrics"] == of_run["floors"][name]
            assert entry["floors"] == of_run["floors"]
            assert entry["bayes"] == of_run["bayes"]
        average = results["average"]["metrics"]["mae"]
        found_difference = comparisons[name]["average"]["mae"].difference
        expected = results["average"]["floors"][name]["mae"] - average
        assert found_difference == pytest.approx(expected)


@pytest.mark.parametrize("names", [("train",), ("valid",), ("train", "valid")])
def test_without_a_split_to_fit_to_there_are_none_and_nothing_fails(config, source, names, fits):
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    protocol, *_ = of(config, source)
    shapes, rest = source.shapes, without(source, *names)
    run = Experiment.make(config, rest, protocol, shapes)
    results = run.evaluate(Path("none"), loop.member(run.initial_states([0]), 0), normaliser)[1]
    assert not any("floors" in entry for entry in results["conditions"])
    assert evaluate_floors(rest, normaliser, *of(config, source)) == {}
    assert fits == []


def test_predictions_of_another_program_have_them_too(config, source, tmp_path):
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    evaluation, expected = evaluated(config, source, normaliser)
    (tmp_path / "p.csv").write_text(predictions_csv(evaluation))
    protocol, *_ = of(config, source)

    def score(config, source):
        return score_file(tmp_path / "p.csv", config, source, protocol, None)[1]["conditions"]

    for entry, of_run in zip(score(config, source), expected["conditions"], strict=True):
        assert entry["floors"] == of_run["floors"]
    assert "floors" not in score(config, without(source, "train"))[0]
    assert "floors" not in score(only(config, floors=False), source)[0]


def test_data_that_nothing_can_be_learnt_from_have_no_normaliser(source):
    assert normaliser_of(without(source, "train"), 10.0) is None
    train = source.split("train")
    blind = dataclasses.replace(
        train, present={**train.present, "audio": np.zeros_like(train.valid["audio"])}
    )
    splits = {**source.dataset.splits, "train": blind}
    lacking = dataclasses.replace(
        source, dataset=dataclasses.replace(source.dataset, splits=splits)
    )
    assert normaliser_of(lacking, 10.0) is None
    expected = normalise.fit(train, 10.0)
    np.testing.assert_equal(normaliser_of(source, 10.0).to_tree(), expected.to_tree())


def test_members_of_an_ablation_fit_them_once(tmp_path, fits):
    members = [*full(tmp_path, 2, *SMALL), member(tmp_path, "less", 0, *SMALL, "--model.dropout=0")]
    ablation.train_members(tmp_path, members, 2, lambda line: None)
    assert len(fits) == 1
    found = [read_json(one.folder / "results.json")["conditions"] for one in members]
    for entries in zip(*found, strict=True):
        assert all(entry["floors"] == entries[0]["floors"] for entry in entries)
    assert found[0][0]["metrics"] != found[1][0]["metrics"]


def test_what_they_depend_on_is_fitted_anew(config, source, fits):
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    observe = make_observer(source.split("test"), config.evaluation.mask_seeds)
    protocol, seeds, _, family = of(config, source)
    fresh = dataclasses.replace(source)  # the same samples; nothing is kept yet

    def ask(source=fresh, normaliser=normaliser, protocol=protocol, seeds=seeds, **more):
        asked = {"observe": observe, "split": "test", **more}
        observed, split = asked["observe"], asked["split"]
        before = len(fits)
        measure_floors(source, normaliser, protocol, seeds, observed, family, split=split)
        return len(fits) - before

    assert [ask(), ask(), ask()] == [1, 0, 0]
    assert ask(normaliser=normalise.fit(source.split("train"), 3.0)) == 1
    assert ask(protocol=resolve("lnln", config.data.modalities)) == 1
    assert ask(seeds=(0, 1)) == 1
    assert ask(observe=None) == 1
    assert ask(observe=None, split="valid") == 1
    assert ask(source=dataclasses.replace(source)) == 1
    assert ask() == 1  # the last alone is kept


@pytest.mark.parametrize(
    "task",
    [("--task.kind", "cross_entropy"), ("--task.kind", "binary_cross_entropy")],
)
def test_classes_and_tasks_have_them(task):
    config = parse(*SMALL, *task, "--data.cuts", "[-0.5, 0.5]")
    source = open_source(config.data, config.task.form)
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    results = evaluated(config, source, normaliser)[1]
    for row in (*results["conditions"], results["average"]):
        for figures in row["floors"].values():
            assert set(figures) == set(row["metrics"])
            assert None not in figures.values()
