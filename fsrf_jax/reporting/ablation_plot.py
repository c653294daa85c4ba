"""Figure of an ablation: the difference of every variant to the reference, with its interval."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsrf_jax.evaluation.metrics.families import family_of
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING
from fsrf_jax.reporting.pictures import difference_chart, png


def save_ablation_plot(path: Path, comparison: Mapping[str, Any]) -> None:
    """Draw the differences of the headline metric as a PNG, one line a variant.

    A point is the mean over the paired seeds, a bar its 95 % interval; filled points differ from 0
    at the 5 % level after Holm's correction.
    """
    headline, reference = (
        family_of(comparison["metrics"], comparison["tasks"]).headline,
        comparison["reference"],
    )
    variants = {name: v for name, v in comparison["variants"].items() if name != reference}
    titles = _averaged_rows(comparison)
    with png(path, 860, 140 + 24 * len(variants)) as figure:
        panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        for axes, (row, title) in zip(panels, titles.items(), strict=True):
            cells = {name: rows[row][headline.metric] for name, rows in variants.items()}
            difference_chart(axes, cells)
            axes.set(title=title, xlabel=f"{headline.title}, points more than {reference}")
        seeds = f"{len(comparison['seeds'])} training seeds"
        figure.suptitle(f"Protocol {comparison['protocol']}, {comparison['split']} split, {seeds}")


def _averaged_rows(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Rows that stand for several conditions, and their titles; a protocol may have no average."""
    own = "area" if comparison["rule"] == "area" else "average"
    rows = comparison["variants"][comparison["reference"]]
    return {
        k: title for k, title in {AVERAGE: own, EVERYTHING: "all conditions"}.items() if k in rows
    }
