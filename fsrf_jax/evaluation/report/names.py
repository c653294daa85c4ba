"""How rows and figures of methods are written in the tables of a report."""

from collections.abc import Mapping
from typing import Any

from fsrf_jax.evaluation.comparison import Spread
from fsrf_jax.evaluation.metrics.families import Column
from fsrf_jax.evaluation.report.material import Method
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING, entry_of
from fsrf_jax.evaluation.sections import average_name, number, percent


def row_title(results: Mapping[str, Any], row: str) -> str:
    """What a row is called: a condition, marked where nothing is seen, or an average."""
    if row in (AVERAGE, EVERYTHING):
        return average_name(results) if row == AVERAGE else "all conditions"
    return f"{row} (nothing seen)" if entry_of(results, row)["collapse"]["sanity"] else row


def spread_cell(spread: Spread, column: Column) -> str:
    """Mean, and deviation over training seeds where there are several."""
    show = percent if column.percent else number
    if spread.training_std is None:
        return show(spread.mean)
    return f"{show(spread.mean)} ± {show(spread.training_std)}"


def collapse_mark(method: Method, row: str) -> str:
    """A star where any run of the method has fallen to the floor."""
    entries = [entry_of(run.results, row) for run in method.runs]
    fallen = any(entry.get("collapse", {}).get("collapsed") for entry in entries)
    return " *" if fallen else ""
