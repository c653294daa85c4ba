"""How rows and figures of methods are written in the tables of a report."""

from collections.abc import Mapping
from typing import Any

from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING, entry_of
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.sections import average_name


def row_title(results: Mapping[str, Any], row: str) -> str:
    """What a row is called: a condition, marked where nothing is seen, or an average."""
    if row in (AVERAGE, EVERYTHING):
        return average_name(results) if row == AVERAGE else "all conditions"
    return f"{row} (nothing seen)" if entry_of(results, row)["collapse"]["sanity"] else row


def collapse_mark(method: RunGroup, row: str) -> str:
    """A star where any run of the method has fallen to the floor."""
    entries = [entry_of(run.results, row) for run in method.runs]
    fallen = any(entry.get("collapse", {}).get("collapsed") for entry in entries)
    return " *" if fallen else ""
