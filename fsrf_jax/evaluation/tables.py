"""The results as a table, on the terminal and in Markdown, from the results dictionary alone."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fsrf_jax.evaluation.metrics import FAMILIES, Column, MetricFamily, Metrics

TOLERANCE = 1e-9

# What the row of a protocol's average is called.
AVERAGES = {"mean": "average", "area": "area", "none": "average"}


def terminal_table(results: Mapping[str, Any]) -> Group:
    """Lay the results out for `rich.print`; fits 80 columns with three modalities."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(_header(results)):
        table.add_column(name, justify="right" if index else "left", no_wrap=bool(index))
    body, averages = _rows(results)
    for row in body:
        table.add_row(*row, style="dim" if _is_marked(row[0]) else None)
    table.add_section()
    table.add_row()
    for row in averages:
        table.add_row(*row, style="bold")
    notes = Text("\n".join(_notes(results)), style="dim")
    return Group(Text(_title(results), style="bold"), Text(), table, Text(), notes)


def markdown_table(results: Mapping[str, Any]) -> str:
    """Write the same table as a Markdown document."""
    header = _header(results)
    body, averages = _rows(results)
    marked = [[f"**{cell}**" if cell else "" for cell in row] for row in averages]
    lines = ["|".join(row) for row in (header, ["---", *["---:"] * (len(header) - 1)])]
    lines += ["|".join(row) for row in (*body, *marked)]
    table = "\n".join(f"|{line}|" for line in lines)
    notes = "\n".join(f"- {note}" for note in _notes(results))
    return f"# {_title(results)}\n\n{table}\n\n{notes}\n"


def _title(results: Mapping[str, Any]) -> str:
    return f"Protocol {results['protocol']}, {results['split']} split"


def _family(results: Mapping[str, Any]) -> MetricFamily:
    return FAMILIES[results["form"]]


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
        label = entry["name"]
        if _observes_nothing(results, label):
            label += " (nothing seen)"
        elif _is_collapsed(entry["metrics"], entry["floor"], family.headline.metric):
            label += " (collapsed)"
        cells = _cells(entry, family, with_bayes)
        if with_bayes and _observes_nothing(results, entry["name"]):
            cells[-1] = "-"
        body.append([label, *cells])
    average = results["average"]
    averages = [["all conditions", *_cells(average["all_conditions"], family, with_bayes)]]
    if results["protocol_description"]["average"]["rule"] != "none":
        averages.insert(0, [_average_name(results), *_cells(average, family, with_bayes)])
    return body, averages


def _cells(entry: Mapping[str, Any], family: MetricFamily, with_bayes: bool) -> list[str]:
    """Figures of one row."""
    metrics, headline = entry["metrics"], family.headline
    cells = [_cell(metrics, column) for column in family.columns]
    cells.append(_cell(entry["floor"], headline))
    if with_bayes:
        best = entry.get("bayes", {}).get(headline.metric)
        found = metrics[headline.metric]
        cells += [_percent(best), _percent(found / best if best and found is not None else None)]
    return cells


def _cell(metrics: Metrics, column: Column) -> str:
    figure = metrics[column.metric]
    return _percent(figure) if column.percent else _number(figure)


def _notes(results: Mapping[str, Any]) -> list[str]:
    """Everything needed to read the table: counts, seeds, rules and marks."""
    family = _family(results)
    title = family.headline.title
    seeds = ", ".join(str(seed) for seed in results["mask_seeds"])
    notes = [
        f"{results['n']} samples. {family.explained.format_map(results)}",
        f"Mean over the mask seeds {seeds}; {_made_by(results)}.",
        f"{_average_name(results)}: {results['average_rule']}. all conditions: mean over all rows "
        "that show frames.",
        f"floor: {title} of the best constant prediction.",
        f"masks: {results['mask_law']}. Digest {results['masks_digest'][:16]}.",
    ]
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


def _is_collapsed(metrics: Metrics, floor: Metrics, headline: str) -> bool:
    found, least = metrics[headline], floor[headline]
    return found is not None and least is not None and found <= least + TOLERANCE


def _average_name(results: Mapping[str, Any]) -> str:
    return AVERAGES[results["protocol_description"]["average"]["rule"]]


def _made_by(results: Mapping[str, Any]) -> str:
    seed = results["training_seed"]
    return "predictions of another program" if seed is None else f"training seed {seed}"


def _observes_nothing(results: Mapping[str, Any], name: str) -> bool:
    listed = results["protocol_description"]["conditions"]
    return any(entry["name"] == name and entry.get("frame_rate", 0) >= 1 for entry in listed)


def _is_marked(label: str) -> bool:
    return label.endswith(")")


def _percent(figure: float | None) -> str:
    return "-" if figure is None else f"{100 * figure:.1f}"


def _number(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}"
