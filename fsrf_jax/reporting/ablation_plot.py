"""Figure of an ablation: the difference of every variant to the reference, with its interval."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsrf_jax.evaluation.metrics.families import family_of_results
from fsrf_jax.reporting.ablation_table import averaged_rows
from fsrf_jax.reporting.pictures import difference_chart, png


def save_ablation_plot(path: Path, comparison: Mapping[str, Any]) -> None:
    """Draw the differences of the headline metric as a PNG, one line a variant.

    A point is the mean over the paired seeds, a bar its 95 % interval; filled points differ from 0
    at the 5 % level after Holm's correction.
    """
    headline, reference = family_of_results(comparison).headline, comparison["reference"]
    variants = {name: v for name, v in comparison["variants"].items() if name != reference}
    titles = averaged_rows(comparison)
    with png(path, 860, 140 + 24 * len(variants)) as figure:
        panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        for axes, (row, title) in zip(panels, titles.items(), strict=True):
            cells = {name: rows[row][headline.metric] for name, rows in variants.items()}
            difference_chart(axes, cells)
            axes.set(title=title, xlabel=f"{headline.title}, points more than {reference}")
        seeds = f"{len(comparison['seeds'])} training seeds"
        figure.suptitle(f"Protocol {comparison['protocol']}, {comparison['split']} split, {seeds}")
