"""What a model card says against the model: floors that are as good, and what was not tested."""

import pytest
from card_case import card_results

from fsrf_jax.reporting.card_scores import beside_floors
from fsrf_jax.reporting.card_words import limits, missingness


def of(tmp_path, form="number", changes=None, **settings):
    results = card_results(tmp_path, form, changes=changes, **settings)
    return " ".join(limits(results, results["run"])), results


def test_a_model_worse_than_a_floor_is_called_so_by_the_numbers(tmp_path):
    """It predicts the opposite of the labels; where only vision is seen it is as the floor is."""
    found = beside_floors(card_results(tmp_path, share=-0.5))
    assert found[0] == (
        "Worse than these floors in some figures, not counting where nothing is seen: best "
        "constant, length, ridge."
    )
    assert found[1].startswith("Floor best constant: worse in Acc2, F1, MAE (everywhere), Acc7 (")
    words = "average, mean of all conditions, every condition but vision"
    assert f"Floor length: worse in Acc2, F1, MAE, Acc7 ({words}); equal in Acc2, F1" in found[2]
    assert f"Floor ridge: worse in Acc2, F1, MAE, Acc7 ({words}), Corr (every" in found[3]


def test_every_place_named_is_one_where_the_numbers_say_so(tmp_path):
    results = card_results(tmp_path, "class", share=0.4)
    rows = {row["name"]: row for row in results["conditions"]}
    worse = [
        name
        for name, row in rows.items()
        if row["metrics"]["cross_entropy"] > row["floors"]["ridge"]["cross_entropy"] + 1e-9
    ]
    assert set(rows) - set(worse) == {"vision", "rate=1.0"}
    text = next(line for line in beside_floors(results) if line.startswith("Floor ridge"))
    assert "worse in CE (average, mean of all conditions, every condition but vision)" in text


@pytest.mark.parametrize("form", ["number", "class", "binary"])
def test_a_model_better_than_all_floors_is_called_so(tmp_path, form):
    results = card_results(tmp_path, form, share=1.0)
    for row in (*results["conditions"], results["average"], results["average"]["all_conditions"]):
        row["floors"] = {"length": row["floors"]["length"]}
        row["floor"] = row["floors"]["length"]
    unseen = ", not counting where nothing is seen"
    first, *_ = beside_floors(results)
    assert first == f"Worse than no floor in any figure (best constant, length){unseen}."


def test_a_floor_within_the_interval_is_named(tmp_path):
    results = card_results(tmp_path, share=1.0)
    row = next(row for row in results["conditions"] if row["name"] == "audio")
    row["bootstrap"]["acc2_non0"] = [0.2, 1.0]
    text = next(line for line in beside_floors(results) if line.startswith("Floor length"))
    assert text.endswith("better, but with the floor inside the 95 % interval, in Acc2 (audio).")


def test_undefined_figures_are_not_compared(tmp_path):
    results = card_results(tmp_path)
    for row in (*results["conditions"], results["average"], results["average"]["all_conditions"]):
        row["metrics"] = dict.fromkeys(row["metrics"])
    assert len(beside_floors(results)) == 1


def test_limits_name_the_size_and_the_conditions_that_were_not_tested(tmp_path):
    text, _ = of(tmp_path)
    assert "Evaluated on one data set of 60 samples, and trained with one seed." in text
    assert "is no evidence" in text
    assert "Not tested: missing frames and missing modalities at once; missing frames in" in text
    assert "subsets of the modalities" not in text
    rates, _ = of(tmp_path, protocol="lnln")
    assert (
        "Not tested: 6 subsets of the modalities, each on its own and whole: language, audio, "
        "vision, language+audio, language+vision, audio+vision; missing frames and"
    ) in rates
    whole, _ = of(tmp_path, protocol="cmad")
    assert "Not tested: single missing frames; missing frames in blocks" in whole


def test_how_sure_a_prediction_is(tmp_path):
    words = "A prediction comes without any measure of how sure it is."
    assert words in of(tmp_path)[0]
    assert words not in of(tmp_path, changes={"task.kind": "gaussian"})[0]
    assert words not in of(tmp_path, "class")[0]


def test_samples_that_are_not_independent(tmp_path):
    file = {"data.source": "file", "data.path": "x.npz"}
    unknown = "Which samples are of the same person is not known"
    assert unknown in of(tmp_path, changes=file)[0]
    assert unknown not in of(tmp_path, changes=file, groups=6)[0]
    assert unknown not in of(tmp_path)[0]
    text, results = of(tmp_path, changes={**file, "data.allow_duplicates": True})
    assert "was allowed to be in two of train, valid and test" in text
    for split, words in (("valid", "by which the epoch was chosen"), ("train", "has fitted")):
        assert words in " ".join(limits({**results, "split": split}, results["run"]))
        assert words not in text
    run = {**results["run"], "trained_on": {"fingerprint": "other", "samples": 3}}
    assert "Evaluated on other data than it was trained on." in limits(results, run)


@pytest.mark.parametrize(
    ("changes", "modalities", "frames"),
    [
        (
            {},
            "one subset of those that a sample has is observed, each subset equally often",
            "each frame of an observed modality is missing with a probability drawn from U(0, 1), "
            "anew for each modality",
        ),
        (
            {"subset_weights": {"all": 1.0}, "max_rate": 0.0},
            "none is taken away as a whole",
            "of what is observed none is taken away",
        ),
        (
            {"subset_weights": {"language": 1.0, "audio+vision": 2.5}, "shared_rate": True},
            "one subset of those that a sample has is observed, drawn by the odds audio+vision "
            "2.5, language 1",
            "each frame of an observed modality is missing with a probability drawn from U(0, 1), "
            "once for a sample",
        ),
        (
            {"modality_rate": 0.3, "fixed_rate": True, "max_rate": 0.5, "whole_share": 0.25},
            "a sample keeps one of those it has, drawn alike, and loses each other one with the "
            "probability min(1, 0.3 M / (M - 1)), M the number of modalities",
            "each frame of an observed modality is missing with a probability of 0.5; with a "
            "probability of 0.25 no frame of it",
        ),
        (
            {"modality_rate": 0.0, "pattern": "block", "max_rate": 0.5},
            "none is taken away as a whole",
            "of an observed modality one block of neighbours is missing, a share drawn from "
            "U(0, 0.5), anew for each modality",
        ),
    ],
)
def test_the_training_missingness_in_words(tmp_path, changes, modalities, frames):
    run = card_results(tmp_path, changes={f"missing.{k}": v for k, v in changes.items()})["run"]
    step, of_modalities, of_frames, _ = missingness(run)
    assert step == "A training step sees 2 incomplete views of each sample, drawn anew."
    assert of_modalities == f"Modalities: {modalities}."
    assert of_frames == f"Frames: {frames}."


def test_a_complete_view_is_said(tmp_path):
    run = card_results(tmp_path, changes={"method.complete_view": True})["run"]
    assert missingness(run)[0].endswith("drawn anew, and one with nothing missing.")
    one = {"method.name": "late_fusion", "method.views": 1}
    assert "sees 1 incomplete view of" in missingness(card_results(tmp_path, changes=one)["run"])[0]
