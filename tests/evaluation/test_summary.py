"""What results hold of a condition beside its metrics, and how averages combine it."""

import dataclasses

import numpy as np
import pytest
from evaluation_case import MODALITIES, SEEDS, corrkd_at, make_split, observer, run
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from fsrf_jax.evaluation.evaluate import Gaussian, evaluate
from fsrf_jax.evaluation.metrics.bootstrap import resample_counts
from fsrf_jax.evaluation.metrics.calibration import class_calibration, gaussian_calibration
from fsrf_jax.evaluation.metrics.regression import regression_metrics
from fsrf_jax.evaluation.protocols.registry import corrkd
from fsrf_jax.evaluation.runs import save_predictions
from fsrf_jax.evaluation.summary import complete_condition, summarise


@pytest.fixture(scope="module")
def evaluation():
    return run()


@pytest.fixture(scope="module")
def results(evaluation):
    return summarise(evaluation, "test", 0, "abc", resamples=40, compat=True)


def test_recovered_shares_follow_from_the_figures(results):
    by_name = {entry["name"]: entry for entry in results["conditions"]}
    floor = results["average"]["floor"]["acc2_non0"]
    whole = by_name["language+audio+vision"]["metrics"]["acc2_non0"] - floor
    for entry in results["conditions"]:
        share = (entry["metrics"]["acc2_non0"] - floor) / whole
        assert entry["recovery"] == pytest.approx(share)
    assert by_name["vision"]["recovery"] == pytest.approx(0, abs=1e-9)
    average = results["average"]
    for means in (average, average["all_conditions"]):
        share = (means["metrics"]["acc2_non0"] - floor) / whole
        assert means["recovery"] == pytest.approx(share)


def test_constant_conditions_are_collapsed_or_a_sanity_row(results):
    marks = {
        entry["name"]: (entry["collapse"]["collapsed"], entry["collapse"]["sanity"])
        for entry in results["conditions"]
    }
    assert marks["vision"] == (True, False)
    assert marks["rate=1.0"] == (False, True)
    assert set(marks.values()) == {(True, False), (False, True), (False, False)}
    assert marks["rate=0.9"] == marks["language"] == (False, False)


def test_numbers_without_a_variance_have_no_calibration(results):
    assert not any("calibration" in entry for entry in results["conditions"])


def test_calibration_is_the_mean_over_the_mask_seeds():
    evaluation = run(form="class")
    result = evaluation.conditions[10]
    tables = [class_calibration(p, evaluation.labels) for p in result.predictions]
    found = summarise(evaluation, "test", 0, "abc")["conditions"][10]["calibration"]
    assert found["ece"] == pytest.approx(np.mean([table["ece"] for table in tables]))
    assert tables[0]["ece"] != tables[1]["ece"]


def test_averages_of_compat_and_their_weights(results):
    average = results["average"]
    assert average["weights"] == pytest.approx(
        {entry["name"]: 1 / 6 for entry in results["conditions"][:6]}
    )
    compat = [entry["compat"]["f1_non0_swapped"] for entry in results["conditions"]]
    assert average["compat"]["f1_non0_swapped"] == pytest.approx(np.mean(compat[:6]))
    everything = average["all_conditions"]
    assert everything["compat"]["f1_non0_swapped"] == pytest.approx(np.mean(compat[:16]))
    assert set(everything["metrics"]) & set(everything["compat"]) == set()


def area_of(evaluation, names):
    """The same evaluation under the area over some rates."""
    protocol = dataclasses.replace(evaluation.protocol, rule="area", averaged=names)
    return dataclasses.replace(evaluation, protocol=protocol)


def test_an_area_weighs_conditions_and_its_recovery_stays_a_share(evaluation, results):
    weights = {"rate=0.1": 0.05, "rate=0.2": 0.1, "rate=0.3": 0.05}
    area = area_of(evaluation, tuple(weights))
    found = summarise(area, "test", 0, "abc", resamples=40)["average"]
    assert found["weights"] == pytest.approx(weights)
    entries = {entry["name"]: entry for entry in results["conditions"]}
    for key in ("recovery", "frames"):
        shares = [entries[name]["recovery"] for name in weights]
        average = found["recovery"]
        if key == "frames":  # what is missing is a mean as well
            shares = [entries[name]["missing"]["frames"] for name in weights]
            average = found["missing"]["frames"]
        assert average == pytest.approx(np.dot(shares, [0.25, 0.5, 0.25]))
    low, high = found["bootstrap"]["mae"]
    summed = sum(w * entries[name]["metrics"]["mae"] for name, w in weights.items())
    assert found["metrics"]["mae"] == pytest.approx(summed)
    assert low < summed < high
    none = dataclasses.replace(evaluation.protocol, rule="none", averaged=())
    nothing = dataclasses.replace(evaluation, protocol=none)
    assert summarise(nothing, "test", 0, "abc")["average"]["recovery"] is None


def test_groups_are_resampled_as_a_whole(evaluation):
    """Recomputed by drawing groups and putting their samples together."""
    groups = np.array([f"person {i % 7}" for i in range(200)])
    grouped = dataclasses.replace(evaluation, groups=groups)
    found = summarise(grouped, "test", 0, "abc", resamples=40)
    assert found["unit"] == "group"
    figures = []
    for count_g in resample_counts(7, 40):
        drawn = np.concatenate(
            [
                np.flatnonzero(groups == f"person {g}")
                for g in range(7)
                for _ in range(int(count_g[g]))
            ]
        )
        result = evaluation.conditions[0]
        tables = [
            regression_metrics(p[drawn], evaluation.labels[drawn]) for p in result.predictions
        ]
        figures.append(np.mean([table["mae"] for table in tables]))
    expected = np.percentile(figures, [2.5, 97.5])
    assert found["conditions"][0]["bootstrap"]["mae"] == pytest.approx(expected, abs=1e-6)
    plain = summarise(evaluation, "test", 0, "abc", resamples=40)
    assert plain["unit"] == "sample"
    assert plain["conditions"][0]["bootstrap"]["mae"] != found["conditions"][0]["bootstrap"]["mae"]


def test_classes_have_precision_recall_f1_and_counts():
    """Against scikit-learn, mask seed by mask seed; counts are means over the mask seeds."""
    evaluation = run(form="class")
    results = summarise(evaluation, "test", 0, "abc")
    for place in (0, 2, 10):  # the third predicts one class alone
        result, entry = evaluation.conditions[place], results["conditions"][place]
        counts = [
            confusion_matrix(evaluation.labels, p.argmax(axis=1), labels=[0, 1, 2])
            for p in result.predictions
        ]
        np.testing.assert_allclose(entry["confusion"], np.mean(counts, axis=0))
        assert [found["name"] for found in entry["classes"]] == ["class 0", "class 1", "class 2"]
    true, one = evaluation.labels, evaluation.conditions[0].predictions[0].argmax(axis=1)
    expected = precision_recall_fscore_support(true, one, labels=[0, 1, 2], zero_division=np.nan)
    for key, figures in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        found = [of_class[key] for of_class in results["conditions"][0]["classes"]]
        assert found == pytest.approx(list(figures))
    constant = results["conditions"][2]["classes"]
    assert sum(of_class["precision"] is None for of_class in constant) == 2
    assert sum(of_class["recall"] == 0 for of_class in constant) == 2
    named = dataclasses.replace(evaluation, classes=("sad", "calm", "glad"))
    found = summarise(named, "test", 0, "abc")["conditions"][0]["classes"]
    assert [of_class["name"] for of_class in found] == ["sad", "calm", "glad"]


def test_tasks_have_the_figures_of_their_yes():
    evaluation = run(form="binary")
    entry = summarise(evaluation, "test", 0, "abc")["conditions"][0]
    for e, found in enumerate(entry["classes"]):
        true, predicted = evaluation.labels[:, e], evaluation.conditions[0].predictions[0, :, e]
        assert found["name"] == f"task{e}"
        counts = confusion_matrix(true, predicted > 0.5)
        np.testing.assert_array_equal(entry["confusion"][e], counts)
        expected = precision_recall_fscore_support(true, predicted > 0.5, average="binary")
        assert [found[k] for k in ("precision", "recall", "f1")] == pytest.approx(expected[:3])
        assert found["support"] == true.sum()
    assert "classes" not in summarise(run(), "test", 0, "abc")["conditions"][0]


def test_intervals_are_over_the_same_resamples_for_all_conditions(evaluation, results):
    figures = []
    for count_n in resample_counts(200, 40):
        drawn = np.repeat(np.arange(200), count_n.astype(int))
        figures.append(
            np.mean(
                [
                    regression_metrics(p[drawn], evaluation.labels[drawn])["acc2_non0"]
                    for result in evaluation.conditions[:6]
                    for p in result.predictions[:1]
                ]
            )
        )
    expected = np.percentile(figures, [2.5, 97.5])
    assert results["average"]["bootstrap"]["acc2_non0"] == pytest.approx(expected, abs=1e-6)
    assert results["conditions"][2]["bootstrap"]["corr"] is None  # constant


def test_without_a_complete_condition_nothing_is_recovered(evaluation):
    protocol = corrkd(MODALITIES)
    assert complete_condition(evaluation).condition == protocol.conditions[6]
    rates = dataclasses.replace(evaluation, conditions=evaluation.conditions[7:])
    protocol = dataclasses.replace(protocol, conditions=protocol.conditions[7:])
    none = dataclasses.replace(protocol, rule="none", averaged=())
    rates = dataclasses.replace(rates, protocol=none)
    assert complete_condition(rates) is None
    assert summarise(rates, "test", 0, "abc")["conditions"][0]["recovery"] is None


def test_gaussian_predictions_are_scored_by_their_mean_and_keep_their_variance(tmp_path):
    split, oracle = make_split(60)

    def predict(observed):
        mean = oracle.predict(observed)
        return Gaussian(mean, np.full(60, -0.5) + 0.1 * mean)

    protocol = corrkd_at(0.5)
    evaluation = evaluate(protocol, split, predict, SEEDS, observer(split))
    plain = evaluate(protocol, split, oracle.predict, SEEDS, observer(split))
    for found, expected in zip(evaluation.conditions, plain.conditions, strict=True):
        assert found.metrics == expected.metrics
        np.testing.assert_array_equal(found.predictions, expected.predictions)
        assert expected.log_variances is None
        assert found.log_variances.shape == (3, 60)
    entry = summarise(evaluation, "test", 0, "abc")["conditions"][-1]
    result = evaluation.conditions[-1]
    tables = [
        gaussian_calibration(p, v, split.labels)
        for p, v in zip(result.predictions, result.log_variances, strict=True)
    ]
    assert entry["calibration"]["nll"] == pytest.approx(np.mean([t["nll"] for t in tables]))
    save_predictions(tmp_path / "predictions.npz", evaluation)
    with np.load(tmp_path / "predictions.npz") as file:
        np.testing.assert_array_equal(file["log_variances"][-1], result.log_variances)
        assert file["predictions"].shape == (8, 3, 60)
