"""The plot over the missing rate."""

import subprocess
import sys

import matplotlib.image
import pytest
from evaluation_case import run_results
from matplotlib.axes import Axes

from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.reporting.results_plot import missing_rate_curve, save_plot


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
            ("bayes", f"Bayes ({family.oracle})"),
            ("metrics", "model"),
            ("floor", "best constant"),
        )
    ]
    assert drawn == expected


def test_plot_leaves_a_gap_for_an_undefined_figure(tmp_path):
    results = run_results()
    results["conditions"][9]["metrics"]["acc2_non0"] = None
    save_plot(tmp_path / "rates.png", results)
    assert (tmp_path / "rates.png").stat().st_size > 1000


def test_conditions_without_rates_stand_side_by_side(tmp_path, monkeypatch):
    results, drawn = run_results(), []
    results["conditions"] = results["conditions"][:7]
    assert missing_rate_curve(results) == []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, x, y, **style: (
        drawn.append(y), plot(axes, x, y, **style)))  # fmt: skip
    save_plot(tmp_path / "rates.png", results)
    assert drawn[1] == [100 * entry["metrics"]["acc2_non0"] for entry in results["conditions"]]


def test_matplotlib_is_not_imported_before_it_is_needed():
    program = (
        "import sys, fsrf_jax.reporting.results_plot as p; sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
