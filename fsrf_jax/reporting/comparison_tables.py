"""Methods side by side, and their differences to the first one: in reports and in ablations."""

from collections.abc import Mapping, Sequence
from typing import Any

from fsrf_jax.evaluation.comparison import Compared, Comparison, Spread, spread_of
from fsrf_jax.evaluation.metrics.families import Column
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING, Results, family_of_results, rows_of
from fsrf_jax.reporting.document import Block, Document, Folded, Section, Table
from fsrf_jax.reporting.floor_tables import floor_cells, floor_heads, floor_note
from fsrf_jax.reporting.material import RunGroup
from fsrf_jax.reporting.numbers import (
    interval_cell,
    missing_cell,
    p_value,
    percent,
    signed,
    spread_cell,
)
from fsrf_jax.reporting.results_tables import (
    MISSING,
    averaged,
    averages,
    bootstrapped,
    counted,
    has_bayes,
    main_table,
    row_title,
    title_of,
)

ONE_SEED = "one seed says nothing of chance: give --seeds 2 or more for intervals and p."


def ablation_document(
    methods: Sequence[RunGroup],
    comparisons: Mapping[str, Comparison],
    matched: Mapping[str, Any] | None,
    probes: Sequence[Table] = (),
) -> Document:
    """The variants of an ablation: averages with differences, then every condition.

    Args:
        methods: the variants; the first is the reference.
        comparisons: what `compare_methods` gave.
        matched: each variant under its own condition, see `match`.
        probes: tables of what the codes hold.
    """
    results = methods[0].first.results
    family = family_of_results(results)
    # The headline, and the first that is no percentage.
    columns = [family.headline, *[c for c in family.columns if not c.percent][:1]]
    blocks: list[Block] = [side_by_side(methods)]
    if comparisons:
        blocks = [t for c in columns for t in _averages(methods, comparisons, c)] + blocks
    blocks += probes
    if matched is not None:
        blocks.append(_matched(results, matched))
    sections = [Section("Variants", blocks)]
    return Document(f"Ablation, {title_of(results)}", [], sections)


def method_table(method: RunGroup) -> Table:
    """Every column under every condition: one run with its interval, or mean and spread."""
    results = method.first.results
    family, main = family_of_results(results), main_table(results)
    caption = f"{main.caption}: {method.name}"
    if len(method.runs) == 1:
        if not results["resamples"]:
            return Table(caption, main.header, main.rows, main.notes, main.strong)
        rows = [
            [*cells[:3], interval_cell(row["bootstrap"][family.headline.metric]), *cells[3:]]
            for cells, row in zip(main.rows, rows_of(results).values(), strict=True)
        ]
        header = [*main.header[:3], f"{family.headline.title} 95 %", *main.header[3:]]
        return Table(caption, header, rows, [*main.notes, bootstrapped(results)], main.strong)
    body = []
    for name, row in rows_of(results).items():
        spreads = [
            spread_cell(spread_of(method.evaluated, name, c.metric), c) for c in family.columns
        ]
        spreads[0] += collapse_mark(method, name)
        body.append(
            [_title(results, name), missing_cell(row), *spreads, *_references(results, name)]
        )
    header = ["condition", "missing", *(c.title for c in family.columns), *_heads(results)]
    notes = [f"Mean ± standard deviation over the {method.words}.", *_notes(results)]
    return Table(caption, header, body, notes, strong=averages(results))


def side_by_side(methods: Sequence[RunGroup]) -> Table:
    """The headline figure of every method under every condition."""
    results = methods[0].first.results
    headline = family_of_results(results).headline
    body = [
        [
            _title(results, name),
            missing_cell(row),
            *(method_cell(m, name, headline) for m in methods),
            *_references(results, name),
        ]
        for name, row in rows_of(results).items()
    ]
    header = ["condition", "missing", *(m.name for m in methods), *_heads(results)]
    runs = "; ".join(f"{m.name}: {m.words}" for m in methods)
    notes = [f"{runs}. Where there are several seeds: mean ± standard deviation over them."]
    caption = f"{headline.title}, {title_of(results)}"
    return Table(caption, header, body, [*notes, *_notes(results)], strong=averages(results))


def method_cell(method: RunGroup, row: str, column: Column) -> str:
    """A figure over the training seeds, with a mark where it is at the floor."""
    spread = spread_of(method.evaluated, row, column.metric)
    return spread_cell(spread, column) + collapse_mark(method, row)


def collapse_mark(method: RunGroup, row: str) -> str:
    """A star where any run of the method has fallen to the floor."""
    entries = [entry for run in method.runs for entry in run.results["conditions"]]
    return " *" if any(e["collapse"]["collapsed"] for e in entries if e["name"] == row) else ""


def differences(methods: Sequence[RunGroup], comparisons: Mapping[str, Comparison]) -> list[Block]:
    """Tables of every method's difference to the first: averages, then each condition.

    Args:
        methods: two or more.
        comparisons: what `compare_methods` gave.
    """
    family = family_of_results(methods[0].first.results)

    def blocks(column: Column) -> list[Block]:
        by_condition = _by_condition(methods, comparisons, column)
        return [*_averages(methods, comparisons, column), by_condition]

    others = [column for column in family.columns if column != family.headline]
    folded = [Folded(f"Differences in {column.title}", blocks(column)) for column in others]
    return [*blocks(family.headline), *folded]


def _averages(
    methods: Sequence[RunGroup], comparisons: Mapping[str, Comparison], column: Column
) -> list[Block]:
    """One table for each row that stands for several conditions, the notes under the last."""
    reference, results = methods[0].name, methods[0].first.results
    rows = list(rows_of(results))
    # Where a protocol has no average of its own the other one, or every condition, stands for it.
    rows = [row for row in rows if row in (AVERAGE, EVERYTHING)] or rows
    header = ["method", column.title, f"difference to {reference}", "95 % over seeds"]
    header += ["p over seeds", "95 % over samples", "p over samples", "within spread"]
    tables: list[Block] = []
    for row in rows:
        first = spread_cell(spread_of(methods[0].evaluated, row, column.metric), column)
        body = [[reference, first, *[""] * 6]]
        for name, comparison in comparisons.items():
            found = comparison[row][column.metric]
            body.append([name, spread_cell(found.score, column), *_chances(found, column)])
        caption = f"{column.title}, {row_title(results, row)}: differences to {reference}"
        notes = _difference_notes(results, methods) if row == rows[-1] else ()
        tables.append(Table(caption, header, body, notes))
    return tables


def _difference_notes(results: Results, methods: Sequence[RunGroup]) -> list[str]:
    unit = "samples" if results["unit"] == "sample" else "groups of samples"
    notes = [
        f"over samples: paired bootstrap over the test {unit}; over seeds: paired t-test over the "
        "training seeds, where both methods have the same two or more.",
        "within spread: the difference is smaller than the larger standard deviation over training "
        "seeds; with one seed each this is unknown, and the difference may be chance.",
        "Both p-values are corrected for the number of methods that are compared with the first "
        "(Holm).",
    ]
    alone = all(len(method.runs) == 1 for method in methods)
    return [*notes, *([f"Training seed {methods[0].first.seed}; {ONE_SEED}"] if alone else [])]


def _chances(found: Compared, column: Column) -> list[str]:
    seeds = found.seeds
    over_seeds = None if seeds is None or seeds.low is None else (seeds.low, seeds.high)
    return [
        signed(found.difference, column),
        _signed_interval(over_seeds, column),
        p_value(seeds.p if seeds else None),
        _signed_interval(found.samples, column),
        p_value(found.samples_p),
        {None: "unknown", True: "yes", False: "no"}[found.within_spread],
    ]


def _by_condition(
    methods: Sequence[RunGroup], comparisons: Mapping[str, Comparison], column: Column
) -> Table:
    results = methods[0].first.results
    body = [
        [
            _title(results, row),
            missing_cell(entry),
            *(_difference(found[row][column.metric], column) for found in comparisons.values()),
        ]
        for row, entry in rows_of(results).items()
    ]
    return Table(
        f"{column.title}: differences to {methods[0].name} by condition",
        ["condition", "missing", *comparisons],
        body,
        ["In brackets: 95 % bootstrap interval over the test samples, paired. ~: within spread."],
        strong=averages(results),
    )


def _difference(found: Compared, column: Column) -> str:
    if found.difference is None:
        return "-"
    mark = " ~" if found.within_spread else ""
    return f"{signed(found.difference, column)} ({_signed_interval(found.samples, column)}){mark}"


def _matched(results: Results, matched: Mapping[str, Any]) -> Table:
    columns = family_of_results(results).columns
    rows = dict(matched["conditions"])
    if matched["average"] is not None:
        rows[row_title(results, AVERAGE)] = matched["average"]
    body = [
        [row, *(spread_cell(Spread(**_mean_std(cells[c.metric])), c) for c in columns)]
        for row, cells in rows.items()
    ]
    header = ["condition", *(column.title for column in columns)]
    strong = int(matched["average"] is not None)
    return Table("Each variant under its own condition", header, body, strong=strong)


def _mean_std(cell: Mapping[str, float | None]) -> dict[str, Any]:
    return {"mean": cell["mean"], "training_std": cell["std"], "mask_std": None}


def _title(results: Results, row: str) -> str:
    return row_title(results, row, collapsed=False)


def _heads(results: Results) -> list[str]:
    return ["floor", *floor_heads(results), *(["Bayes"] if has_bayes(results) else [])]


def _references(results: Results, name: str) -> list[str]:
    """Cells of the floors and, where it is known, the best possible prediction."""
    row, metric = rows_of(results)[name], family_of_results(results).headline.metric
    bayes = [percent(row["bayes"][metric])] if "bayes" in row else []
    return [percent(row["floor"][metric]), *floor_cells(results, name), *bayes]


def _notes(results: Results) -> list[str]:
    title = family_of_results(results).headline.title
    seeds = ", ".join(str(seed) for seed in results["mask_seeds"])
    return [
        f"{counted(results)} Mean over the mask seeds {seeds}.",
        averaged(results),
        floor_note(results),
        f"*: collapsed, {title} is no better than the best constant in one training seed or more.",
        MISSING,
    ]


def _signed_interval(ends: Sequence[float | None] | None, column: Column) -> str:
    return "-" if ends is None else " .. ".join(signed(end, column) for end in ends)
