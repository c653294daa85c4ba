"""Two methods on the same masks, from their files: figures, intervals, refusals."""

import dataclasses
import json

import numpy as np
import pytest
from evaluation_case import SEEDS, corrkd_at, make_split, observer, run

from fsrf_jax import sealed
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.ablation_table import ablation_table
from fsrf_jax.evaluation.comparison import compare_methods, spread_of
from fsrf_jax.evaluation.evaluate import evaluate
from fsrf_jax.evaluation.metrics.bootstrap import resample_counts
from fsrf_jax.evaluation.metrics.regression import regression_metrics
from fsrf_jax.evaluation.metrics.statistics import paired_difference
from fsrf_jax.evaluation.results import rows_of
from fsrf_jax.evaluation.runs import check_comparable, read_evaluated, save_predictions
from fsrf_jax.evaluation.summary import summarise

PROTOCOL = dataclasses.replace(
    corrkd_at(0.5), averaged=("language", "audio", "vision", "language+audio")
)


def _write(folder, noise, seed):
    """A run whose errors have this size, as files."""
    split, oracle = make_split(80)

    def predict(observed):
        errors = np.random.default_rng(seed).standard_normal(80)
        return (oracle.predict(observed) + noise * errors).astype(np.float32)

    evaluation = evaluate(PROTOCOL, split, predict, SEEDS, observer(split))
    folder.mkdir()
    sealed.write(folder / "results.json", summarise(evaluation, "test", seed, "abc"))
    save_predictions(folder / "predictions.npz", evaluation)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three training seeds of a good method and of a bad one."""
    root = tmp_path_factory.mktemp("runs")
    return {
        name: [_write(root / f"{name}{seed}", noise, seed) for seed in range(3)]
        for name, noise in (("good", 0.2), ("bad", 1.5))
    }


@pytest.fixture(scope="module")
def methods(folders):
    return {name: [read_evaluated(path) for path in paths] for name, paths in folders.items()}


@pytest.fixture(scope="module")
def compared(methods):
    return compare_methods({"bad": methods["bad"], "good": methods["good"]}, resamples=200)["good"]


def pair(method, reference):
    return compare_methods({"reference": reference, "method": method}, resamples=50)["method"]


def test_p_values_are_corrected_over_the_methods(methods):
    """Holm: of two equal ones each counts twice, of one alone once; nothing else changes."""
    bad, good = methods["bad"], methods["good"]
    alone = pair(good, bad)
    both = compare_methods({"bad": bad, "a": good, "b": good}, resamples=50)
    for row, metric in (("average", "mae"), ("audio", "corr"), ("all_conditions", "f1_non0")):
        one = alone[row][metric]
        for name in ("a", "b"):
            found = both[name][row][metric]
            assert found.samples_p == min(1, 2 * one.samples_p)
            assert found.seeds.p == min(1, 2 * one.seeds.p)
            assert (
                dataclasses.replace(
                    found,
                    samples_p=one.samples_p,
                    seeds=dataclasses.replace(found.seeds, p=one.seeds.p),
                )
                == one
            )


def test_a_difference_is_the_same_in_an_ablation_and_in_a_report(methods):
    bad, good = methods["bad"], methods["good"]
    half = [dataclasses.replace(run, results=_moved(run.results, 0.01)) for run in good]
    groups = {"bad": bad, "good": good, "half": half}
    report = compare_methods(groups, resamples=20)
    table = ablation_table(groups, report)
    for name, rows in report.items():
        for row, metrics in rows.items():
            for metric, found in metrics.items():
                cell = table["variants"][name][row][metric]
                assert cell["difference"] == pytest.approx(found.difference, abs=1e-12)
                assert cell["p"] == found.seeds.p
                assert (cell["low"], cell["high"]) == (found.seeds.low, found.seeds.high)
                assert (cell["samples"], cell["samples_p"]) == (found.samples, found.samples_p)
                assert cell["mean"] == pytest.approx(found.score.mean, abs=1e-12)


def _moved(results, step):
    """The results with every figure moved a little, seed by seed."""
    changed = json.loads(json.dumps(results))
    by = step * (1 + results["training_seed"] ** 2)
    average = changed["average"]
    for entry in (*changed["conditions"], average, average["all_conditions"]):
        entry["metrics"] = {k: v and v - by for k, v in entry["metrics"].items()}
    return changed


def test_rows_are_conditions_and_averages(compared, methods):
    names = [condition.name for condition in PROTOCOL.conditions]
    assert list(compared) == [*names, "average", "all_conditions"]
    assert list(rows_of(methods["good"][0].results)) == list(compared)


def test_differences_are_those_of_the_results_and_paired_by_seed(compared, methods):
    for row in ("audio", "rate=0.5", "average"):
        found = compared[row]["mae"]
        good, bad = (
            [rows_of(run.results)[row]["metrics"]["mae"] for run in methods[name]]
            for name in ("good", "bad")
        )
        assert found.difference == pytest.approx(np.mean(good) - np.mean(bad))
        assert found.score.mean == pytest.approx(np.mean(good))
        assert found.reference.training_std == pytest.approx(np.std(bad, ddof=1))
        assert found.seeds == paired_difference(good, bad)
        low, high = found.samples
        assert low < found.difference < high < 0
        assert found.within_spread is False


def test_the_interval_is_of_the_difference_in_the_same_samples(compared, methods):
    """Recomputed by drawing samples, one mean over seeds, masks and conditions at a time."""
    differences = []
    for count_n in resample_counts(80, 200):
        drawn = np.repeat(np.arange(80), count_n.astype(int))
        mae = {
            name: np.mean(
                [
                    regression_metrics(p[drawn], run.labels[drawn])["mae"]
                    for run in runs
                    for condition in PROTOCOL.averaged
                    for p in run.predictions[condition]
                ]
            )
            for name, runs in methods.items()
        }
        differences.append(mae["good"] - mae["bad"])
    expected = np.percentile(differences, [2.5, 97.5])
    assert compared["average"]["mae"].samples == pytest.approx(expected, abs=1e-6)
    assert compared["average"]["mae"].samples_p == pytest.approx(2 / 201)


def test_spreads_over_training_seeds_and_mask_seeds_are_apart(methods):
    found = spread_of(methods["good"], "rate=0.5", "mae")
    entries = [run.results["conditions"][-1] for run in methods["good"]]
    figures = [entry["metrics"]["mae"] for entry in entries]
    assert found.training_std == pytest.approx(np.std(figures, ddof=1))
    of_masks = [entry["metrics_std"]["mae"] for entry in entries]
    assert found.mask_std == pytest.approx(np.sqrt(np.mean(np.square(of_masks))))
    assert spread_of(methods["good"], "audio", "mae").mask_std == 0
    assert spread_of(methods["good"], "average", "mae").mask_std is None


def test_one_run_a_side_has_no_word_on_training_seeds(methods):
    found = pair(methods["good"][:1], methods["bad"][1:2])["average"]["acc2_non0"]
    assert found.score.training_std is found.seeds is found.within_spread is None
    assert found.samples is not None


def test_a_difference_within_the_seed_spread_is_warned_of(methods):
    good = methods["good"]
    found = pair(good[:2], good[1:])["audio"]["mae"]
    assert abs(found.difference) < found.score.training_std + found.reference.training_std
    assert found.seeds is None  # other seeds
    same = pair(good, good)["audio"]["mae"]
    assert (same.difference, same.samples, same.within_spread) == (0.0, [0.0, 0.0], True)


def test_an_undefined_figure_has_no_difference(folders, methods):
    changed = json.loads((folders["good"][0] / "results.json").read_text())
    for entry in changed["conditions"]:
        entry["metrics"]["corr"] = None
    undefined = dataclasses.replace(methods["good"][0], results=changed)
    found = pair([undefined], methods["bad"][:1])["audio"]["corr"]
    assert (found.difference, found.samples, found.samples_p) == (None, None, None)
    assert found.reference.mean is not None


def test_evaluations_that_are_not_alike_are_refused(methods):
    one = methods["good"][0]
    others = {
        "masks_digest is 'x', expected '": {"results": {**one.results, "masks_digest": "x"}},
        r"mask_seeds is \[0\]": {"results": {**one.results, "mask_seeds": [0]}},
        "other samples, or in another order": {"ids": one.ids[::-1]},
        "other labels": {"labels": one.labels + 1},
    }
    for message, change in others.items():
        with pytest.raises(RunError, match=message):
            check_comparable([one, dataclasses.replace(one, **change)])
    check_comparable([one, methods["bad"][2]])


def test_a_seed_given_twice_and_no_run_are_refused(methods):
    one = methods["good"][0]
    for side in ([one, one], []):
        with pytest.raises(RunError, match="each of another seed"):
            pair(side, [one])


def test_files_elsewhere_are_read_by_their_name(tmp_path, folders):
    (tmp_path / "more.json").write_bytes((folders["good"][0] / "results.json").read_bytes())
    arrays = (folders["good"][0] / "predictions.npz").read_bytes()
    (tmp_path / "more.predictions.npz").write_bytes(arrays)
    found = read_evaluated(tmp_path / "more.json")
    assert found.predictions["audio"].shape == (3, 80)
    assert found.ids[3] == "test/00003"


def test_files_that_are_missing_damaged_or_strangers_are_refused(tmp_path, folders):
    source = folders["good"][0]
    with pytest.raises(RunError, match=r"results.json: not found.*finished run"):
        read_evaluated(tmp_path)
    (tmp_path / "results.json").write_bytes((source / "results.json").read_bytes())
    with pytest.raises(RunError, match=r"predictions.npz: not found"):
        read_evaluated(tmp_path)
    whole = (source / "predictions.npz").read_bytes()
    (tmp_path / "predictions.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="cannot read the predictions"):
        read_evaluated(tmp_path)
    save_predictions(tmp_path / "predictions.npz", run(with_oracle=False, count=20))
    with pytest.raises(RunError, match="does not belong to"):
        read_evaluated(tmp_path)
    (tmp_path / "predictions.npz").write_bytes(whole)
    results = json.loads((source / "results.json").read_text())
    del results["metrics"]
    sealed.write(tmp_path / "results.json", results)
    with pytest.raises(RunError, match="KeyError: 'metrics'"):
        read_evaluated(tmp_path)


def test_groups_are_resampled_as_a_whole_and_survive_their_files(folders, methods, tmp_path):
    """Recomputed by drawing groups; one seed of each method."""
    one, other = methods["good"][0], methods["bad"][0]
    groups = np.array([f"person {i % 5}" for i in range(80)])
    grouped = [dataclasses.replace(run, groups=groups) for run in (other, one)]
    found = compare_methods({"bad": grouped[:1], "good": grouped[1:]}, resamples=60)["good"]
    differences = []
    for count_g in resample_counts(5, 60):
        drawn = np.repeat(np.arange(80), np.array([count_g[i % 5] for i in range(80)]).astype(int))
        mae = [
            np.mean(
                [np.abs(p[drawn] - side.labels[drawn]).mean() for p in side.predictions["audio"]]
            )
            for side in (one, other)
        ]
        differences.append(mae[0] - mae[1])
    expected = np.percentile(differences, [2.5, 97.5])
    assert found["audio"]["mae"].samples == pytest.approx(expected, abs=1e-6)
    evaluation = dataclasses.replace(run(with_oracle=False, count=20), groups=groups[:20])
    sealed.write(tmp_path / "results.json", summarise(evaluation, "test", 0, "abc"))
    save_predictions(tmp_path / "predictions.npz", evaluation)
    assert read_evaluated(tmp_path).groups.tolist() == groups[:20].tolist()
    assert read_evaluated(folders["good"][0]).groups is None
