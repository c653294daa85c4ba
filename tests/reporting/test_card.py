"""A model card says what the results say, and nothing else."""

import re

import pytest
import yaml
from card_case import COUNT, card_results

from fsrf_jax import arguments
from fsrf_jax.evaluation.results import family_of_results, rows_of
from fsrf_jax.reporting.card import card_document
from fsrf_jax.reporting.markdown import to_markdown

CHAPTERS = [
    *("Model", "Data", "Training missingness", "Evaluation", "Scores", "Limits"),
    *("Intended use", "Not intended", "Personal data", "How to repeat it"),
]
FORMS = ("number", "class", "binary")


def text_of(results):
    return to_markdown(card_document(results), foldable=True)


def chapter(text, name):
    return re.search(rf"^## {name}\n\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]


def table(text, first):
    """Rows of the table whose header begins with a cell, by their first cell."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"|{first}|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip("*") for cell in line.strip("|").split("|")])
    header, _, *body = rows
    return [dict(zip(header, row, strict=True)) for row in body]


def figure(value, percent):
    if value is None:
        return "-"
    return f"{round(100 * value, 1) + 0.0:.1f}" if percent else f"{value:.3f}"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    return {
        form: card_results(folder, form, groups=6 if form == "class" else None) for form in FORMS
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_chapter_is_there_and_nothing_is_undefined(results, form):
    text = text_of(results[form])
    assert re.findall("^## (.*)", text, re.M) == CHAPTERS
    assert text.startswith("# Model card: fsrf on built-in data\n")
    assert not re.search(r"\b(None|nan|inf)\b", text)
    assert text == text_of(results[form])


@pytest.mark.parametrize("form", FORMS)
def test_averages_have_every_figure_its_interval_and_all_floors(results, form):
    found = results[form]
    body = table(chapter(text_of(found), "Scores"), "figure")
    columns = family_of_results(found).columns
    rows = rows_of(found)
    places = [
        ("average", rows["average"]),
        ("mean of all conditions", rows["all_conditions"]),
        ("language+audio+vision", rows["language+audio+vision"]),
    ]
    expected = [(f"{place}: {c.title}", row, c) for place, row in places for c in columns]
    assert len(body) == len(expected) == 3 * len(columns)
    for cells, (title, row, column) in zip(body, expected, strict=True):
        ends = row["bootstrap"][column.metric]
        assert cells == {
            "figure": title,
            "model": figure(row["metrics"][column.metric], column.percent),
            "95 %": " .. ".join(figure(e, column.percent) for e in ends) if ends else "-",
            "best constant": figure(row["floor"][column.metric], column.percent),
            "length": figure(row["floors"]["length"][column.metric], column.percent),
            "ridge": figure(row["floors"]["ridge"][column.metric], column.percent),
        }


@pytest.mark.parametrize("form", FORMS)
def test_every_condition_has_its_headline_figure_beside_the_floors(results, form):
    found = results[form]
    body = table(chapter(text_of(found), "Scores"), "condition")
    headline, *others = family_of_results(found).columns
    assert len(body) == 19
    for cells, (name, row) in zip(body, rows_of(found).items(), strict=True):
        assert cells["condition"].split(" (")[0] == name.replace("_", " ")
        assert cells[headline.title] == figure(row["metrics"][headline.metric], True)
        low, high = row["bootstrap"][headline.metric]
        assert cells["95 %"] == f"{figure(low, True)} .. {figure(high, True)}"
        assert cells["best constant"] == figure(row["floor"][headline.metric], True)
        assert cells["ridge"] == figure(row["floors"]["ridge"][headline.metric], True)
        missing = [row["missing"][kind] for kind in ("frames", "modalities")]
        assert cells["missing"] == " / ".join(figure(share, True) for share in missing)
        for column in others:
            assert cells[column.title] == figure(row["metrics"][column.metric], column.percent)


def test_without_intervals_there_is_no_column_for_them(tmp_path):
    text = text_of(card_results(tmp_path, resamples=0))
    assert "95 %" not in text
    assert "Intervals: none were computed." in text


def test_what_is_predicted(results, tmp_path):
    def predicts(found):
        return re.search("^- Predicts: (.*)$", text_of(found), re.M)[1]

    lowest, highest = results["number"]["run"]["splits"]["train"]["labels"]
    assert predicts(results["number"]) == (
        "one number on the scale of the labels, as the data have them (data.label_shift 0); in "
        f"training from {lowest:.4g} to {highest:.4g}."
    )
    assert predicts(results["class"]) == (
        "the probability of each of 3 classes: sad, flat, glad. They are made of numbers, cut at "
        "-1, 0.5."
    )
    assert predicts(results["binary"]).startswith(
        "the probability of yes in each of 2 binary tasks: up, far_up."
    )
    changes = {"data.source": "file", "data.path": "x.npz", "data.label_shift": -3}
    shifted = card_results(tmp_path, changes={**changes, "task.kind": "gaussian"})
    words = "one number and its standard deviation on the scale of the labels, the data's plus -3 "
    assert predicts(shifted).startswith(words)


def test_inputs_and_selection(results, tmp_path):
    model = chapter(text_of(results["number"]), "Model")
    assert "language (32 features a frame), audio (16 features a frame), vision (20 " in model
    assert "Method: fsrf, " in model
    assert (
        "Checkpoint: that of epoch 4 of 9 (30 were asked for), which has the lowest validation "
        "error (mean over the protocol's conditions): 0.625, the mean absolute error on the split "
        "valid with fixed masks."
    ) in model
    assert "0.625, the cross-entropy on" in chapter(text_of(results["binary"]), "Model")
    found = card_results(tmp_path, changes={"training.epochs": 9})
    found["selection"] = "missingness"
    found["run"]["tokens"] = {"language": 500}
    model = chapter(text_of(found), "Model")
    assert "epoch 4 of 9, which" in model
    assert "error (under the training missingness): 0.625" in model
    assert "language (500 token ids)" in model


def test_data_and_their_splits(results):
    data = chapter(text_of(results["class"]), "Data")
    assert "- Fingerprint: abc." in data
    assert "- Samples trained on: 40." in data
    assert "built-in (data.source synthetic)" in data
    splits = results["class"]["run"]["splits"]
    names = ("sad", "flat", "glad")
    assert table(data, "split") == [
        {
            "split": name,
            "samples": str(split["samples"]),
            "groups": "6",
            "labels by class": ", ".join(
                f"{c} {n}" for c, n in zip(names, split["counts"][0], strict=True)
            ),
        }
        for name, split in splits.items()
    ]
    (_, _, test) = table(chapter(text_of(results["binary"]), "Data"), "split")
    up, far_up = (yes for _, yes in results["binary"]["run"]["splits"]["test"]["counts"])
    assert test["labels that are yes"] == f"up {up}, far_up {far_up}"
    (train, *_) = table(chapter(text_of(results["number"]), "Data"), "split")
    assert (train["groups"], train["labels"].count("..")) == ("-", 1)
    assert "bootstrap over groups of samples" in text_of(results["class"])
    assert "bootstrap over samples" in text_of(results["number"])


@pytest.mark.parametrize(
    ("licence", "line"),
    [
        ("", "- Licence of the data: not stated."),
        ("CC BY-NC 4.0", "- Licence of the data, as the user states it: CC BY-NC 4.0."),
    ],
)
def test_the_licence_is_what_the_user_states(tmp_path, licence, line):
    found = card_results(tmp_path, changes={"data.licence": licence})
    assert line in chapter(text_of(found), "Data").splitlines()


def test_a_file_is_named_and_folds_and_other_data_are(tmp_path):
    changes = {"data.source": "file", "data.path": "/home/me/mosi.pkl"}
    found = card_results(tmp_path, changes=changes)
    found["fold"] = {"number": 1, "of": 5, "train": 40}
    found["run"]["trained_on"]["fingerprint"] = "other"
    text = text_of(found)
    assert text.startswith("# Model card: fsrf on mosi.pkl\n")
    assert "- Source: mosi.pkl (data.source file)." in text
    assert "/home/me" not in text
    assert "Fold 1 (from 0) of 5" in text
    assert "Trained on other data, with the fingerprint other." in text
    assert "give those that it was trained on, with the fingerprint other." in text
    assert "in training from" not in text  # the labels at hand are not those of training


def test_people_and_random_numbers(results, tmp_path):
    synthetic = text_of(results["number"])
    assert "Any use on people" in chapter(synthetic, "Not intended")
    assert "no figure here says anything about people" in chapter(synthetic, "Limits")
    assert "of no person" in chapter(synthetic, "Personal data")
    changes = {"data.source": "file", "data.path": "x.npz"}
    real = text_of(card_results(tmp_path, changes=changes))
    assert "no prediction is a ground for one on its own" in chapter(real, "Not intended")
    assert "synthetic" not in chapter(real, "Limits")
    for text in (synthetic, real):
        personal = chapter(text, "Personal data")
        for word in ("is personal data", "Consent", "Purpose", "No decision about a person"):
            assert word in personal


def test_the_recipe_is_the_whole_configuration(tmp_path):
    changes = {
        "data.source": "file",
        "data.path": "/home/me/mosi.pkl",
        "method.name": "corrkd",
        "method.teacher": "/home/me/taught",
        "missing.subset_weights": {"audio+vision": 2.0, "language": 1.0},
        "evaluation.protocol": "/home/me/noisy.yaml",
    }
    found = card_results(tmp_path, changes=changes)
    found["run"]["config"]["evaluation"]["protocol"] = "noisy.yaml"
    last = chapter(text_of(found), "How to repeat it")
    recipe = re.search("<details>.*?```\n(.*?)\n```\n\n</details>", last, re.S)[1]
    assert yaml.safe_load(recipe) == found["run"]["config"]
    names = {"data.path": "mosi.pkl", "method.teacher": "taught"}
    expected = {**changes, **names, "evaluation.protocol": "noisy.yaml"}
    assert arguments.load(yaml.safe_load(recipe)) == arguments.load(expected)
    assert (
        "bin/train --config recipe.yaml --data.path DATA --method.teacher RUN_OF_THE_TEACHER "
        "--evaluation.protocol PROTOCOL.yaml --output.directory RUN"
    ) in last
    assert '\nmissing.subset_weights: {"audio+vision": 2.0, "language": 1.0}\n' in last
    assert "\ndata.path: mosi.pkl\n" in last


def test_program_seeds_and_digest(results):
    found = results["number"]
    text = text_of(found)
    last = chapter(text, "How to repeat it")
    assert "Trained by commit c0ffee; python 3.11.7, jax 0.10.2, fsrf-jax 0.1.0." in last
    assert "Evaluated by commit" in last
    assert "Training seed 7; mask seeds 0, 1, 5." in last
    assert "bin/train --config recipe.yaml --output.directory RUN\n" in last
    assert "Every setting has its default." in last
    assert found["masks_digest"] in chapter(text, "Evaluation")
    assert f"split test: {COUNT} samples, 17 conditions." in chapter(text, "Evaluation")


@pytest.mark.parametrize(
    ("commit", "words"),
    [
        (None, "commit unknown (no git checkout); python"),
        ("c0ffee-changed", "commit c0ffee, with changes that are not committed; python"),
    ],
)
def test_a_commit_may_be_unknown_or_not_all(results, commit, words):
    program = {**results["number"]["run"]["trained_by"], "commit": commit}
    run = results["number"]["run"]
    same = {**results["number"], "run": {**run, "trained_by": program, "evaluated_by": program}}
    last = chapter(text_of(same), "How to repeat it")
    assert f"Trained by {words}" in last
    assert "Evaluated by" not in last
    unknown = {**results["number"], "run": {**run, "trained_by": None}}
    assert "Trained by a program that nobody wrote down." in text_of(unknown)
