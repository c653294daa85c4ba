"""The chapter on training: every raw loss term and the validation error, epoch by epoch."""

import math
from collections.abc import Sequence
from typing import Any

from fsrf_jax.journal import describe_gaps
from fsrf_jax.reporting.document import Figure, Panel, Paragraph, Section
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.pictures import STYLES, Line, line_chart, panel, sample

TITLES = {"validation_error": "Validation error", "gradient_norm": "Norm of the gradient"}
NO_CURVES = ("epoch", "best_epoch", "bad_steps")
MOST_LINES = STYLES


def learning_section(methods: Sequence[RunGroup]) -> Section:
    """One small picture for the validation error and for each term; the first run of a method."""
    drawn = [method for method in methods if method.first.journal][:MOST_LINES]
    if not drawn:
        text = "No run folder has a metrics.jsonl, so that nothing is known of its training."
        return Section("Learning curves", [Paragraph(text)])
    names = dict.fromkeys(
        name for method in drawn for record in method.first.journal for name in record
    )
    # The validation error first: by it the network was selected.
    ordered = ["validation_error", *sorted(set(names) - {"validation_error", *NO_CURVES})]
    found = [name for name in ordered if any(_records(method, name) for method in drawn)]
    panels = [_panel(drawn, name) for name in found]
    legend = [(sample(style), method.name) for style, method in enumerate(drawn)]
    caption = (
        "Every raw loss term, before its weight, mean over each epoch, and the validation error. "
        "The mark is the epoch that was selected."
    )
    if any(len(method.runs) > 1 for method in drawn):
        caption += " Of several training seeds the first one."
    for method in drawn:
        epochs = {int(record["epoch"]) for record in method.first.journal}
        if gaps := describe_gaps(epochs, method.first.results.get("epochs_trained", 0)):
            caption += f" The metrics.jsonl of {method.name} {gaps}."
    if len(drawn) < len(methods):
        caption += f" {len(drawn)} of {len(methods)} methods."
    return Section("Learning curves", [Figure(caption, panels, legend if len(drawn) > 1 else ())])


def _panel(methods: Sequence[RunGroup], name: str) -> Panel:
    lines, told = [], []
    for style, method in enumerate(methods):
        records = _records(method, name)
        if not records:
            continue
        epochs = [float(record["epoch"]) for record in records]
        values = [float(record[name]) for record in records]
        best = method.first.results.get("best_epoch")
        marks = [place for place, epoch in enumerate(epochs) if epoch == best]
        lines.append(Line(method.name, epochs, values, style, marks=marks))
        told.append(
            f"{method.name} from {values[0]:.3g} in epoch {epochs[0]:g} to {values[-1]:.3g} in "
            f"epoch {epochs[-1]:g}"
        )
    return panel(TITLES.get(name, name), "; ".join(told), ("epoch", ""), line_chart, lines)


def _records(method: RunGroup, name: str) -> list[dict[str, Any]]:
    """The epochs whose figure of that name can be drawn."""
    journal = method.first.journal
    return [r for r in journal if r.get(name) is not None and math.isfinite(r[name])]
