"""The chapter of the scores: tables of conditions, and curves over what is missing."""

import dataclasses
from collections.abc import Mapping, Sequence

from fsrf_jax.evaluation.comparison import Comparison
from fsrf_jax.reporting.comparison_tables import differences, method_table, side_by_side
from fsrf_jax.reporting.document import Block, Folded, Section
from fsrf_jax.reporting.floor_tables import floors_tables
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.results_plot import rate_curves
from fsrf_jax.reporting.results_tables import further_tables


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
        blocks += [side_by_side(methods), *differences(methods, comparisons)]
    blocks += floors_tables(methods[0].first.results)  # the same for all methods
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
        found: list[Block] = [
            dataclasses.replace(table, caption=f"{table.caption}{named}")
            for table in further_tables(method.first.results)
        ]
        blocks += found if len(methods) == 1 else [Folded(method.name, found)]
    return Section("Certainty, collapse, recovery, calibration", blocks)


def _run_name(method: RunGroup) -> str:
    several = len(method.runs) > 1
    return f"{method.name}, training seed {method.first.seed}" if several else method.name
