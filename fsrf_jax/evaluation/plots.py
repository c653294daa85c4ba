"""Plot of the score over the share of missing frames, from the results dictionary alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsrf_jax.evaluation.metrics import family_of_results
from fsrf_jax.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES: dict[str, dict[str, Any]] = {
    "bayes": {"label": "Bayes ({oracle})", "color": "0.45", "linestyle": "--", "marker": "s"},
    "metrics": {"label": "model", "color": "tab:blue", "linestyle": "-", "marker": "o"},
    "floor": {"label": "best constant", "color": "black", "linestyle": ":", "marker": ""},
}


def save_plot(path: Path, results: Mapping[str, Any]) -> None:
    """Draw the panels of the results' family of metrics over the missing rate as a PNG.

    Rate 0 is the condition with all modalities. Lines of the Bayes-optimal prediction and of the
    best constant stand beside the model's; a shaded band is the range over the mask seeds.

    Raises:
        ValueError: the results hold no condition named `rate=...`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curve = missing_rate_curve(results)
    if len(curve) < 2:
        raise ValueError("expected conditions named rate=..., found none to plot")
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    family = family_of_results(results)
    panels = figure.subplots(1, len(family.panels), sharey=True)
    for axes, (metric, title) in zip(panels, family.panels, strict=True):
        _draw(axes, curve, metric, title, family.oracle)
    panels[0].set_ylabel("percent")
    panels[0].legend(loc="lower left", frameon=False)
    figure.suptitle(f"Protocol {results['protocol']}, {results['split']} split, n = {results['n']}")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def missing_rate_curve(results: Mapping[str, Any]) -> list[tuple[float, Mapping[str, Any]]]:
    """Pick the conditions on the line of missing rates, (rate, condition), by rising rate."""
    subsets, points = [], []
    for entry in results["conditions"]:
        if entry["name"].startswith("rate="):
            points.append((float(entry["name"].removeprefix("rate=")), entry))
        else:
            subsets.append(entry)
    if subsets:
        points.append((0.0, max(subsets, key=lambda entry: entry["name"].count("+"))))
    return sorted(points, key=lambda point: point[0])


def _draw(
    axes: "Axes", curve: list[tuple[float, Mapping[str, Any]]], metric: str, title: str, oracle: str
) -> None:
    """Draw one metric's lines; a figure that is undefined leaves a gap."""
    rates = [rate for rate, _ in curve]
    for source, style in LINES.items():
        if all(source in entry for _, entry in curve):
            heights = [_percent(entry[source][metric]) for _, entry in curve]
            label = style["label"].format(oracle=oracle)
            axes.plot(rates, heights, markersize=4.5, **{**style, "label": label})
    seeds = [
        [_percent(table[metric]) for table in entry["metrics_per_mask_seed"]] for _, entry in curve
    ]
    lowest, highest = [min(row) for row in seeds], [max(row) for row in seeds]
    axes.fill_between(rates, lowest, highest, color=LINES["metrics"]["color"], alpha=0.2, lw=0)
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel("share of frames missing")
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _percent(figure: float | None) -> float:
    return float("nan") if figure is None else 100 * figure
