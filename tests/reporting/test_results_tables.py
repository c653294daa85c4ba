"""The table, from the results alone."""

import json

import pytest
from evaluation_case import run_results
from rich.console import Console

from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.results_tables import results_document
from fsrf_jax.reporting.terminal import terminal_results


def markdown_of(results):
    return to_markdown(results_document(results))


@pytest.fixture(scope="module")
def results():
    return json.loads(json.dumps(run_results()))


def _terminal(results, width=80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(terminal_results(results))
    return capture.get()


def _markdown_rows(results) -> dict[str, list[str]]:
    main = markdown_of(results).split("\n## ")[0]
    lines = [line for line in main.splitlines() if line.startswith("|")]
    rows = [line.strip("|").replace("**", "").split("|") for line in lines]
    assert len({len(row) for row in rows}) == 1
    return {row[0]: row[1:] for row in rows}


def test_cells_are_the_figures_of_the_results(results):
    rows = _markdown_rows(results)
    assert rows["condition"] == [
        "missing",
        "Acc2",
        "F1",
        "MAE",
        "Corr",
        "Acc7",
        "floor",
        "Bayes",
        "share",
    ]
    entry = results["conditions"][3]
    metrics, accuracy = entry["metrics"], "acc2_non0"
    best = entry["bayes"][accuracy]
    assert rows["language+audio"][1:] == [
        f"{100 * metrics[accuracy]:.1f}",
        f"{100 * metrics['f1_non0']:.1f}",
        f"{metrics['mae']:.3f}",
        f"{metrics['corr']:.3f}",
        f"{100 * metrics['acc7']:.1f}",
        f"{100 * entry['floor'][accuracy]:.1f}",
        f"{100 * best:.1f}",
        f"{100 * metrics[accuracy] / best:.1f}",
    ]
    everything = results["average"]["all_conditions"]["metrics"]
    assert rows["all conditions"][1] == f"{100 * everything[accuracy]:.1f}"
    assert rows["average"][1] == f"{100 * results['average']['metrics'][accuracy]:.1f}"


@pytest.mark.parametrize(
    ("form", "titles", "metrics"),
    [
        ("class", ["WA", "UA", "F1", "CE"], ["accuracy", "balanced_accuracy", "f1"]),
        ("binary", ["Acc", "F1", "CE"], ["accuracy", "f1"]),
    ],
)
def test_cells_of_probabilities_are_the_figures_of_their_family(form, titles, metrics):
    results = run_results(form=form)
    rows = _markdown_rows(results)
    assert rows["condition"] == ["missing", *titles, "floor", "Bayes", "share"]
    entry = results["conditions"][3]
    found, best = entry["metrics"], entry["bayes"]["accuracy"]
    assert rows["language+audio"][1:] == [
        *(f"{100 * found[name]:.1f}" for name in metrics),
        f"{found['cross_entropy']:.3f}",
        f"{100 * entry['floor']['accuracy']:.1f}",
        f"{100 * best:.1f}",
        f"{100 * found['accuracy'] / best:.1f}",
    ]
    assert "vision (collapsed)" in rows
    text = _terminal(results)
    assert max(map(len, text.splitlines())) <= 80
    assert f"collapsed: {titles[0]} is no better than the floor." in text
    assert f"Bayes: {titles[0]} of the best possible prediction" in text
    assert "label is not 0" not in text


def test_a_condition_at_the_floor_is_collapsed_and_the_sanity_row_is_called_one(results):
    rows = _markdown_rows(results)
    assert "vision (collapsed)" in rows
    assert rows["vision (collapsed)"][4] == "-"
    assert "language (collapsed)" not in rows
    assert "language" in rows
    assert rows["rate=1.0 (nothing seen)"][-1] == "-"
    for text in (_terminal(results), markdown_of(results)):
        assert "collapsed: Acc2 is no better than the floor." in text
        assert "nothing seen: a sanity row." in text


def test_no_note_on_marks_that_are_not_there(results):
    entries = [entry for entry in results["conditions"] if entry["name"] == "language"]
    text = markdown_of({**results, "conditions": entries})
    assert "collapsed" not in text
    assert "nothing seen" not in text


def test_without_bayes_there_are_no_such_columns():
    results = run_results(with_oracle=False)
    assert _markdown_rows(results)["condition"][-1] == "floor"
    assert "Bayes" not in markdown_of(results)


def test_terminal_table_fits_80_columns_and_shows_every_row(results):
    text = _terminal(results)
    for line in text.splitlines():
        assert len(line.rstrip()) <= 80
    for entry in results["conditions"]:
        row = next(line for line in text.splitlines() if line.startswith(f"{entry['name']} "))
        assert f"{100 * entry['metrics']['acc2_non0']:.1f}" in row
    assert "…" not in text


def test_table_says_what_its_numbers_mean(results):
    for text in (_terminal(results, width=200), markdown_of(results)):
        assert "Protocol corrkd, test split" in text
        assert "mask seeds 0, 1, 5; training seed 11" in text
        assert "mean over the 6 incomplete modality subsets" in text
        assert "over the 193 samples whose label is not 0" in text


def test_undefined_accuracy_is_a_dash(results):
    entry = {**results["conditions"][0]}
    entry["metrics"] = dict.fromkeys(entry["metrics"])
    entry["bayes"] = entry["floor"] = entry["metrics"]
    rows = _markdown_rows({**results, "conditions": [entry]})
    assert rows["language"][1:] == ["-"] * 8
