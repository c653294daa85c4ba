"""The chapter on training: every raw loss term and the validation error, epoch by epoch."""

import math
from collections.abc import Sequence
from typing import Any

from fsrf_jax.reporting import svg
from fsrf_jax.reporting.document import Figure, Panel, Paragraph, Section
from fsrf_jax.reporting.material import RunGroup

TITLES = {"validation_error": "Validation error", "gradient_norm": "Norm of the gradient"}
NO_CURVES = ("epoch", "best_epoch")
MOST_LINES = svg.STYLES


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
    lines = [svg.Line(method.name, (), (), style) for style, method in enumerate(drawn)]
    legend = [(svg.line_sample(line), line.name) for line in lines]
    caption = (
        "Every raw loss term, before its weight, mean over each epoch, and the validation error "
        "under the training missingness. The mark is the epoch that was selected."
    )
    if any(len(method.runs) > 1 for method in drawn):
        caption += " Of several training seeds the first one."
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
        lines.append(svg.Line(method.name, epochs, values, style, marked=False))
        best = method.first.results.get("best_epoch")
        at = [(e, v) for e, v in zip(epochs, values, strict=True) if e == best]
        if at:
            lines.append(svg.Line(method.name, [at[0][0]], [at[0][1]], style))
        told.append(
            f"{method.name} from {values[0]:.3g} in epoch {epochs[0]:g} to {values[-1]:.3g} in "
            f"epoch {epochs[-1]:g}"
        )
    x = svg.axis_over([e for line in lines for e in line.x], "epoch")
    y = svg.axis_over([v for line in lines for v in line.y if v is not None], "")
    alt = "; ".join(told)
    return Panel(TITLES.get(name, name), svg.line_chart(lines, x, y, alt), alt)


def _records(method: RunGroup, name: str) -> list[dict[str, Any]]:
    """The epochs whose figure of that name can be drawn."""
    journal = method.first.journal
    return [r for r in journal if r.get(name) is not None and math.isfinite(r[name])]
