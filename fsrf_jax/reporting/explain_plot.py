"""Figure of what predictions owe to the modalities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsrf_jax.reporting.colours import COLOURS
from fsrf_jax.reporting.pictures import STYLES, png

SHOWN = 12
"""Samples that are shown one by one."""


@dataclass(frozen=True)
class Explained:
    """What is drawn.

    Attributes:
        what: is explained, such as "prediction".
        n: number of samples.
        mean: by modality, the mean of the absolute Shapley values.
        ids: of the samples that are shown.
        shapley: by modality, their Shapley values.
    """

    what: str
    n: int
    mean: Mapping[str, float]
    ids: Sequence[str]
    shapley: Mapping[str, Sequence[float]]


def save_explained(path: Path, explained: Explained) -> None:
    """Draw mean absolute Shapley values, and those of the first samples, as a PNG."""
    colours = {m: COLOURS[f"c{i % STYLES}"] for i, m in enumerate(explained.mean)}
    with png(path, 860, 150 + 24 * max(len(explained.ids), len(colours))) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 2))
        left.barh(list(colours), list(explained.mean.values()), color=list(colours.values()))
        left.invert_yaxis()
        left.set(xlabel="mean |Shapley value|", title=f"{explained.n} samples")
        rows = np.arange(len(explained.ids))
        height = 0.8 / len(colours)
        for i, (m, colour) in enumerate(colours.items()):
            right.barh(rows + i * height, explained.shapley[m], height, color=colour, label=m)
        right.axvline(0, color=COLOURS["soft"], linewidth=1)
        right.set_yticks(rows + 0.4 - height / 2, [_short(name) for name in explained.ids])
        right.invert_yaxis()
        right.set(xlabel=f"Shapley value of the {explained.what}", title="the first samples")
        right.legend()


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:17]}..."
