"""Methods against the first one: how large is the difference, and is it more than chance?"""

from collections.abc import Mapping, Sequence

from fsrf_jax.evaluation.comparison import Compared, Comparison, rows_of
from fsrf_jax.evaluation.metrics.families import Column, family_of_results
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING
from fsrf_jax.reporting.document import Block, Folded, Table
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.names import row_title
from fsrf_jax.reporting.numbers import signed, spread_cell


def differences(methods: Sequence[RunGroup], comparisons: Mapping[str, Comparison]) -> list[Block]:
    """Tables of every method's difference to the first: averages, then each condition.

    Args:
        methods: two or more.
        comparisons: what `compare_methods` gave.
    """
    first = methods[0].first
    family = family_of_results(first.results)
    rows = rows_of(first.evaluated)
    # Where a protocol has no average of its own the other one, or every condition, stands for it.
    averaged = [row for row in rows if row in (AVERAGE, EVERYTHING)] or rows
    blocks: list[Block] = _averages(methods, comparisons, averaged, family.headline)
    blocks.append(_by_condition(methods, comparisons, rows, family.headline))
    others = [column for column in family.columns if column != family.headline]
    blocks += [
        Folded(
            f"Differences in {column.title}",
            [
                *_averages(methods, comparisons, averaged, column),
                _by_condition(methods, comparisons, rows, column),
            ],
        )
        for column in others
    ]
    return blocks


def _averages(
    methods: Sequence[RunGroup],
    comparisons: Mapping[str, Comparison],
    rows: Sequence[str],
    column: Column,
) -> list[Block]:
    """One table for each row, the notes under the last."""
    reference, results = methods[0].name, methods[0].first.results
    header = ["method", column.title, f"difference to {reference}", "95 % over samples"]
    header += ["p over samples", "p over seeds", "within spread"]
    tables: list[Block] = []
    for row in rows:
        body: list[list[str]] = []
        for name, comparison in comparisons.items():
            found = comparison[row][column.metric]
            if not body:
                body.append([reference, spread_cell(found.reference, column), *[""] * 5])
            body.append([name, spread_cell(found.score, column), *_chances(found, column)])
        caption = f"{column.title}, {row_title(results, row)}: differences to {reference}"
        notes = _NOTES if row == rows[-1] else ()
        tables.append(Table(caption, header, body, notes))
    return tables


_NOTES = (
    "95 % and p over samples: paired bootstrap over the test samples; p over seeds: paired t-test "
    "over the training seeds, where both methods have the same two or more.",
    "within spread: the difference is smaller than the larger standard deviation over training "
    "seeds; with one seed each this is unknown, and the difference may be chance.",
    "Both p-values are corrected for the number of methods that are compared with the first "
    "(Holm), as in the tables of ablations.",
)


def _chances(found: Compared, column: Column) -> list[str]:
    seeds = found.seeds.p if found.seeds else None
    within = {None: "unknown", True: "yes", False: "no"}[found.within_spread]
    return [
        signed(found.difference, column),
        _interval(found, column),
        _p(found.samples_p),
        _p(seeds),
        within,
    ]


def _by_condition(
    methods: Sequence[RunGroup],
    comparisons: Mapping[str, Comparison],
    rows: Sequence[str],
    column: Column,
) -> Table:
    results = methods[0].first.results
    body = [
        [
            row_title(results, row),
            *(_difference(found[row][column.metric], column) for found in comparisons.values()),
        ]
        for row in rows
    ]
    reference = methods[0].name
    conditions = len(results["conditions"])
    return Table(
        f"{column.title}: differences to {reference} by condition",
        ["condition", *comparisons],
        body,
        ["In brackets: 95 % bootstrap interval over the test samples, paired. ~: within spread."],
        strong=len(rows) - conditions,
    )


def _difference(found: Compared, column: Column) -> str:
    if found.difference is None:
        return "-"
    mark = " ~" if found.within_spread else ""
    return f"{signed(found.difference, column)} ({_interval(found, column)}){mark}"


def _interval(found: Compared, column: Column) -> str:
    if found.samples is None:
        return "-"
    return " .. ".join(signed(end, column) for end in found.samples)


def _p(p: float | None) -> str:
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
