"""Published figures of the field's test sets, with their sources and what speaks against them.

They are shown beside ours only where the labels prove that the test set is that one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsrf_jax.evaluation.comparison import spread_of
from fsrf_jax.evaluation.metrics.families import Column, family_of_results
from fsrf_jax.evaluation.results import AVERAGE
from fsrf_jax.reporting.document import Section, Table
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.numbers import percent, spread_cell
from fsrf_jax.reporting.paper_table import AVERAGE_HEAD, columns_of

SIGNS: dict[tuple[int, int, int], str] = {
    (379, 277, 30): "CMU-MOSI",
    (1350, 2284, 1025): "CMU-MOSEI",
}
"""Test sets by their numbers of negative, positive and zero labels."""


@dataclass(frozen=True)
class Published:
    """One table of the literature.

    Attributes:
        source: where it stands.
        shown: title of the figures.
        columns: heads.
        rows: figures by method, as printed.
    """

    source: str
    shown: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]


_SUBSETS = ("{l}", "{a}", "{v}", "{l,a}", "{l,v}", "{a,v}", AVERAGE_HEAD, "{l,a,v}")
_HRLF = "HRLF (NeurIPS 2024), Table 1; the other methods were run again by its authors"
_F1 = "F1 negative/positive"

TABLES: dict[tuple[str, str], Published] = {
    ("CMU-MOSI", "corrkd"): Published(
        _HRLF,
        _F1,
        _SUBSETS,
        {
            "Self-MM": (67.80, 40.95, 38.52, 69.81, 74.97, 47.12, 56.53, 84.64),
            "DMD": (68.97, 43.33, 42.26, 70.51, 68.45, 50.47, 57.33, 84.50),
            "MCTN": (75.21, 59.25, 58.57, 77.81, 74.82, 64.21, 68.31, 80.12),
            "GCNet": (80.91, 65.07, 58.70, 84.73, 83.58, 70.02, 73.84, 83.20),
            "CorrKD": (81.20, 66.52, 60.72, 83.56, 82.41, 73.74, 74.69, 83.94),
            "HRLF": (83.36, 69.47, 64.59, 83.82, 83.56, 75.62, 76.74, 84.15),
        },
    ),
    ("CMU-MOSEI", "corrkd"): Published(
        _HRLF,
        _F1,
        _SUBSETS,
        {
            "Self-MM": (71.53, 43.57, 37.61, 75.91, 74.62, 49.52, 58.79, 83.69),
            "DMD": (70.26, 46.18, 39.84, 74.78, 72.45, 52.70, 59.37, 84.78),
            "GCNet": (80.52, 66.54, 61.83, 81.96, 81.15, 69.21, 73.54, 82.35),
            "CorrKD": (80.76, 66.09, 62.30, 81.74, 81.28, 71.92, 74.02, 82.16),
            "HRLF": (82.05, 69.32, 64.90, 82.62, 81.09, 73.80, 75.63, 82.93),
        },
    ),
    ("CMU-MOSI", "lnln"): Published(
        "papers under the protocol of LNLN (LNLN, P-RMF, SemMSA)",
        "means over the rates 0.0 .. 0.9",
        ("Acc7", "Acc5", "Acc2", "MAE", "Corr"),
        {
            "MISA": (29.85, 33.08, 71.49, 1.085, 0.524),
            "Self-MM": (29.55, 34.67, 70.51, 1.070, 0.512),
            "TFR-Net": (29.54, 34.67, 68.15, 1.200, 0.459),
            "LNLN": (34.26, 38.27, 72.55, 1.046, 0.527),
            "P-RMF": (34.19, 38.50, 72.81, 1.038, 0.525),
            "SemMSA": (36.49, 40.93, 73.91, 1.011, 0.550),
        },
    ),
}
"""By test set and protocol."""

_LNLN_COLUMNS = (
    Column("Acc7", "acc7"),
    Column("Acc5", "acc5"),
    Column("Acc2", "acc2_non0"),
    Column("MAE", "mae", percent=False),
    Column("Corr", "corr", percent=False),
)

_FEATURES = (
    "Features differ from paper to paper and from ours (word vectors or BERT, other audio and "
    "vision): a difference between rows is not one between methods alone."
)
_SPREAD = "Training seeds spread by about one point on MOSI; smaller differences are noise."
_OF_LNLN = (
    "The code of LNLN chose its network on the test set, metric by metric, as its author confirms; "
    "ours is chosen on the validation split, once for all metrics.",
    "F1 is left out: until April 2025 the code of LNLN weighted it by the predicted classes, under "
    "which a constant prediction has 73.2 (zeros dropped) or 71.2 on MOSI.",
    "-: ours lacks a modality, so that its average is another figure.",
)

THREE = {"language", "audio", "vision"}


def identify(results: Mapping[str, Any], labels: np.ndarray) -> str | None:
    """The field's test set that labels are those of; None unless their counts prove it.

    Args:
        results: of the evaluation.
        labels: [n] of the evaluated split.
    """
    if results["metrics"] != "mosi":
        return None
    counts = ((labels < 0).sum(), (labels > 0).sum(), (labels == 0).sum())
    return SIGNS.get((int(counts[0]), int(counts[1]), int(counts[2])))


def published_section(methods: Sequence[RunGroup]) -> Section | None:
    """Published figures with ours below; None where none belong to this test set and protocol."""
    first = methods[0].first
    name = identify(first.results, first.evaluated.labels)
    found = TABLES.get((name or "", first.results["protocol"]))
    if name is None or found is None:
        return None
    if first.results["protocol"] == "lnln":
        body, notes = _rates_rows(methods, found), [_FEATURES, *_OF_LNLN, _SPREAD]
    else:
        body, notes = _subset_rows(methods, found, first.evaluated.labels)
    source = f"Source: {found.source}. Rows marked “ours” are of this report."
    counts = f"Shown because the {first.results['n']} labels have the counts of {name}'s test set."
    caption = f"{name}, {found.shown}: published, and ours"
    table = Table(caption, ["method", *found.columns], body, [source, counts, *notes])
    return Section("Published figures", [table])


def _rates_rows(methods: Sequence[RunGroup], found: Published) -> list[list[str]]:
    body = [
        [name, *(f"{v:.2f}" if v > 2 else f"{v:.3f}" for v in row)]
        for name, row in found.rows.items()
    ]
    whole = _modalities(methods[0].first.results) == THREE
    for method in methods:
        spreads = {c: spread_of(method.evaluated, AVERAGE, c.metric) for c in _LNLN_COLUMNS}
        cells = [spread_cell(spread, c) if whole else "-" for c, spread in spreads.items()]
        body.append([f"{method.name} (ours)", *cells])
    return body


def _modalities(results: Mapping[str, Any]) -> set[str]:
    """Every modality that a condition of the protocol shows."""
    described = results["protocol_description"]["conditions"]
    return {m for condition in described for m in condition.get("modalities", ())}


def _subset_rows(
    methods: Sequence[RunGroup], found: Published, labels: np.ndarray
) -> tuple[list[list[str]], list[str]]:
    body = [[name, *(f"{v:.2f}" for v in row)] for name, row in found.rows.items()]
    column = Column("F1", "f1_non0")
    results = methods[0].first.results
    ours = columns_of(results)
    whole = set(found.columns) == set(ours)
    for method in methods:
        cells = []
        for head in found.columns:
            # An average over fewer subsets, or another complete condition, is another figure.
            comparable = head in ours and (whole or head != AVERAGE_HEAD)
            runs = method.evaluated
            spread = spread_of(runs, ours[head], column.metric) if comparable else None
            cells.append("-" if spread is None else spread_cell(spread, column))
        body.append([f"{method.name} (ours)", *cells])
    family = family_of_results(results)
    floor = percent(family.floor(labels)["f1_non0"])
    swapped = percent(family.swapped_floor(labels)["f1_non0_swapped"])
    body.append(["best constant (ours)", *[floor] * len(found.columns)])
    body.append(["best constant, swapped F1", *[swapped] * len(found.columns)])
    notes = [
        _FEATURES,
        "The higher published {a}, {v} and {a,v} lie near the last row: what a constant gets where "
        "F1 is weighted by the predicted classes, as much public code has it. No code of the "
        "table was released, so nobody can tell; our F1 is weighted by the true classes.",
        _SPREAD,
    ]
    if not whole:
        notes.append("-: not measured here; ours lacks a modality, so that it has no such average.")
    return body, notes
