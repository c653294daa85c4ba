"""The chapter of predicted against true, condition by condition."""

from collections.abc import Sequence

import numpy as np

from fsrf_jax.evaluation.results import ConditionRow, Results, family_of_results
from fsrf_jax.reporting.document import Block, Figure, Folded, Section, Table
from fsrf_jax.reporting.material import Material, RunGroup
from fsrf_jax.reporting.numbers import percent
from fsrf_jax.reporting.pictures import panel, scatter_chart
from fsrf_jax.reporting.results_tables import row_title

OPEN = 4
"""Conditions that are shown without being asked for."""

COUNTS = "Numbers of samples, means over the mask seeds."

MOST_POINTS = 300
"""Points of one picture; more would hide each other."""


def answers_section(methods: Sequence[RunGroup]) -> Section:
    """Pictures for numbers, counts for classes and tasks; the first run of each method."""
    blocks: list[Block] = []
    shown = chosen(methods[0].first.results)
    for method in methods:
        run = method.first
        rest = [e["name"] for e in run.results["conditions"] if e["name"] not in shown]
        seeded = f", training seed {run.seed}" if run.seed is not None else ""
        words = f"{method.name}{seeded}"
        if run.results["form"] == "number":
            words += f", mask seed {run.results['mask_seeds'][0]}"
        blocks += _of_conditions(run, shown, words)
        if rest:
            summary = f"All other conditions of {method.name}"
            blocks.append(Folded(summary, _of_conditions(run, rest, words)))
    return Section("Predicted against true", blocks)


def chosen(results: Results) -> list[str]:
    """Conditions with the highest, middle and lowest headline figure, of those that show frames."""
    metric = family_of_results(results).headline.metric
    shown = [entry for entry in results["conditions"] if not entry["collapse"]["sanity"]]
    ranked = sorted(shown, key=lambda entry: -(entry["metrics"][metric] or 0.0))
    places = np.unique(np.linspace(0, len(ranked) - 1, min(OPEN, len(ranked))).round().astype(int))
    return [ranked[place]["name"] for place in places]


def _of_conditions(run: Material, names: Sequence[str], words: str) -> list[Block]:
    if run.results["form"] == "number":
        return [_figure(run, names, words)]
    rows = {entry["name"]: entry for entry in run.results["conditions"]}
    count = _confusion if run.results["form"] == "class" else _decisions
    return [count(rows[name], row_title(run.results, name), words) for name in names]


def _figure(run: Material, names: Sequence[str], words: str) -> Figure:
    labels = np.asarray(run.evaluated.labels, np.float64)
    first = {name: np.asarray(run.evaluated.predictions[name][0], np.float64) for name in names}
    # Evenly over the split: no draw, so that the same run gives the same picture.
    place = np.unique(np.linspace(0, len(labels) - 1, MOST_POINTS).round().astype(int))
    everything = np.concatenate([labels, *first.values()])
    within = np.array([[f(labels), f(everything)] for f in (np.min, np.max)])
    headline = family_of_results(run.results).headline
    entries = {entry["name"]: entry for entry in run.results["conditions"]}
    panels = []
    for name, predictions in first.items():
        score = percent(entries[name]["metrics_per_mask_seed"][0][headline.metric])
        alt = (
            f"labels from {labels.min():.3g} to {labels.max():.3g}, predictions from "
            f"{predictions.min():.3g} to {predictions.max():.3g}, {headline.title} {score} percent"
        )
        points = np.stack([labels, predictions], axis=1)[place]
        title = row_title(run.results, name)
        axes = ("true", "predicted")
        panels.append(panel(title, alt, axes, scatter_chart, {0: points}, within=within))
    some = f"{len(place)} of {len(labels)} samples" if len(place) < len(labels) else "all samples"
    caption = f"Predictions of {words}; {some}. On the dashed line they are right."
    return Figure(caption, panels)


def _confusion(row: ConditionRow, title: str, words: str) -> Table:
    """Counts of true classes (rows) and predicted ones (columns)."""
    names = [found["name"] for found in row["classes"]]
    body = [
        [name, *(f"{count:g}" for count in counts)]
        for name, counts in zip(names, np.round(row["confusion"], 1), strict=True)
    ]
    header = ["true", *(f"predicted {name}" for name in names)]
    return Table(f"{title}: confusion, {words}", header, body, [COUNTS])


def _decisions(row: ConditionRow, title: str, words: str) -> Table:
    """Counts of right and wrong answers of each binary task."""
    body = []
    for found, counts in zip(row["classes"], np.round(row["confusion"], 1), strict=True):
        (true_negative, false_positive), (false_negative, true_positive) = counts
        cells = true_positive, false_positive, false_negative, true_negative
        body.append([found["name"], *(f"{count:g}" for count in cells)])
    header = ["task", "true positive", "false positive", "false negative", "true negative"]
    return Table(f"{title}: decisions, {words}", header, body, [COUNTS])
