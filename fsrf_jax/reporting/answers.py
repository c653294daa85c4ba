"""The chapter of predicted against true, condition by condition."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fsrf_jax.evaluation.metrics.families import family_of_results
from fsrf_jax.reporting.document import Block, Figure, Folded, Section, Table
from fsrf_jax.reporting.material import Material, RunGroup
from fsrf_jax.reporting.numbers import percent
from fsrf_jax.reporting.pictures import panel, scatter_chart
from fsrf_jax.reporting.sections import row_name

OPEN = 4
"""Conditions that are shown without being asked for."""

MOST_POINTS = 300
"""Points of one picture; more would hide each other."""


def answers_section(methods: Sequence[RunGroup]) -> Section:
    """Pictures for numbers, counts for classes and tasks; the first run of each method."""
    blocks: list[Block] = []
    shown = chosen(methods[0].first.results)
    for method in methods:
        run = method.first
        rest = [e["name"] for e in run.results["conditions"] if e["name"] not in shown]
        seed = run.results["mask_seeds"][0]
        seeded = f", training seed {run.seed}" if run.seed is not None else ""
        words = f"{method.name}{seeded}, mask seed {seed}"
        blocks += _of_conditions(run, shown, words)
        if rest:
            summary = f"All other conditions of {method.name}"
            blocks.append(Folded(summary, _of_conditions(run, rest, words)))
    return Section("Predicted against true", blocks)


def chosen(results: dict[str, Any]) -> list[str]:
    """Conditions with the highest, middle and lowest headline figure, of those that show frames."""
    metric = family_of_results(results).headline.metric
    shown = [entry for entry in results["conditions"] if not entry["collapse"]["sanity"]]
    ranked = sorted(shown, key=lambda entry: -(entry["metrics"][metric] or 0.0))
    places = np.unique(np.linspace(0, len(ranked) - 1, min(OPEN, len(ranked))).round().astype(int))
    return [ranked[place]["name"] for place in places]


def _of_conditions(run: Material, names: Sequence[str], words: str) -> list[Block]:
    if run.results["form"] == "number":
        return [_figure(run, names, words)]
    count = _confusion if run.results["form"] == "class" else _decisions
    return [count(run, name, words) for name in names]


def _title(run: Material, name: str) -> str:
    entry = next(entry for entry in run.results["conditions"] if entry["name"] == name)
    return row_name(entry)


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
        title = row_name(entries[name])
        axes = ("true", "predicted")
        panels.append(panel(title, alt, axes, scatter_chart, {0: points}, within=within))
    some = f"{len(place)} of {len(labels)} samples" if len(place) < len(labels) else "all samples"
    caption = f"Predictions of {words}; {some}. On the dashed line they are right."
    return Figure(caption, panels)


def _confusion(run: Material, name: str, words: str) -> Table:
    """Counts of true classes (rows) and predicted ones (columns)."""
    predicted = run.evaluated.predictions[name][0].argmax(axis=-1)
    true = np.asarray(run.evaluated.labels).astype(int)
    classes = range(run.evaluated.predictions[name].shape[-1])
    body = [
        [f"class {row}", *(str(int(((true == row) & (predicted == c)).sum())) for c in classes)]
        for row in classes
    ]
    header = ["true", *(f"predicted {c}" for c in classes)]
    return Table(f"{_title(run, name)}: confusion, {words}", header, body)


def _decisions(run: Material, name: str, words: str) -> Table:
    """Counts of right and wrong answers of each binary task."""
    predicted = run.evaluated.predictions[name][0] > 0.5
    true = np.asarray(run.evaluated.labels) > 0.5
    outcomes = [true & predicted, ~true & predicted, true & ~predicted, ~true & ~predicted]
    body = [
        [task, *(str(int(found[:, index].sum())) for found in outcomes)]
        for index, task in enumerate(run.results["tasks"])
    ]
    header = ["task", "true positive", "false positive", "false negative", "true negative"]
    return Table(f"{_title(run, name)}: decisions, {words}", header, body)
