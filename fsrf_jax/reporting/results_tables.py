"""The results as a table, on the terminal and in Markdown, from the results dictionary alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as TerminalTable
from rich.text import Text

from fsrf_jax.evaluation.metrics.families import Column, MetricFamily, Metrics, family_of_results
from fsrf_jax.reporting.document import Table
from fsrf_jax.reporting.markdown import markdown_rows
from fsrf_jax.reporting.numbers import interval_cell, percent, shown
from fsrf_jax.reporting.sections import average_name, averages, brief_sections, row_name, sections


def terminal_table(results: Mapping[str, Any]) -> Group:
    """Lay the results out for `rich.print`; fits 80 columns with three modalities."""
    table = TerminalTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(_header(results)):
        table.add_column(name, justify="right" if index else "left", no_wrap=bool(index))
    body, means = _rows(results)
    for row in body:
        table.add_row(*row, style="dim" if _is_marked(row[0]) else None)
    table.add_section()
    table.add_row()
    for row in means:
        table.add_row(*row, style="bold")
    notes = Text("\n".join(_notes(results)), style="dim")
    more = [part for section in brief_sections(results) for part in _terminal_section(section)]
    return Group(Text(_title(results), style="bold"), Text(), table, Text(), notes, *more)


def main_section(results: Mapping[str, Any]) -> Table:
    """The same table for a document of another form; its last rows are `averages(results)`."""
    body, means = _rows(results)
    return Table(_title(results), _header(results), [*body, *means], _notes(results))


def _terminal_section(section: Table) -> list[RenderableType]:
    table = TerminalTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(section.header):
        table.add_column(name, justify="right" if index else "left")
    for row in section.rows:
        table.add_row(*row)
    notes = Text("\n".join(section.notes), style="dim")
    return [Text(), Text(section.caption, style="bold"), Text(), table, Text(), notes]


def markdown_table(results: Mapping[str, Any]) -> str:
    """Write the same table as a Markdown document."""
    header = _header(results)
    body, means = _rows(results)
    marked = [[f"**{cell}**" if cell else "" for cell in row] for row in means]
    parts = [
        f"# {_title(results)}",
        markdown_rows(header, [*body, *marked]),
        _listed(_notes(results)),
    ]
    for section in sections(results):
        parts += [f"## {section.caption}", markdown_rows(section.header, section.rows)]
        parts.append(_listed(section.notes))
    return "\n\n".join(parts) + "\n"


def _listed(notes: Sequence[str]) -> str:
    return "\n".join(f"- {note}" for note in notes)


def _title(results: Mapping[str, Any]) -> str:
    return f"Protocol {results['protocol']}, {results['split']} split"


def _family(results: Mapping[str, Any]) -> MetricFamily:
    return family_of_results(results)


def _header(results: Mapping[str, Any]) -> list[str]:
    titles = [column.title for column in _family(results).columns]
    return ["condition", *titles, "floor", *(["Bayes", "share"] if _has_bayes(results) else [])]


def _has_bayes(results: Mapping[str, Any]) -> bool:
    return any("bayes" in entry for entry in results["conditions"])


def _rows(results: Mapping[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
    """Cells of the conditions' rows, and of the averages' rows."""
    with_bayes = _has_bayes(results)
    family = _family(results)
    body = []
    for entry in results["conditions"]:
        cells = _cells(entry, family, with_bayes)
        if with_bayes and entry["collapse"]["sanity"]:
            cells[-1] = "-"
        body.append([row_name(entry), *cells])
    return body, [[name, *_cells(row, family, with_bayes)] for name, row in averages(results)]


def _cells(entry: Mapping[str, Any], family: MetricFamily, with_bayes: bool) -> list[str]:
    """Figures of one row."""
    metrics, headline = entry["metrics"], family.headline
    cells = [_cell(metrics, column) for column in family.columns]
    cells.append(_cell(entry["floor"], headline))
    if with_bayes:
        best = entry.get("bayes", {}).get(headline.metric)
        found = metrics[headline.metric]
        cells += [percent(best), percent(found / best if best and found is not None else None)]
    return cells


def _cell(metrics: Metrics, column: Column) -> str:
    return shown(metrics[column.metric], column)


def _notes(results: Mapping[str, Any]) -> list[str]:
    """Everything needed to read the table: counts, seeds, rules and marks."""
    family = _family(results)
    title = family.headline.title
    seeds = ", ".join(str(seed) for seed in results["mask_seeds"])
    notes = [
        f"{results['n']} samples. {family.explained.format_map(results)}",
        f"Mean over the mask seeds {seeds}; {_made_by(results)}.",
        f"{average_name(results)}: {results['average_rule']}. all conditions: mean over all rows "
        "that show frames.",
        f"floor: {title} of the best constant prediction.",
        f"masks: {results['mask_law']}. Digest {results['masks_digest'][:16]}.",
    ]
    if results["resamples"] and results["average"]["weights"]:
        interval = interval_cell(results["average"]["bootstrap"][family.headline.metric])
        name = average_name(results)
        notes.append(f"{title} of the {name} lies in {interval} (95 % bootstrap interval).")
    reported = [name for name in results["protocol_description"]["metrics"] if name in family.names]
    if reported:
        notes.append(f"Papers under this protocol report {', '.join(reported)}: see results.json.")
    if _has_bayes(results):
        notes.append(
            f"Bayes: {title} of the best possible prediction on the same samples and masks; "
            f"share: {title} / Bayes."
        )
    labels = [row[0] for row in _rows(results)[0]]
    if any("(nothing seen)" in label for label in labels):
        notes.append(
            "nothing seen: a sanity row. Every frame is missing, so every model must be constant."
        )
    if any("(collapsed)" in label for label in labels):
        notes.append(f"collapsed: {title} is no better than the floor.")
    return notes


def _made_by(results: Mapping[str, Any]) -> str:
    seed = results["training_seed"]
    return "predictions of another program" if seed is None else f"training seed {seed}"


def _is_marked(label: str) -> bool:
    return label.endswith(")")
