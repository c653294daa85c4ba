"""Figure of an ablation: the difference of every variant to the reference, with its interval."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsrf_jax.evaluation.metrics.families import family_of
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING
from fsrf_jax.files import replacing


def save_ablation_plot(path: Path, comparison: Mapping[str, Any]) -> None:
    """Draw the differences of the headline metric as a PNG, one line a variant.

    A point is the mean over the paired seeds, a bar its 95 % interval; filled points differ from 0
    at the 5 % level after Holm's correction.
    """
    from matplotlib.figure import Figure

    headline = family_of(comparison["metrics"], comparison["tasks"]).headline
    variants = [name for name in comparison["variants"] if name != comparison["reference"]]
    figure = Figure(figsize=(9.0, 1.6 + 0.32 * max(len(variants), 1)), layout="constrained")
    titles = _averaged_rows(comparison)
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for axes, (row, title) in zip(panels, titles.items(), strict=True):
        for height, name in enumerate(reversed(variants)):
            cell = comparison["variants"][name][row][headline.metric]
            if "difference" not in cell:
                continue
            if cell["low"] is not None:
                axes.plot(
                    [100 * cell["low"], 100 * cell["high"]], [height] * 2, color="0.4", lw=1.5
                )
            certain = cell["p"] is not None and cell["p"] < 0.05
            face = "black" if certain else "white"
            axes.plot(100 * cell["difference"], height, "o", color="black", markerfacecolor=face)
        axes.axvline(0, color="0.6", lw=1, linestyle=":")
        axes.set_yticks(range(len(variants)), list(reversed(variants)))
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel(f"{headline.title}, points more than {comparison['reference']}")
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    count = len(comparison["seeds"])
    figure.suptitle(
        f"Protocol {comparison['protocol']}, {comparison['split']} split, {count} training seeds"
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _averaged_rows(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Rows that stand for several conditions, and their titles; a protocol may have no average."""
    own = "area" if comparison["rule"] == "area" else "average"
    rows = comparison["variants"][comparison["reference"]]
    return {
        k: title for k, title in {AVERAGE: own, EVERYTHING: "all conditions"}.items() if k in rows
    }
