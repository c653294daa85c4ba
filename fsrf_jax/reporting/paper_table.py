"""The table as papers print it: rows are methods, columns conditions and their average, F1."""

import re
from collections.abc import Sequence

from fsrf_jax.evaluation.metrics.families import Column
from fsrf_jax.evaluation.results import AVERAGE, Results, family_of_results, rows_of
from fsrf_jax.reporting.comparison_tables import method_cell
from fsrf_jax.reporting.document import Table
from fsrf_jax.reporting.floor_tables import FITTED, floor_rows, has_floors
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.numbers import missing_cell
from fsrf_jax.reporting.results_tables import MISSING, title_of

AVERAGE_HEAD = "Avg"

_SHORT = {"language": "l", "audio": "a", "vision": "v"}

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


def columns_of(results: Results) -> dict[str, str]:
    """Heads of the columns and the rows of the results that they show.

    For the protocol `corrkd` the incomplete subsets, their average and the complete condition; for
    any other protocol its conditions and its average, where it has one.
    """
    described = results["protocol_description"]
    average = {AVERAGE_HEAD: AVERAGE} if results["average"]["weights"] else {}
    names = [condition["name"] for condition in described["conditions"]]
    if results["protocol"] != "corrkd":
        return {name: name for name in names} | average
    subsets = [c for c in described["conditions"] if c.get("frame_rate", 0) == 0]
    heads = {_subset_head(c["modalities"]): c["name"] for c in subsets}
    complete = max(subsets, key=lambda c: len(c["modalities"]))["name"]
    incomplete = {head: name for head, name in heads.items() if name != complete}
    whole = {head: name for head, name in heads.items() if name == complete}
    return {**incomplete, **average, **whole}


def _subset_head(modalities: Sequence[str]) -> str:
    """Modalities as papers write them: {l,a}."""
    return "{" + ",".join(_SHORT.get(m, m) for m in modalities) + "}"


def f1_column(results: Results) -> Column:
    """The column of F1 that papers print, whatever the labels are."""
    return next(column for column in family_of_results(results).columns if column.title == "F1")


def paper_table(methods: Sequence[RunGroup]) -> Table:
    """Rows methods and floors, columns conditions: F1 in percent, mean ± deviation over seeds."""
    results = methods[0].first.results
    column, columns = f1_column(results), columns_of(results)
    body = [
        [method.name, *(method_cell(method, row, column) for row in columns.values())]
        for method in methods
    ]
    rows = [rows_of(results)[row] for row in columns.values()]
    body += floor_rows(rows, [column])
    body.append(["missing", *map(missing_cell, rows)])
    seeds = "; ".join(f"{method.name}: {method.words}" for method in methods)
    notes = [
        f"{column.title} in percent ({column.metric}), weighted by the true classes; mean ± "
        f"standard deviation over training seeds where there are several. {seeds}.",
        f"{AVERAGE_HEAD}: {results['average_rule']}. Mean over the mask seeds "
        f"{', '.join(map(str, results['mask_seeds']))}; masks {results['masks_digest'][:16]}.",
        "*: collapsed to the floor in one training seed or more.",
        *([FITTED] if has_floors(results) else []),
        MISSING,
    ]
    caption = f"F1, {title_of(results)}, n = {results['n']}"
    return Table(caption, ["method", *columns], body, notes)


def latex_table(table: Table) -> str:
    """A table in LaTeX, with `\\toprule` and its kin of the package booktabs."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{latex_escaped(table.caption)}}}",
        f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        "\\toprule",
        _latex_row(table.header),
        "\\midrule",
        *map(_latex_row, table.rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
        *(f"% {note}" for note in table.notes),
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_escaped, cells)) + r" \\"


def latex_escaped(text: str) -> str:
    """Plain text as LaTeX shows it; a line that begins with a bracket is kept from being an option.

    Args:
        text: any text.
    """
    escaped = re.sub(r"[&%$#_{}\\~^±]", lambda found: _LATEX[found.group()], text)
    return f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped
