"""Variants of a method side by side: means over seeds, and paired differences to the first.

Everything is computed from the results files of runs that were evaluated on the same masks.
"""

from collections.abc import Mapping
from typing import Any

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation import evaluated
from fsrf_jax.evaluation.ablation.matched import match
from fsrf_jax.evaluation.ablation.probes import probes_section
from fsrf_jax.evaluation.metrics.collapse import TOLERANCE, gain
from fsrf_jax.evaluation.metrics.families import Column, MetricFamily, Metrics, family_of_results
from fsrf_jax.evaluation.metrics.statistics import holm, paired_difference
from fsrf_jax.evaluation.protocols.averages import mean_and_std
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING, Results, entry_of
from fsrf_jax.evaluation.sections import markdown_rows

Runs = Mapping[str, Mapping[int, Results]]
"""Results by variant and training seed; every variant has the same seeds."""

# What has to be equal for results to be compared.
SAME = (*evaluated.SAME, "n", "data_fingerprint")


def compare(runs: Runs) -> dict[str, Any]:
    """The table of an ablation; its first variant is the reference.

    Args:
        runs: results by variant and seed, at least one of each.

    Returns:
        What `ablation.json` holds: `reference`, `seeds`, `form`, and for every variant and row
        (each condition, `average`, `all_conditions`) each metric's `mean`, `std` (over seeds, None
        for one), and for all but the reference the paired `difference` to it with `low` and
        `high`, the ends of a 95 % interval, and `p`, corrected over the variants (Holm).
        Fractions; None is undefined.

        Where every variant bears the name of a condition, `matched` is the table of each under its
        own, see `fsrf_jax.evaluation.ablation.matched`; else None.

    Raises:
        RunError: the runs were not evaluated alike.
    """
    _check_alike(runs)
    variants = list(runs)
    reference, seeds = variants[0], sorted(runs[variants[0]])
    one = runs[reference][seeds[0]]
    names = family_of_results(one).names
    rows = [entry["name"] for entry in one["conditions"]] + [AVERAGE, EVERYTHING]
    table: dict[str, Any] = {variant: {row: {} for row in rows} for variant in variants}
    for row in rows:
        for metric in names:
            scores = {
                variant: [entry_of(runs[variant][seed], row)["metrics"][metric] for seed in seeds]
                for variant in variants
            }
            for variant, cell in _cells(scores, reference).items():
                table[variant][row][metric] = cell
    return {
        **{key: one[key] for key in SAME},
        "reference": reference,
        "seeds": seeds,
        "rule": one["protocol_description"]["average"]["rule"],
        "floor": one["conditions"][0]["floor"],  # the same under all
        "matched": match(runs, names),
        "variants": table,
    }


def ablation_markdown(comparison: Mapping[str, Any]) -> str:
    """The comparison as a Markdown document: averages with differences, then every condition.

    With the key `probes`, what `compare_probes` gives, the table of these stands there as well.
    """
    family = family_of_results(comparison)
    variants, reference = comparison["variants"], comparison["reference"]
    headline, seeds = family.headline, comparison["seeds"]
    lines = [f"# Ablation, protocol {comparison['protocol']}, {comparison['split']} split", ""]
    for row, title in averaged_rows(comparison).items():
        columns = _compared(family)
        header = ["variant", *(part for c in columns for part in (c.title, "difference", "p"))]
        body = [
            [name, *(part for c in columns for part in _with_difference(cells[row], c))]
            for name, cells in variants.items()
        ]
        lines += [f"## {title.capitalize()}", "", markdown_rows(header, body), ""]
    floor = comparison["floor"]
    rows = [row for row in variants[reference] if row not in (AVERAGE, EVERYTHING)]
    body = [
        [row, *(_marked(cells[row], family, floor) for cells in variants.values())] for row in rows
    ]
    lines += [
        f"## {headline.title} by condition",
        "",
        markdown_rows(["condition", *variants], body),
        "",
    ]
    if "probes" in comparison:
        header, body, note = probes_section(comparison["probes"])
        lines += ["## What the codes hold", "", markdown_rows(header, body), "", note, ""]
    if comparison["matched"] is not None:
        lines += ["## Each variant under its own condition", "", _matched_table(comparison), ""]
    names = ", ".join(str(seed) for seed in seeds)
    notes = [
        f"Mean and standard deviation over the training seeds {names}; every run on the same masks "
        f"(mask seeds {', '.join(map(str, comparison['mask_seeds']))}).",
        f"difference: to {reference}, seed by seed, with its 95 % interval; p: paired t-test, "
        "Holm's correction over the variants.",
        f"Average: {comparison['average_rule']}. All conditions: all that show a frame.",
        f"*: collapsed, {headline.title} is no better than the floor, the best constant prediction "
        f"({_floor(floor, headline)}); where no frame is shown every model is constant.",
        "Figures but MAE and CE in percent.",
    ]
    return "\n".join([*lines, *(f"- {note}" for note in notes)]) + "\n"


def averaged_rows(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Rows that stand for several conditions, and their titles; a protocol may have no average."""
    own = {"mean": {AVERAGE: "average"}, "area": {AVERAGE: "area"}, "none": {}}
    return {**own[comparison["rule"]], EVERYTHING: "all conditions"}


def _matched_table(comparison: Mapping[str, Any]) -> str:
    columns, matched = family_of_results(comparison).columns, comparison["matched"]
    rows = {**matched["conditions"]}
    if matched["average"] is not None:
        rows["**area**" if matched["rule"] == "area" else "**average**"] = matched["average"]
    body = [[row, *(_mean(cells[c.metric], c) for c in columns)] for row, cells in rows.items()]
    return markdown_rows(["condition", *(column.title for column in columns)], body)


def _check_alike(runs: Runs) -> None:
    first = next(iter(runs.values()))
    seeds = sorted(first)
    one = first[seeds[0]]
    for variant, by_seed in runs.items():
        if sorted(by_seed) != seeds:
            raise RunError(
                f"variant {variant!r}: found results of the seeds {sorted(by_seed)}, expected "
                f"{seeds}, those of the first variant: train the missing ones."
            )
        for seed, results in by_seed.items():
            for key in SAME:
                if results[key] != one[key]:
                    raise RunError(
                        f"variant {variant!r}, seed {seed}: {key} is {results[key]!r}, expected "
                        f"{one[key]!r} as in the first variant: differences would mean nothing."
                    )


def _cells(scores: Mapping[str, list[float | None]], reference: str) -> dict[str, dict[str, Any]]:
    """Mean, deviation and difference of one metric in one row, for every variant."""
    cells: dict[str, dict[str, Any]] = {}
    for variant, found in scores.items():
        cells[variant] = mean_and_std(found)
    base = scores[reference]
    for variant, found in scores.items():
        if variant == reference or None in found or None in base:
            continue
        difference = paired_difference(found, base)  # type: ignore[arg-type]
        cells[variant] |= {
            "difference": difference.mean,
            "low": difference.low,
            "high": difference.high,
            "p": difference.p,
        }
    corrected = holm({variant: cell.get("p") for variant, cell in cells.items()})
    for variant, cell in cells.items():
        if "p" in cell:
            cell["p"] = corrected[variant]
    return cells


def _compared(family: MetricFamily) -> list[Column]:
    """The columns with differences: the headline, and the first that is no percentage."""
    plain = [column for column in family.columns if not column.percent]
    return [family.headline, *plain[:1]]


def _with_difference(cells: Mapping[str, Any], column: Column) -> list[str]:
    cell = cells[column.metric]
    if "difference" not in cell:
        return [_mean(cell, column), "", ""]
    interval = ""
    if cell["low"] is not None:
        interval = f" [{_number(cell['low'], column, '+')}, {_number(cell['high'], column, '+')}]"
    p = "-" if cell["p"] is None else f"{cell['p']:.3f}"
    return [_mean(cell, column), _number(cell["difference"], column, "+") + interval, p]


def _mean(cell: Mapping[str, Any], column: Column) -> str:
    if cell["mean"] is None:
        return "-"
    spread = "" if cell["std"] is None else f" ± {_number(cell['std'], column)}"
    return _number(cell["mean"], column) + spread


def _floor(floor: Metrics, column: Column) -> str:
    figure = floor[column.metric]
    return "-" if figure is None else _number(figure, column)


def _marked(cells: Mapping[str, Any], family: MetricFamily, floor: Metrics) -> str:
    """The headline figure, with a mark where it is no better than the floor."""
    headline = family.headline
    above = gain({headline.metric: cells[headline.metric]["mean"]}, floor, family)
    mark = " *" if above is not None and above <= TOLERANCE else ""
    return _mean(cells[headline.metric], headline) + mark


def _number(figure: float, column: Column, sign: str = "") -> str:
    return f"{100 * figure:{sign}.1f}" if column.percent else f"{figure:{sign}.3f}"
