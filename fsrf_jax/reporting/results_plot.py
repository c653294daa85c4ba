"""Plot of the score over what is missing, from the results dictionary alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsrf_jax.evaluation.results import Results, family_of_results
from fsrf_jax.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES: dict[str, dict[str, Any]] = {
    "bayes": {"label": "Bayes ({oracle})", "color": "0.45", "linestyle": "--", "marker": "s"},
    "metrics": {"label": "model", "color": "tab:blue", "linestyle": "-", "marker": "o"},
    "floor": {"label": "best constant", "color": "black", "linestyle": ":", "marker": ""},
}
# Conditions side by side are no line; the constant is the same for all.
POINTS = {
    name: style if name == "floor" else {**style, "linestyle": ""} for name, style in LINES.items()
}
RANGE: dict[str, Any] = {"color": LINES["metrics"]["color"]}


def save_plot(path: Path, results: Results) -> None:
    """Draw the panels of the results' family of metrics over the missing rate as a PNG.

    Lines of the Bayes-optimal prediction and of the best constant stand beside the model's; a
    shaded band is the range over the mask seeds. Conditions that do not differ in a rate stand
    side by side, with a bar for that range.
    """
    from matplotlib.figure import Figure

    curve = missing_rate_curve(results)
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    family = family_of_results(results)
    panels = figure.subplots(1, len(family.panels), sharey=True)
    for axes, (metric, title) in zip(panels, family.panels, strict=True):
        if len(curve) > 1:
            _draw(axes, curve, metric, title, family.oracle, LINES)
            axes.fill_between(*_range(curve, metric), **RANGE, alpha=0.2, lw=0)
            axes.set_xlabel(f"share of {_missing(results, curve)} missing")
            axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
        else:
            side_by_side = [(float(i), e) for i, e in enumerate(results["conditions"])]
            _draw(axes, side_by_side, metric, title, family.oracle, POINTS)
            axes.vlines(*_range(side_by_side, metric), **RANGE, lw=2)
            names = [entry["name"] for entry in results["conditions"]]
            axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize="small")
    panels[0].set_ylabel("percent")
    panels[0].legend(loc="lower left", frameon=False)
    figure.suptitle(f"Protocol {results['protocol']}, {results['split']} split, n = {results['n']}")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def missing_rate_curve(results: Results) -> list[tuple[float, Mapping[str, Any]]]:
    """Pick the conditions on the line of missing rates, (rate, condition), by rising rate.

    These differ in nothing else: the same modalities with another share of frames missing, or
    another share of modalities. The longest such line is taken; empty if none has two points.
    """
    lines: dict[tuple[str, ...], dict[float, Mapping[str, Any]]] = {}
    for entry in results["conditions"]:
        described = _described(results, entry["name"])
        if "modality_rate" in described:
            lines.setdefault((), {})[described["modality_rate"]] = entry
        elif "modalities" in described:
            line = lines.setdefault(tuple(described["modalities"]), {})
            line.setdefault(described["frame_rate"], entry)
    longest = max(lines, key=lambda key: (len(lines[key]), len(key)), default=())
    points = lines.get(longest, {})
    return sorted(points.items()) if len(points) > 1 else []


def _described(results: Results, name: str) -> Mapping[str, Any]:
    """What the protocol says of a condition."""
    listed = results["protocol_description"]["conditions"]
    return next(condition for condition in listed if condition["name"] == name)


def _missing(results: Results, curve: list[tuple[float, Mapping[str, Any]]]) -> str:
    described = _described(results, curve[0][1]["name"])
    return "modalities" if "modality_rate" in described else "frames"


def _draw(
    axes: "Axes",
    curve: list[tuple[float, Mapping[str, Any]]],
    metric: str,
    title: str,
    oracle: str,
    styles: Mapping[str, dict[str, Any]],
) -> None:
    """Draw one metric's lines or points; a figure that is undefined leaves a gap."""
    rates = [rate for rate, _ in curve]
    for source, style in styles.items():
        if all(source in entry for _, entry in curve):
            heights = [_percent(entry[source][metric]) for _, entry in curve]
            label = style["label"].format(oracle=oracle)
            axes.plot(rates, heights, markersize=4.5, **{**style, "label": label})
    axes.set_title(title, fontsize="medium")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _range(
    curve: list[tuple[float, Mapping[str, Any]]], metric: str
) -> tuple[list[float], list[float], list[float]]:
    """Rates, and the lowest and highest figure over the mask seeds."""
    seeds = [
        [_percent(table[metric]) for table in entry["metrics_per_mask_seed"]] for _, entry in curve
    ]
    return [rate for rate, _ in curve], [min(row) for row in seeds], [max(row) for row in seeds]


def _percent(figure: float | None) -> float:
    return float("nan") if figure is None else 100 * figure
