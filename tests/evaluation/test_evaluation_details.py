"""What results say of a condition beside its metrics, and how averages combine it."""

import dataclasses

import numpy as np
import pytest
from evaluation_case import MODALITIES, SEEDS, corrkd_at, make_split, observer, run

from fsrf_jax.evaluation.details import (
    average_details,
    bootstrap_of,
    complete_condition,
    condition_details,
    resample_evaluation,
)
from fsrf_jax.evaluation.evaluate import Gaussian, evaluate
from fsrf_jax.evaluation.metrics.bootstrap import resample_counts
from fsrf_jax.evaluation.metrics.calibration import class_calibration, gaussian_calibration
from fsrf_jax.evaluation.metrics.regression import regression_metrics
from fsrf_jax.evaluation.protocols.averages import equal_weights
from fsrf_jax.evaluation.protocols.registry import corrkd
from fsrf_jax.evaluation.results import results_dict, save_predictions


@pytest.fixture(scope="module")
def evaluation():
    return run()


@pytest.fixture(scope="module")
def results(evaluation):
    return results_dict(evaluation, "test", 0, "abc", resamples=40, compat=True)


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
    found = condition_details(evaluation, result)["calibration"]
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


def test_an_area_weighs_conditions_and_its_recovery_stays_a_share(evaluation, results):
    weights = {"rate=0.1": 0.05, "rate=0.2": 0.1, "rate=0.3": 0.05}
    drawn = resample_evaluation(evaluation, 40)
    found = average_details(results["conditions"], weights, drawn)
    entries = {entry["name"]: entry for entry in results["conditions"]}
    shares = [entries[name]["recovery"] for name in weights]
    assert found["recovery"] == pytest.approx(np.dot(shares, [0.25, 0.5, 0.25]))
    low, high = found["bootstrap"]["mae"]
    area = sum(w * entries[name]["metrics"]["mae"] for name, w in weights.items())
    assert low < area < high
    assert average_details(results["conditions"], {}, {})["recovery"] is None


def test_intervals_are_over_the_same_resamples_for_all_conditions(evaluation, results):
    names = [entry["name"] for entry in results["conditions"][:6]]
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
    again = bootstrap_of(resample_evaluation(evaluation, 40), equal_weights(names))
    assert again == results["average"]["bootstrap"]
    assert results["conditions"][2]["bootstrap"]["corr"] is None  # constant


def test_without_a_complete_condition_nothing_is_recovered(evaluation):
    protocol = corrkd(MODALITIES)
    assert complete_condition(evaluation).condition == protocol.conditions[6]
    rates = dataclasses.replace(evaluation, conditions=evaluation.conditions[7:])
    assert complete_condition(rates) is None
    assert condition_details(rates, rates.conditions[0])["recovery"] is None


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
    entry = results_dict(evaluation, "test", 0, "abc")["conditions"][-1]
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
