"""The score over what is missing: the PNG beside results, and the figure of a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.evaluation.comparison import spread_of
from fsrf_jax.evaluation.results import Results, family_of_results, rows_of
from fsrf_jax.reporting.document import Figure
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.pictures import STYLES, Line, line_chart, panel, png, sample

BAYES, FLOOR = STYLES - 2, STYLES - 1
"""Styles of what is no method."""

MOST_LINES = BAYES
"""Methods in one picture: as many as there are other styles."""

Curve = Sequence[tuple[float, Mapping[str, Any]]]
"""Positions and the results of their conditions."""


def save_plot(path: Path, results: Results) -> None:
    """Draw the panels of the results' family of metrics over the missing rate as a PNG.

    Lines of the Bayes-optimal prediction and of the best constant stand beside the model's; a
    shaded band is the range over the mask seeds. Conditions that do not differ in a rate stand
    side by side, with a bar for that range.
    """
    curve = missing_rate_curve(results)
    drawn = curve or [(float(i), entry) for i, entry in enumerate(results["conditions"])]
    family = family_of_results(results)
    with png(path, 860, 400) as figure:
        panels = figure.subplots(1, len(family.panels), sharey=True)
        for axes, (metric, title) in zip(panels, family.panels, strict=True):
            lines = [_run_line("model", drawn, metric, 0), *_references(results, drawn, metric)]
            line_chart(axes, lines, joined=bool(curve))
            axes.set(title=title, xlabel=_rate_label(results, curve))
            if not curve:
                names = [entry["name"] for entry in results["conditions"]]
                axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
        panels[0].set_ylabel("percent")
        panels[0].legend(loc="lower left", frameon=False)
        figure.suptitle(
            f"Protocol {results['protocol']}, {results['split']} split, n = {results['n']}"
        )


def rate_curves(methods: Sequence[RunGroup]) -> Figure | None:
    """The same of several methods; None if the protocol has no such line."""
    results = methods[0].first.results
    curve = missing_rate_curve(results)
    if not curve:
        return None
    shown = methods[:MOST_LINES]
    panels = []
    for metric, title in family_of_results(results).panels:
        lines = [_method_line(method, curve, metric, style) for style, method in enumerate(shown)]
        lines += _references(results, curve, metric)
        alt = "; ".join(map(_told, lines))
        labels = (_rate_label(results, curve), "percent")
        panels.append(panel(title, alt, labels, line_chart, lines))
    legend = [(sample(line.style, mark=line.marks is None), line.name) for line in lines]
    band = "one standard deviation over the training seeds, or, with one seed, the range over the "
    caption = f"Scores over the missing rate. Bands: {band}mask seeds."
    if len(methods) > len(shown):
        caption += f" The first {len(shown)} of {len(methods)} methods."
    return Figure(caption, panels, legend)


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


def _rate_label(results: Results, curve: Curve) -> str:
    if not curve:
        return ""
    described = _described(results, curve[0][1]["name"])
    return f"share of {'modalities' if 'modality_rate' in described else 'frames'} missing"


def _run_line(name: str, curve: Curve, metric: str, style: int) -> Line:
    """The figures of a run, and the lowest and highest over its mask seeds."""
    seeds = [
        [_percent(table[metric]) for table in entry["metrics_per_mask_seed"]] for _, entry in curve
    ]
    low, high = (list(map(float, end(seeds, axis=1))) for end in (np.min, np.max))
    heights = [_percent(entry["metrics"][metric]) for _, entry in curve]
    return Line(name, [at for at, _ in curve], heights, style, low, high)


def _method_line(method: RunGroup, curve: Curve, metric: str, style: int) -> Line:
    """The same of one run; of several their mean, and a standard deviation to each side."""
    if len(method.runs) == 1:
        own = [(at, rows_of(method.first.results)[entry["name"]]) for at, entry in curve]
        return _run_line(method.name, own, metric, style)
    spreads = [spread_of(method.evaluated, entry["name"], metric) for _, entry in curve]
    low, mean, high = (
        [_percent(s.mean, sign * (s.training_std or 0)) for s in spreads] for sign in (-1, 0, 1)
    )
    return Line(method.name, [at for at, _ in curve], mean, style, low, high)


def _references(results: Results, curve: Curve, metric: str) -> list[Line]:
    """The Bayes-optimal prediction and the best constant, where they are known."""
    oracle = family_of_results(results).oracle
    known = {"bayes": (f"Bayes ({oracle})", BAYES, None), "floor": ("best constant", FLOOR, ())}
    return [
        Line(
            name,
            [at for at, _ in curve],
            [_percent(entry[source][metric]) for _, entry in curve],
            style,
            marks=marks,
        )
        for source, (name, style, marks) in known.items()
        if all(source in entry for _, entry in curve)
    ]


def _told(line: Line) -> str:
    ends = [f"{v:.1f}" for v in line.y if not np.isnan(v)]
    return f"{line.name} from {ends[0]} to {ends[-1]} percent" if ends else f"{line.name} undefined"


def _percent(figure: float | None, more: float = 0) -> float:
    return np.nan if figure is None else 100 * (figure + more)
