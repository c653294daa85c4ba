"""The plot over the missing rate."""

import dataclasses

import matplotlib.image
import numpy as np
import pytest
from evaluation_case import run_results
from matplotlib.axes import Axes
from report_case import labels_with, method_of

from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.results import rows_of
from fsrf_jax.reporting import results_plot
from fsrf_jax.reporting.results_plot import missing_rate_curve, rate_curves, save_plot


def test_curve_starts_with_all_modalities_and_rises():
    results = run_results()
    curve = missing_rate_curve(results)
    assert [rate for rate, _ in curve] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert curve[0][1]["name"] == "language+audio+vision"
    assert curve[3][1]["name"] == "rate=0.3"


@pytest.mark.parametrize(
    ("with_oracle", "form"),
    [(True, "number"), (False, "number"), (True, "class"), (False, "binary")],
)
def test_plot_is_a_picture(tmp_path, with_oracle, form):
    save_plot(tmp_path / "rates.png", run_results(with_oracle, form))
    picture = matplotlib.image.imread(tmp_path / "rates.png")
    assert picture.shape[0] > 300
    assert picture.shape[1] > 800
    assert picture.std() > 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["rates.png"]


@pytest.mark.parametrize("form", FAMILIES)
def test_lines_are_the_figures_of_the_family(tmp_path, form, monkeypatch):
    results, drawn = run_results(form=form), []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, x, y, **style: (
        drawn.append((style["label"], y)), plot(axes, x, y, **style)))  # fmt: skip
    save_plot(tmp_path / "rates.png", results)
    family = FAMILIES[form]
    expected = [
        (label, [100 * entry[source][metric] for _, entry in missing_rate_curve(results)])
        for metric, _ in family.panels
        for source, label in (
            ("metrics", "model"),
            ("bayes", f"Bayes ({family.oracle})"),
            ("floor", "best constant"),
        )
    ]
    assert drawn == expected


def test_plot_leaves_a_gap_for_an_undefined_figure(tmp_path, monkeypatch):
    results, drawn = run_results(), []
    results["conditions"][9]["metrics"]["acc2_non0"] = None
    results["conditions"][9]["metrics_per_mask_seed"][0]["acc2_non0"] = None
    for kind in ("plot", "fill_between"):
        call = getattr(Axes, kind)
        monkeypatch.setattr(Axes, kind, lambda axes, x, *y, call=call, **style: (
            drawn.append(y), call(axes, x, *y, **style)))  # fmt: skip
    save_plot(tmp_path / "rates.png", results)
    (low, high), (heights,) = drawn[:2]
    for edge in (low, high, heights):
        assert [i for i, height in enumerate(edge) if np.isnan(height)] == [3]


def test_conditions_without_rates_stand_side_by_side(tmp_path, monkeypatch):
    results, drawn = run_results(), []
    results["conditions"] = results["conditions"][:7]
    assert missing_rate_curve(results) == []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, x, y, **style: (
        drawn.append(y), plot(axes, x, y, **style)))  # fmt: skip
    save_plot(tmp_path / "rates.png", results)
    assert drawn[0] == [100 * entry["metrics"]["acc2_non0"] for entry in results["conditions"]]


def lines_of_a_report(method, monkeypatch):
    lines = []
    drawn = results_plot.panel
    monkeypatch.setattr(results_plot, "panel", lambda *shown: (
        lines.append(shown[-1]), drawn(*shown))[1])  # fmt: skip
    assert len(rate_curves([method]).panels) == len(lines) == 2
    return lines[0]


def test_a_report_of_one_run_draws_the_lines_of_its_plot(tmp_path, monkeypatch):
    method, plotted = method_of(labels_with(12, 9, 2)), []
    monkeypatch.setattr(results_plot, "line_chart", lambda axes, lines, joined: (
        plotted.append(lines), axes.plot([], label="none")))  # fmt: skip
    save_plot(tmp_path / "rates.png", method.first.results)
    monkeypatch.undo()
    (model, *others), (first, *rest) = plotted[0], lines_of_a_report(method, monkeypatch)
    assert others == rest
    assert dataclasses.replace(model, name=first.name) == first


def test_several_seeds_have_a_band_of_one_deviation(monkeypatch):
    method = method_of(labels_with(12, 9, 2), seeds=(0, 1, 2))
    line = lines_of_a_report(method, monkeypatch)[0]
    curve = missing_rate_curve(method.first.results)
    assert line.x == [rate for rate, _ in curve]
    for place, (_, entry) in enumerate(curve):
        figures = [
            100 * rows_of(run.results)[entry["name"]]["metrics"]["acc2_non0"] for run in method.runs
        ]
        mean, std = np.mean(figures), np.std(figures, ddof=1)
        found = [line.low[place], line.y[place], line.high[place]]
        np.testing.assert_allclose(found, [mean - std, mean, mean + std], rtol=1e-12)
    assert np.ptp(line.high) > 0
