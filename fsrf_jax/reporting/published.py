"""Published figures of the field's test sets, with their sources and what speaks against them.

They are shown beside ours only where the labels prove that the test set is that one.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import yaml

from fsrf_jax.evaluation.comparison import spread_of
from fsrf_jax.evaluation.metrics.families import Column
from fsrf_jax.evaluation.results import AVERAGE, Results, family_of_results, rows_of
from fsrf_jax.reporting.document import Section, Table
from fsrf_jax.reporting.floor_tables import CONSTANT, floor_rows, has_floors
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.numbers import percent, spread_cell
from fsrf_jax.reporting.paper_table import AVERAGE_HEAD, columns_of


@dataclass(frozen=True)
class Published:
    """One table of the literature.

    Attributes:
        data: name of the test set.
        signs: its numbers of negative, positive and zero labels.
        protocol: under which the figures were measured.
        source: where it stands.
        shown: title of the figures.
        columns: heads.
        rows: figures by method, as printed.
    """

    data: str
    signs: tuple[int, int, int]
    protocol: str
    source: str
    shown: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]


@functools.cache
def published_tables() -> tuple[Published, ...]:
    """The tables of `published.yaml`."""
    text = files("fsrf_jax.reporting").joinpath("published.yaml").read_text("utf-8")
    return tuple(
        Published(
            **table
            | {
                "signs": tuple(table["signs"]),
                "columns": tuple(table["columns"]),
                "rows": {name: tuple(row) for name, row in table["rows"].items()},
            }
        )
        for table in yaml.safe_load(text)
    )


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


def published_table(results: Results, labels: np.ndarray) -> Published | None:
    """The published table of this protocol and test set; None unless the labels' counts prove it.

    Args:
        results: of the evaluation.
        labels: [n] of the evaluated split.
    """
    if results["metrics"] != "mosi":
        return None
    signs = tuple(int(found.sum()) for found in (labels < 0, labels > 0, labels == 0))
    tables = published_tables()
    return next((t for t in tables if t.signs == signs and t.protocol == results["protocol"]), None)


def published_section(methods: Sequence[RunGroup]) -> Section | None:
    """Published figures with ours below; None where none belong to this test set and protocol."""
    first = methods[0].first
    found = published_table(first.results, first.evaluated.labels)
    if found is None:
        return None
    if first.results["protocol"] == "lnln":
        body, notes = _rates_rows(methods, found), [_FEATURES, *_OF_LNLN, _SPREAD]
    else:
        body, notes = _subset_rows(methods, found, first.evaluated.labels)
    source = f"Source: {found.source}. Rows marked “ours” are of this report."
    n = first.results["n"]
    counts = f"Shown because the {n} labels have the counts of {found.data}'s test set."
    caption = f"{found.data}, {found.shown}: published, and ours"
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
    if whole:
        row = rows_of(methods[0].first.results)[AVERAGE]
        body += [[f"{floor} (ours)", *cells] for floor, *cells in floor_rows([row], _LNLN_COLUMNS)]
    return body


def _modalities(results: Results) -> set[str]:
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
    # An average over fewer subsets, or another complete condition, is another figure.
    shown = {h: ours[h] for h in found.columns if h in ours and (whole or h != AVERAGE_HEAD)}
    for method in methods:
        spreads = {head: spread_of(method.evaluated, row, "f1_non0") for head, row in shown.items()}
        cells = {head: spread_cell(spread, column) for head, spread in spreads.items()}
        body.append([f"{method.name} (ours)", *(cells.get(head, "-") for head in found.columns)])
    family = family_of_results(results)
    constant = percent(family.floor(labels)["f1_non0"])
    body.append([f"{CONSTANT} (ours)", *[constant] * len(found.columns)])
    if has_floors(results):
        rows = [rows_of(results)[row] for row in shown.values()]
        for floor, *figures in floor_rows(rows, [column])[1:]:  # without the constant
            cells = dict(zip(shown, figures, strict=True))
            body.append([f"{floor} (ours)", *(cells.get(head, "-") for head in found.columns)])
    swapped = percent(family.swapped_floor(labels)["f1_non0_swapped"])
    body.append([f"{CONSTANT}, swapped F1", *[swapped] * len(found.columns)])
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
