"""The chapter of the scores: tables of conditions, and curves over what is missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from fsrf_jax.evaluation.comparison import (
    Comparison,
    rows_of,
    spread_of,
)
from fsrf_jax.evaluation.metrics.families import family_of_results
from fsrf_jax.evaluation.results import entry_of
from fsrf_jax.reporting.differences import differences
from fsrf_jax.reporting.document import Block, Folded, Section, Table
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.names import collapse_mark, row_title
from fsrf_jax.reporting.numbers import interval_cell, percent, spread_cell
from fsrf_jax.reporting.results_plot import rate_curves
from fsrf_jax.reporting.results_tables import main_section
from fsrf_jax.reporting.sections import average_name, averages
from fsrf_jax.reporting.sections import sections as more_sections


def score_section(methods: Sequence[RunGroup], comparisons: Mapping[str, Comparison]) -> Section:
    """Tables of all methods, their differences to the first one, and curves.

    Args:
        methods: evaluated alike.
        comparisons: each method but the first compared with the first, by name.
    """
    blocks: list[Block] = []
    if len(methods) == 1:
        blocks.append(method_table(methods[0]))
    else:
        blocks += [_side_by_side(methods), *differences(methods, comparisons)]
    curves = rate_curves(methods)
    blocks += [curves] if curves else []
    if len(methods) > 1:
        blocks += [Folded(f"All figures of {m.name}", [method_table(m)]) for m in methods]
    return Section("Scores", blocks)


def certainty_section(methods: Sequence[RunGroup]) -> Section:
    """Intervals, collapse, recovery, calibration and compat figures of each method's first run."""
    blocks: list[Block] = []
    for method in methods:
        named = f", {_run_name(method)}" if len(methods) > 1 or len(method.runs) > 1 else ""
        tables: list[Block] = [
            Table(f"{part.caption}{named}", part.header, part.rows, part.notes)
            for part in more_sections(method.first.results)
        ]
        blocks += tables if len(methods) == 1 else [Folded(method.name, tables)]
    return Section("Certainty, collapse, recovery, calibration", blocks)


def method_table(method: RunGroup) -> Table:
    """Every column under every condition: one run with its interval, or mean and spread."""
    return _run_table(method) if len(method.runs) == 1 else _spread_table(method)


def _run_name(method: RunGroup) -> str:
    several = len(method.runs) > 1
    return f"{method.name}, training seed {method.first.seed}" if several else method.name


def _run_table(method: RunGroup) -> Table:
    """The table of results.md, with the interval of the headline figure beside it."""
    results = method.first.results
    main = main_section(results)
    headline = family_of_results(results).headline
    header, rows, notes = list(main.header), [list(row) for row in main.rows], list(main.notes)
    if results["resamples"]:
        entries = [*results["conditions"], *(entry for _, entry in averages(results))]
        header.insert(2, f"{headline.title} 95 %")
        for row, entry in zip(rows, entries, strict=True):
            row.insert(2, interval_cell(entry["bootstrap"][headline.metric]))
        notes.append(
            f"95 %: bootstrap interval over the test samples, {results['resamples']} resamples; "
            "what another training seed would change is not in it."
        )
    strong = len(averages(results))
    return Table(f"{main.caption}: {method.name}", header, rows, notes, strong)


def _spread_table(method: RunGroup) -> Table:
    results, family = method.first.results, family_of_results(method.first.results)
    rows = rows_of(method.first.evaluated)
    body = []
    for row in rows:
        entry = entry_of(results, row)
        cells = [spread_cell(spread_of(method.evaluated, row, c.metric), c) for c in family.columns]
        cells[0] += collapse_mark(method, row)
        cells.append(percent(entry["floor"][family.headline.metric]))
        if "bayes" in results["conditions"][0]:
            cells.append(percent(entry["bayes"][family.headline.metric]))
        body.append([row_title(results, row), *cells])
    header = ["condition", *(c.title for c in family.columns), "floor"]
    header += ["Bayes"] if "bayes" in results["conditions"][0] else []
    return Table(
        f"Protocol {results['protocol']}, {results['split']} split: {method.name}",
        header,
        body,
        [f"Mean ± standard deviation over the {method.words}.", *_notes(results)],
        strong=len(rows) - len(results["conditions"]),
    )


def _side_by_side(methods: Sequence[RunGroup]) -> Table:
    """The headline figure of every method under every condition."""
    results = methods[0].first.results
    headline = family_of_results(results).headline
    with_bayes = "bayes" in results["conditions"][0]
    rows = rows_of(methods[0].first.evaluated)
    body = []
    for row in rows:
        cells = [
            spread_cell(spread_of(m.evaluated, row, headline.metric), headline)
            + collapse_mark(m, row)
            for m in methods
        ]
        entry = entry_of(results, row)
        cells.append(percent(entry["floor"][headline.metric]))
        cells += [percent(entry["bayes"][headline.metric])] if with_bayes else []
        body.append([row_title(results, row), *cells])
    header = ["condition", *(m.name for m in methods), "floor", *(["Bayes"] if with_bayes else [])]
    told = "; ".join(f"{m.name}: {m.words}" for m in methods)
    notes = [f"{told}. Where there are several seeds: mean ± standard deviation over them."]
    return Table(
        f"{headline.title}, protocol {results['protocol']}, {results['split']} split",
        header,
        body,
        [*notes, *_notes(results)],
        strong=len(rows) - len(results["conditions"]),
    )


def _notes(results: Mapping[str, Any]) -> list[str]:
    title = family_of_results(results).headline.title
    return [
        *main_section(results).notes[:1],
        f"{average_name(results)}: {results['average_rule']}. all conditions: mean over all rows "
        "that show frames.",
        f"floor: {title} of the best constant prediction. *: collapsed, {title} is no better than "
        "the floor in one training seed or more.",
    ]
