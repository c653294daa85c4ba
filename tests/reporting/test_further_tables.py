"""The tables beside the main one, from the results alone."""

import csv
import io

import numpy as np
import pytest
from evaluation_case import SEEDS, corrkd_at, make_split, observer, run
from rich.console import Console

from fsrf_jax.evaluation.evaluate import Gaussian, evaluate
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.results_csv import conditions_csv
from fsrf_jax.reporting.results_tables import brief_tables, results_document, tables
from fsrf_jax.reporting.terminal import terminal_results


def markdown_of(results):
    return to_markdown(results_document(results))


def _results(form="number", **options):
    return summarise(run(form=form), "test", 0, "abc", **options)


def _by_title(results):
    return {section.caption: section for section in tables(results)}


def _row(section, name):
    return dict(zip(section.header, next(r for r in section.rows if r[0] == name), strict=True))


@pytest.fixture(scope="module")
def binary():
    return _results("binary", resamples=40, compat=True)


def test_certainty_collapse_and_recovery_of_a_condition():
    results = _results(resamples=40)
    section = _by_title(results)["Certainty, collapse, recovery"]
    entry = results["conditions"][9]
    low, high = (f"{100 * end:.1f}" for end in entry["bootstrap"]["acc2_non0"])
    assert _row(section, "rate=0.3") == {
        "condition": "rate=0.3",
        "Acc2 95 %": f"{low} .. {high}",
        "masks": f"{100 * entry['metrics_std']['acc2_non0']:.1f}",
        "majority": f"{100 * entry['collapse']['majority_share']:.1f}",
        "above floor": f"+{100 * entry['collapse']['floor_distance']:.1f}",
        "variance": f"{entry['collapse']['variance']:.3f}",
        "recovery": f"{100 * entry['recovery']:.1f}",
    }
    assert _row(section, "vision (collapsed)")["majority"] == "100.0"
    assert _row(section, "average")["variance"] == ""
    assert "40 resamples" in markdown_of(results)
    low, high = (f"{100 * end:.1f}" for end in results["average"]["bootstrap"]["acc2_non0"])
    assert f"Acc2 of the average lies in {low} .. {high}" in markdown_of(results)


def test_without_resamples_no_interval_is_spoken_of():
    text = markdown_of(_results())
    assert "95 %" not in text
    assert "resamples" not in text


def test_each_task_has_its_f1(binary):
    section = _by_title(binary)["F1 by task"]
    assert section.header == ["condition", "task0", "task1"]
    figure = binary["conditions"][0]["metrics"]["f1_task1"]
    assert _row(section, "language")["task1"] == f"{100 * figure:.1f}"
    assert section.rows[-1][0] == "floor"


def test_compat_figures_are_called_so_in_every_row_and_asked_for(binary):
    section = _by_title(binary)["Compat figures"]
    assert all(row[0].endswith(", compat") for row in section.rows)
    figure = binary["average"]["compat"]["f1_swapped"]
    assert _row(section, "average, compat")["f1_swapped"] == f"{100 * figure:.1f}"
    floor = binary["conditions"][0]["compat_floor"]["f1_swapped"]
    assert section.rows[-1] == ["floor, compat", f"{100 * floor:.1f}"]
    assert "compat" not in markdown_of(_results("binary"))


def test_calibration_of_classes_and_of_gaussians():
    found = _by_title(_results("class"))["Calibration"]
    assert found.header == ["condition", "ECE", "confidence"]
    split, oracle = make_split(60)
    evaluation = evaluate(
        corrkd_at(0.5, 1.0),
        split,
        lambda observed: Gaussian(oracle.predict(observed), np.zeros(60)),
        SEEDS,
        observer(split),
    )
    results = summarise(evaluation, "test", 0, "abc")
    section = _by_title(results)["Calibration"]
    row = _row(section, "rate=0.5")
    calibration = results["conditions"][-2]["calibration"]
    assert row["NLL"] == f"{calibration['nll']:.3f}"
    assert row["90 %"] == f"{100 * calibration['coverage90']:.1f}"
    assert row["sharpness"] == "1.000"


def test_short_tables_are_on_the_terminal_and_fit_80_columns(binary):
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(terminal_results(binary))
    text = capture.get()
    for section in brief_tables(binary):
        assert section.caption in text
    assert [section.caption for section in brief_tables(binary)] == [
        "F1 by task",
        "Compat figures",
    ]
    assert max(map(len, text.splitlines())) <= 80
    assert "Certainty" not in text


def test_what_was_missing_stands_beside_what_conditions_are_called():
    main = tables(_results())[0]
    found = {row[0]: dict(zip(main.header, row, strict=True))["missing"] for row in main.rows}
    assert found["audio"].endswith(" / 66.7")
    assert found["language+audio+vision"] == "0.0 / 0.0"
    assert found["rate=1.0 (nothing seen)"] == "100.0 / 100.0"
    assert 29 < float(found["rate=0.3"].split(" / ")[0]) < 31
    rates = [float(found[f"rate=0.{r}"].split(" / ")[0]) for r in range(1, 10)]
    subsets = [float(cell.split(" / ")[1]) for name, cell in found.items() if "=" not in name][:7]
    every = [*subsets[:6], 0, *(float(found[f"rate=0.{r}"].split(" / ")[1]) for r in range(1, 10))]
    assert sum(rates) > 0
    assert float(found["average"].split(" / ")[1]) == pytest.approx(np.mean(subsets[:6]), abs=0.06)
    shown = float(found["all conditions"].split(" / ")[1])
    assert shown == pytest.approx(np.mean(every), abs=0.06)


def test_figures_of_every_class_stand_in_tables():
    results = _results("class")
    found = _by_title(results)
    for title, key in (("Precision", "precision"), ("Recall", "recall"), ("F1", "f1")):
        table = found[f"{title} by class"]
        assert table.header == ["condition", "class 0", "class 1", "class 2"]
        figure = results["conditions"][0]["classes"][1][key]
        assert _row(table, "language")["class 1"] == f"{100 * figure:.1f}"
        counts = [of_class["support"] for of_class in results["conditions"][0]["classes"]]
        assert table.rows[-1] == ["samples", *(f"{count:g}" for count in counts)]
    assert "-" in _row(found["Precision by class"], "vision (collapsed)").values()
    assert "Precision of yes by task" in _by_title(_results("binary"))


@pytest.mark.parametrize("form", ["number", "binary"])
def test_rows_of_conditions_and_mask_seeds_for_other_programs(form):
    results = _results(form)
    rows = list(csv.DictReader(io.StringIO(conditions_csv(results))))
    cells = [(entry, s) for entry in results["conditions"] for s in range(len(SEEDS))]
    assert len(rows) == len(cells) + len(results["conditions"])  # of the best constant
    for row, (entry, s) in zip(rows[: len(cells)], cells, strict=True):
        assert (row["condition"], row["mask_seed"]) == (entry["name"], str(SEEDS[s]))
        assert [row[k] for k in ("method", "training_seed", "split", "n")] == [
            "",
            "0",
            "test",
            "200",
        ]
        assert float(row["missing_frames"]) == entry["missing_per_mask_seed"][s]["frames"]
        assert float(row["missing_modalities"]) == entry["missing_per_mask_seed"][s]["modalities"]
        for name, figure in entry["metrics_per_mask_seed"][s].items():
            assert row[name] == ("" if figure is None else repr(figure))


def test_rows_of_the_floors_stand_below_those_of_the_run():
    results = _results()
    for entry in results["conditions"]:
        entry["floors"] = {"length": {**entry["floor"], "mae": 0.25}, "ridge": entry["bayes"]}
    rows = list(csv.DictReader(io.StringIO(conditions_csv(results))))[17 * len(SEEDS) :]
    wanted = [
        (f"floor: {name}", entry, figures)
        for name, key in (("best constant", None), ("length", "length"), ("ridge", "ridge"))
        for entry in results["conditions"]
        for figures in [entry["floors"][key] if key else entry["floor"]]
    ]
    for row, (method, entry, figures) in zip(rows, wanted, strict=True):
        assert (row["method"], row["condition"]) == (method, entry["name"])
        assert row["training_seed"] == row["mask_seed"] == ""
        assert (row["split"], row["n"]) == ("test", "200")
        assert float(row["missing_frames"]) == entry["missing"]["frames"]
        for name, figure in figures.items():
            assert row[name] == ("" if figure is None else repr(figure))
