"""The files that an evaluation leaves."""

import json
import re

import numpy as np
import pytest
from evaluation_case import SEEDS, run, run_results

from fsrf_jax import sealed
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.external import read_predictions
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.metrics.regression import METRICS, regression_metrics
from fsrf_jax.evaluation.results import VERSION, RunRecord, read_results
from fsrf_jax.evaluation.runs import predictions_csv, save_predictions
from fsrf_jax.evaluation.summary import summarise


def test_results_have_the_agreed_keys():
    results = run_results()
    head = {key: results[key] for key in results if key not in ("conditions", "average")}
    description = head.pop("protocol_description")
    assert description["average"]["in_words"] == head["average_rule"]
    for name in ("masks_digest", "predictions_digest"):
        assert re.fullmatch("[0-9a-f]{64}", head.pop(name))
    assert head.pop("mask_law").startswith("each frame of a present modality is missing")
    assert head == {
        "version": VERSION,
        "form": "number",
        "metrics": "mosi",
        "tasks": [],
        "resamples": 0,
        "unit": "sample",
        "data_fingerprint": "abc",
        "protocol": "corrkd",
        "split": "test",
        "average_rule": "mean over the 6 incomplete modality subsets",
        "mask_seeds": [0, 1, 5],
        "training_seed": 11,
        "n": 200,
        "n_non0": 193,
    }
    assert len(results["conditions"]) == 17
    for entry in results["conditions"]:
        assert set(entry) == {
            *("name", "metrics", "metrics_std", "metrics_per_mask_seed", "floor"),
            *("bayes", "bayes_per_mask_seed", "collapse", "recovery"),
            *("missing", "missing_per_mask_seed"),
        }
        tables = [entry["metrics"], entry["metrics_std"], entry["floor"], entry["bayes"]]
        seeds = entry["metrics_per_mask_seed"], entry["bayes_per_mask_seed"]
        for table in (*tables, *seeds[0], *seeds[1]):
            assert tuple(table) == METRICS
        assert [len(of_seed) for of_seed in seeds] == [3, 3]
    average = results["average"]
    keys = {"metrics", "floor", "bayes", "weights", "recovery", "missing"}
    assert set(average) == {*keys, "all_conditions"}
    assert set(average["all_conditions"]) == keys


def test_means_and_deviations_are_over_the_mask_seeds():
    for entry in run_results()["conditions"]:
        for source in ("metrics", "bayes"):
            maes = [table["mae"] for table in entry[f"{source}_per_mask_seed"]]
            assert entry[source]["mae"] == pytest.approx(np.mean(maes))
        maes = [table["mae"] for table in entry["metrics_per_mask_seed"]]
        assert entry["metrics_std"]["mae"] == pytest.approx(np.std(maes, ddof=1))
        assert (entry["metrics_std"]["mae"] == 0) == (entry["name"][:5] != "rate=" or
                                                      entry["name"] == "rate=1.0")  # fmt: skip


@pytest.mark.parametrize("form", ["class", "binary"])
def test_results_of_probabilities_have_figures_of_their_family(form, tmp_path):
    evaluation = run(form=form)
    results = summarise(evaluation, "test", 0, "abc")
    assert results["form"] == form
    assert "n_non0" not in results
    names = [*FAMILIES[form].names, *(["f1_task0", "f1_task1"] if form == "binary" else [])]
    average = results["average"]
    for entry in (*results["conditions"], average, average["all_conditions"]):
        for source in ("metrics", "floor", "bayes"):
            assert list(entry[source]) == names
    sealed.write(tmp_path / "results.json", results)
    save_predictions(tmp_path / "predictions.npz", evaluation)
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        assert file["predictions"].shape == (17, 3, 200, 3 if form == "class" else 2)
        table = FAMILIES[form].compute(file["predictions"][9, 2], file["labels"])
        assert table == results["conditions"][9]["metrics_per_mask_seed"][2]


def test_averages_are_over_the_right_conditions():
    results = run_results()
    for source in ("metrics", "bayes"):
        accuracies = [entry[source]["acc2_non0"] for entry in results["conditions"]]
        average = results["average"]
        assert average[source]["acc2_non0"] == pytest.approx(np.mean(accuracies[:6]))
        assert average["all_conditions"][source]["acc2_non0"] == pytest.approx(
            np.mean(accuracies[:16])
        )


def test_undefined_figures_are_null_and_so_is_their_average():
    results = json.loads(json.dumps(run_results(), allow_nan=False))
    by_name = {entry["name"]: entry for entry in results["conditions"]}
    assert by_name["vision"]["metrics"]["corr"] is None
    assert by_name["rate=1.0"]["bayes"]["corr"] is None
    assert by_name["language"]["floor"]["corr"] is None
    assert results["average"]["metrics"]["corr"] is None
    assert results["average"]["all_conditions"]["bayes"]["corr"] > 0.5


def test_without_an_oracle_nothing_is_called_bayes():
    assert "bayes" not in json.dumps(run_results(with_oracle=False))


def test_results_file_reads_back(tmp_path):
    results = run_results()
    sealed.write(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_table_can_be_computed_again_from_the_predictions_file(tmp_path):
    evaluation = run()
    save_predictions(tmp_path / "predictions.npz", evaluation)
    results = summarise(evaluation, "test", 0, "abc")
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        assert file["predictions"].shape == (17, 3, 200)
        assert tuple(file["mask_seeds"]) == SEEDS
        assert file["ids"][3] == "test/00003"
        for c, entry in enumerate(results["conditions"]):
            assert file["conditions"][c] == entry["name"]
            for s, table in enumerate(entry["metrics_per_mask_seed"]):
                assert regression_metrics(file["predictions"][c, s], file["labels"]) == table


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "results.json"
    sealed.write(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        sealed.write(path, {"a": float("nan")})
    assert sealed.read(path, "") == {"a": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["results.json"]


def test_a_file_that_lacks_something_or_is_of_another_version_has_one_message(tmp_path):
    path = tmp_path / "results.json"
    whole = json.loads(json.dumps(run_results()))
    sealed.write(path, whole)
    assert read_results(path) == whole

    def without(*places):
        changed = json.loads(json.dumps(whole))
        part = changed
        for place in places[:-1]:
            part = part[place]
        del part[places[-1]]
        return changed

    for places in (
        ("masks_digest",),
        ("average",),
        ("average", "weights"),
        ("average", "all_conditions"),
        ("conditions", 3, "collapse"),
        ("conditions", 16, "name"),
    ):
        sealed.write(path, without(*places))
        with pytest.raises(RunError, match=f"KeyError: '{places[-1]}'.*evaluate the run again"):
            read_results(path)
    run = dict.fromkeys(RunRecord.__required_keys__ - {"splits"})
    sealed.write(path, {**whole, "run": run})
    with pytest.raises(RunError, match=r"KeyError: 'splits'.*evaluate the run again"):
        read_results(path)
    sealed.write(path, {**whole, "run": {**run, "splits": {}}})
    assert read_results(path)["run"]["splits"] == {}
    sealed.write(path, {**whole, "version": VERSION - 1})
    with pytest.raises(RunError, match=f"of version {VERSION - 1}, expected {VERSION}"):
        read_results(path)
    damaged = json.dumps({"version": VERSION, "average": 3, "conditions": []})
    for text in ("", "[]", "{", damaged):
        path.write_text(text)
        with pytest.raises(RunError, match="is damaged"):
            read_results(path)


@pytest.mark.parametrize("form", ["number", "class", "binary"])
def test_predictions_as_csv_are_those_of_the_array_file_and_are_read_back(tmp_path, form):
    evaluation = run(form=form)
    (tmp_path / "p.csv").write_text(predictions_csv(evaluation))
    save_predictions(tmp_path / "p.npz", evaluation)
    a, b = (read_predictions(tmp_path / name) for name in ("p.csv", "p.npz"))
    assert (list(a.ids), a.conditions, a.mask_seeds) == (list(b.ids), b.conditions, b.mask_seeds)
    assert a.digest == b.digest == evaluation.masks_digest
    np.testing.assert_array_equal(a.values, b.values.astype(np.float64))
    header, first = (tmp_path / "p.csv").read_text().splitlines()[1:3]
    cells = dict(zip(header.split(","), first.split(","), strict=True))
    label = np.ravel(evaluation.labels[0])[0]
    assert float(cells["label_0" if form == "binary" else "label"]) == label
    assert cells["condition"] == "language"
