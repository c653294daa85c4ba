"""Floors in tables: columns of the headline figure, and a table of all figures."""

from collections.abc import Sequence

from fsrf_jax.evaluation.floors import LENGTH, ONE, PER_CONDITION
from fsrf_jax.evaluation.metrics.families import Column, MetricFamily
from fsrf_jax.evaluation.results import (
    AVERAGE,
    EVERYTHING,
    Results,
    Row,
    family_of_results,
    rows_of,
)
from fsrf_jax.reporting.captions import least_missing, row_title
from fsrf_jax.reporting.document import Table
from fsrf_jax.reporting.numbers import shown

CONSTANT = "best constant"
HEADS = {ONE: "ridge", PER_CONDITION: "ridge/cond."}
BRIEF = {ONE: "ridge", PER_CONDITION: "/cond."}
"""Floors that have a column where there is room for a few, and where there is less."""

WORDS = {
    LENGTH: "ridge on the number of valid frames of each modality and its logarithm; it sees no "
    "feature and no mask",
    ONE: "one ridge on the mean observed frame of each modality, fitted to complete samples; a "
    "modality of which nothing is seen has the mean of training",
    PER_CONDITION: "the same, fitted anew under each condition, which it so knows",
}

FITTED = (
    f"Floors, fitted to the training split without a network: "
    f"{'; '.join(f'{floor}: {words}' for floor, words in WORDS.items())}. The strength of each fit "
    "is chosen on the validation split."
)


def has_floors(results: Results) -> bool:
    """Whether there are floors other than the best constant."""
    return "floors" in results["conditions"][0]


def floor_heads(results: Results, *, brief: bool = False) -> list[str]:
    """Heads of the columns of `floor_cells`."""
    return list((BRIEF if brief else HEADS).values()) if has_floors(results) else []


def floor_cells(results: Results, name: str) -> list[str]:
    """The headline figure of the floors of `HEADS` in a row of the results; empty without them."""
    row, headline = rows_of(results)[name], family_of_results(results).headline
    if not has_floors(results):
        return []
    return [shown(row["floors"][floor][headline.metric], headline) for floor in HEADS]


def floor_rows(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[str]]:
    """Rows of a table: the name of each floor, and all columns of the first row of results, ..

    Args:
        rows: of results.
        columns: that are shown of each.
    """
    figures = [
        ({CONSTANT: row["floor"], **row.get("floors", {})}, column)
        for row in rows
        for column in columns
    ]
    return [
        [floor, *(shown(found[floor][column.metric], column) for found, column in figures)]
        for floor in (CONSTANT, *(name for row in rows[:1] for name in row.get("floors", ())))
    ]


def floor_note(results: Results, *, brief: bool = False) -> str:
    """What the columns of floors are."""
    headline = family_of_results(results).headline
    constant = f"floor: {headline.title} of the best constant prediction"
    if not has_floors(results):
        return f"{constant}."
    figure = shown(results["conditions"][0]["floor"][headline.metric], headline)
    heads = (BRIEF if brief else HEADS).items()
    words = [f"{head}: {WORDS[floor]}" for floor, head in heads]
    return f"{constant}, {figure}. {headline.title} without a network: {'; '.join(words)}."


def floors_tables(results: Results) -> list[Table]:
    """Every figure of every floor, of the condition with the least missing and the averages."""
    if not has_floors(results):
        return []
    rows = rows_of(results)
    columns = _columns(family_of_results(results))
    body = [
        [f"{row_title(results, name, collapsed=False)}: {floor}", *cells]
        for name in (least_missing(results), AVERAGE, EVERYTHING)
        if name in rows
        for floor, *cells in floor_rows([rows[name]], columns)
    ]
    notes = [f"{CONSTANT}: figure by figure the best that any constant prediction gives.", FITTED]
    return [Table("Floors", ["floor", *(c.title for c in columns)], body, notes)]


def _columns(family: MetricFamily) -> list[Column]:
    """A column for each figure: those of the main table, then the others."""
    shown_already = {column.metric for column in family.columns}
    more = [Column(name, name) for name in family.names if name not in shown_already]
    return [*family.columns, *more]
