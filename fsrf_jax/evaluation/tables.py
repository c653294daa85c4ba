"""The results as a table, on the terminal and in Markdown, from the results dictionary alone."""

from collections.abc import Mapping
from typing import Any, Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fsrf_jax.evaluation.metrics import Metrics

Zeros = Literal["non0", "has0"]
"""Whether samples with label 0 are dropped or count as positive, in accuracy and F1."""

TOLERANCE = 1e-9


def terminal_table(results: Mapping[str, Any], zeros: Zeros = "non0") -> Group:
    """Lay the results out for `rich.print`; fits 80 columns with three modalities."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(_header(results, zeros)):
        table.add_column(name, justify="right" if index else "left", no_wrap=bool(index))
    body, averages = _rows(results, zeros)
    for row in body:
        table.add_row(*row, style="dim" if _is_marked(row[0]) else None)
    table.add_section()
    table.add_row()
    for row in averages:
        table.add_row(*row, style="bold")
    notes = Text("\n".join(_notes(results, zeros)), style="dim")
    return Group(Text(_title(results), style="bold"), Text(), table, Text(), notes)


def markdown_table(results: Mapping[str, Any], zeros: Zeros = "non0") -> str:
    """Write the same table as a Markdown document."""
    header = _header(results, zeros)
    body, averages = _rows(results, zeros)
    marked = [[f"**{cell}**" if cell else "" for cell in row] for row in averages]
    lines = ["|".join(row) for row in (header, ["---", *["---:"] * (len(header) - 1)])]
    lines += ["|".join(row) for row in (*body, *marked)]
    table = "\n".join(f"|{line}|" for line in lines)
    notes = "\n".join(f"- {note}" for note in _notes(results, zeros))
    return f"# {_title(results)}\n\n{table}\n\n{notes}\n"


def _title(results: Mapping[str, Any]) -> str:
    return f"Protocol {results['protocol']}, {results['split']} split"


def _header(results: Mapping[str, Any], zeros: Zeros) -> list[str]:
    columns = ["condition", "Acc2", "F1", "MAE", "Corr", "Acc7", "floor"]
    return [*columns, "Bayes", "share"] if _has_bayes(results) else columns


def _has_bayes(results: Mapping[str, Any]) -> bool:
    return any("bayes" in entry for entry in results["conditions"])


def _rows(results: Mapping[str, Any], zeros: Zeros) -> tuple[list[list[str]], list[list[str]]]:
    """Cells of the conditions' rows, and of the averages' rows."""
    with_bayes = _has_bayes(results)
    accuracy = f"acc2_{zeros}"
    body = []
    for entry in results["conditions"]:
        label = entry["name"]
        if _observes_nothing(label):
            label += " (nothing seen)"
        elif _is_collapsed(entry["metrics"], entry["floor"], accuracy):
            label += " (collapsed)"
        cells = _cells(entry, zeros, with_bayes)
        if with_bayes and _observes_nothing(entry["name"]):
            cells[-1] = "-"
        body.append([label, *cells])
    average = results["average"]
    averages = [
        ["average", *_cells(average, zeros, with_bayes)],
        ["all conditions", *_cells(average["all_conditions"], zeros, with_bayes)],
    ]
    return body, averages


def _cells(entry: Mapping[str, Any], zeros: Zeros, with_bayes: bool) -> list[str]:
    """Figures of one row; accuracies and F1 in percent."""
    metrics, accuracy = entry["metrics"], f"acc2_{zeros}"
    cells = [
        _percent(metrics[accuracy]),
        _percent(metrics[f"f1_{zeros}"]),
        _number(metrics["mae"]),
        _number(metrics["corr"]),
        _percent(metrics["acc7"]),
        _percent(entry["floor"][accuracy]),
    ]
    if with_bayes:
        best = entry.get("bayes", {}).get(accuracy)
        found = metrics[accuracy]
        cells += [_percent(best), _percent(found / best if best and found is not None else None)]
    return cells


def _notes(results: Mapping[str, Any], zeros: Zeros) -> list[str]:
    """Everything needed to read the table: counts, seeds, rules and marks."""
    n, n_non0 = results["n"], results["n_non0"]
    seeds = ", ".join(str(seed) for seed in results["mask_seeds"])
    rule = {
        "non0": f"over the {n_non0} samples whose label is not 0",
        "has0": f"over all {n} samples, label 0 counted as positive",
    }[zeros]
    notes = [
        f"{n} samples. Acc2 and F1 {rule}; F1 weighted by the true classes. "
        "All but MAE and Corr in percent; - is undefined.",
        f"Mean over the mask seeds {seeds}; training seed {results['training_seed']}.",
        f"average: {results['average_rule']}. all conditions: mean over all rows but rate=1.0.",
        "floor: Acc2 of the best constant prediction.",
    ]
    if _has_bayes(results):
        notes.append(
            "Bayes: Acc2 of the best possible prediction on the same samples and masks; "
            "share: Acc2 / Bayes."
        )
    labels = [row[0] for row in _rows(results, zeros)[0]]
    if any("(nothing seen)" in label for label in labels):
        notes.append(
            "nothing seen: a sanity row. Every frame is missing, so every model must be constant."
        )
    if any("(collapsed)" in label for label in labels):
        notes.append("collapsed: Acc2 is no better than the floor.")
    return notes


def _is_collapsed(metrics: Metrics, floor: Metrics, accuracy: str) -> bool:
    found, least = metrics[accuracy], floor[accuracy]
    return found is not None and least is not None and found <= least + TOLERANCE


def _observes_nothing(name: str) -> bool:
    return name.startswith("rate=") and float(name.removeprefix("rate=")) >= 1


def _is_marked(label: str) -> bool:
    return label.endswith(")")


def _percent(figure: float | None) -> str:
    return "-" if figure is None else f"{100 * figure:.1f}"


def _number(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}"
