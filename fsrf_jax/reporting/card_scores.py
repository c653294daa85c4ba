"""The scores of a model card: beside the floors, and where the model is worse than these."""

from collections.abc import Mapping, Sequence

from fsrf_jax.evaluation.metrics.collapse import TOLERANCE
from fsrf_jax.evaluation.metrics.families import Column, MetricFamily
from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.results import (
    AVERAGE,
    EVERYTHING,
    Results,
    Row,
    family_of_results,
    rows_of,
)
from fsrf_jax.reporting.captions import (
    MISSING,
    averaged,
    averages,
    bootstrapped,
    counted,
    has_bayes,
    least_missing,
    row_title,
)
from fsrf_jax.reporting.document import Block, Table
from fsrf_jax.reporting.floor_tables import CONSTANT, FITTED, has_floors
from fsrf_jax.reporting.numbers import column_interval, missing_cell, shown

BEST = "Bayes"

FEW = 5
"""Fewer conditions than these are named as exceptions."""


def score_tables(results: Results) -> list[Block]:
    """Every figure of the averages, then the headline figure of every condition, with floors."""
    return [_summary(results), _conditions(results)]


def floors_of(row: Row) -> dict[str, Metrics]:
    """The figures of every floor, by its name."""
    return {CONSTANT: row["floor"], **row.get("floors", {})}


def _summary(results: Results) -> Table:
    """Every figure with its interval and all floors: averages, and with the least missing."""
    rows, family = rows_of(results), family_of_results(results)
    body = [
        [
            f"{_place(results, name)}: {column.title}",
            shown(rows[name]["metrics"][column.metric], column),
            *_interval(results, rows[name], column),
            *_references(results, rows[name], column),
        ]
        for name in (AVERAGE, EVERYTHING, least_missing(results))
        if name in rows
        for column in family.columns
    ]
    header = ["figure", "model", *_interval_head(results), *_reference_heads(results)]
    notes = [counted(results), averaged(results)]
    notes += [bootstrapped(results)] if results["resamples"] else []
    notes.append(f"{CONSTANT}: figure by figure the best that any constant prediction gives.")
    notes += [FITTED] if has_floors(results) else []
    if has_bayes(results):
        notes.append(f"{BEST}: the best possible prediction on the same samples and masks.")
    return Table("Averages, and with the least missing", header, body, notes)


def _conditions(results: Results) -> Table:
    """The headline figure with its interval and all floors, and the other figures."""
    family = family_of_results(results)
    headline = family.headline
    others = [column for column in family.columns if column != headline]
    body = [
        [
            row_title(results, name),
            missing_cell(row),
            shown(row["metrics"][headline.metric], headline),
            *_interval(results, row, headline),
            *_references(results, row, headline),
            *(shown(row["metrics"][column.metric], column) for column in others),
        ]
        for name, row in rows_of(results).items()
    ]
    header = ["condition", "missing", headline.title, *_interval_head(results)]
    header += [*_reference_heads(results), *(column.title for column in others)]
    notes = [f"Floors and interval are those of {headline.title}.", MISSING]
    if any(entry["collapse"]["collapsed"] for entry in results["conditions"]):
        notes.append(f"collapsed: {headline.title} is no better than that of the best constant.")
    title = f"{headline.title} under every condition"
    return Table(title, header, body, notes, strong=averages(results))


def _interval_head(results: Results) -> list[str]:
    return ["95 %"] if results["resamples"] else []


def _interval(results: Results, row: Row, column: Column) -> list[str]:
    if not results["resamples"]:
        return []
    return [column_interval(row["bootstrap"][column.metric], column)]


def _reference_heads(results: Results) -> list[str]:
    floors = floors_of(next(iter(rows_of(results).values())))
    return [*floors, *([BEST] if has_bayes(results) else [])]


def _references(results: Results, row: Row, column: Column) -> list[str]:
    found = [shown(figures[column.metric], column) for figures in floors_of(row).values()]
    return found + ([shown(row["bayes"][column.metric], column)] if has_bayes(results) else [])


def _place(results: Results, name: str) -> str:
    plain = row_title(results, name, collapsed=False)
    return "mean of all conditions" if name == EVERYTHING else plain


def beside_floors(results: Results) -> list[str]:
    """Which floors the model is worse than; then, floor by floor, in which figures and where."""
    family = family_of_results(results)
    unseen = {e["name"] for e in results["conditions"] if e["collapse"]["sanity"]}
    rows = {name: row for name, row in rows_of(results).items() if name not in unseen}
    floors = list(floors_of(next(iter(rows.values()))))
    worse, found = [], []
    for floor in floors:
        below, equal = (
            {c.title: _where(rows, floor, c, family, sign) for c in family.columns}
            for sign in (-1, 0)
        )
        unsure = {family.headline.title: _within(rows, floor, family)}
        worse += [floor] if any(below.values()) else []
        parts = {
            "worse in": _listed(results, rows, below),
            "equal in": _listed(results, rows, equal),
            "better, but with the floor inside the 95 % interval, in": _listed(
                results, rows, unsure
            ),
        }
        texts = [f"{words} {places}" for words, places in parts.items() if places]
        found += [f"Floor {floor}: {'; '.join(texts)}."] if texts else []
    counted_rows = ", not counting where nothing is seen" if unseen else ""
    if not worse:
        return [f"Worse than no floor in any figure ({', '.join(floors)}){counted_rows}.", *found]
    return [f"Worse than these floors in some figures{counted_rows}: {', '.join(worse)}.", *found]


def _where(
    rows: Mapping[str, Row], floor: str, column: Column, family: MetricFamily, sign: int
) -> list[str]:
    """Rows in which the model is worse than a floor (sign -1), equal to it (0) or better (1)."""
    better = -1 if column.metric in family.lower_is_better else 1
    found = []
    for name, row in rows.items():
        ours, other = row["metrics"][column.metric], floors_of(row)[floor][column.metric]
        if ours is None or other is None:
            continue
        gain = better * (ours - other)
        if (gain > TOLERANCE) - (gain < -TOLERANCE) == sign:
            found.append(name)
    return found


def _within(rows: Mapping[str, Row], floor: str, family: MetricFamily) -> list[str]:
    """Rows whose headline figure is better than a floor that its interval reaches."""
    metric, found = family.headline.metric, []
    for name in _where(rows, floor, family.headline, family, 1):
        ends, reached = rows[name].get("bootstrap", {}).get(metric), floors_of(rows[name])[floor]
        if ends is not None and ends[0] <= (reached[metric] or 0.0) <= ends[1]:
            found.append(name)
    return found


def _listed(results: Results, rows: Mapping[str, Row], places: Mapping[str, Sequence[str]]) -> str:
    """Figures, each with the rows where it is so; those of the same rows together."""
    titles: dict[str, list[str]] = {}
    for title, names in places.items():
        if names:
            titles.setdefault(_rows_in_words(results, rows, names), []).append(title)
    return ", ".join(f"{', '.join(of_rows)} ({words})" for words, of_rows in titles.items())


def _rows_in_words(results: Results, rows: Mapping[str, Row], names: Sequence[str]) -> str:
    """Rows by name, or by those that are not among them where these are fewer."""
    if len(names) == len(rows):
        return "everywhere"
    conditions = [name for name in rows if name in {e["name"] for e in results["conditions"]}]
    inside = [name for name in conditions if name in names]
    outside = [name for name in conditions if name not in names]
    if len(outside) < min(FEW, len(inside)):
        inside = ["every condition" + (f" but {', '.join(outside)}" if outside else "")]
    means = [_place(results, name) for name in names if name not in conditions]
    return ", ".join([*means, *inside])
