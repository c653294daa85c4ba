"""An ablation in words: variants side by side, from what `compare` and `compare_probes` give."""

from collections.abc import Mapping
from typing import Any

from fsrf_jax.evaluation.comparison import Spread
from fsrf_jax.evaluation.metrics.collapse import TOLERANCE, gain
from fsrf_jax.evaluation.metrics.families import Column, MetricFamily, Metrics, family_of_results
from fsrf_jax.evaluation.probes.measures import Figures
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING
from fsrf_jax.reporting.markdown import markdown_rows
from fsrf_jax.reporting.numbers import shown, signed, spread_cell, two_digits

EXPLAINED = {
    True: "Share of a code's variance that u (shared, relevant), w (private, relevant) or r "
    "(private, irrelevant) explains, of what the three explain together; `N: u and w`, of all the "
    "variance. H is homogeneous, S heterogeneous, N noise.",
    False: "R^2 of a linear probe for the label; accuracy of telling the modality from a code; "
    "linear CKA between codes of one modality. H is homogeneous, S heterogeneous, N noise.",
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
    over = f"Mean and standard deviation over the training seeds {names}"
    chance = ", with its 95 % interval; p: paired t-test, Holm's correction over the variants."
    if len(seeds) == 1:
        over = f"Training seed {names}"
        chance = "; one seed says nothing of chance: give --seeds 2 or more for intervals and p."
    notes = [
        f"{comparison['n']} samples. {over}; every run on the same masks "
        f"(mask seeds {', '.join(map(str, comparison['mask_seeds']))}).",
        f"difference: to {reference}, seed by seed{chance}",
        f"Average: {comparison['average_rule']}. All conditions: all that show a frame.",
        f"*: collapsed, {headline.title} is no better than the floor, the best constant prediction "
        f"({shown(floor[headline.metric], headline)}); where no frame is shown every model is "
        "constant.",
        "Figures but MAE and CE in percent.",
    ]
    return "\n".join([*lines, *(f"- {note}" for note in notes)]) + "\n"


def averaged_rows(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Rows that stand for several conditions, and their titles; a protocol may have no average."""
    own = {"mean": {AVERAGE: "average"}, "area": {AVERAGE: "area"}, "none": {}}
    return {**own[comparison["rule"]], EVERYTHING: "all conditions"}


def probes_section(comparison: Mapping[str, Any]) -> tuple[list[str], list[list[str]], str]:
    """Header, rows and note of the table of `compare_probes`."""
    variants = comparison["variants"]
    header = ["variant", *next(iter(variants.values()))]
    rows = [[name, *map(_shown, figures.values())] for name, figures in variants.items()]
    return header, rows, EXPLAINED[comparison["known_latents"]]


def _shown(cell: Figures) -> str:
    mean, std = two_digits(cell["mean"]), cell["std"]
    return mean if std is None else f"{mean} ± {two_digits(std)}"


def _matched_table(comparison: Mapping[str, Any]) -> str:
    columns, matched = family_of_results(comparison).columns, comparison["matched"]
    rows = {**matched["conditions"]}
    if matched["average"] is not None:
        rows["**area**" if matched["rule"] == "area" else "**average**"] = matched["average"]
    body = [
        [row, *(_mean_cell(cells[c.metric], c) for c in columns)] for row, cells in rows.items()
    ]
    return markdown_rows(["condition", *(column.title for column in columns)], body)


def _compared(family: MetricFamily) -> list[Column]:
    """The columns with differences: the headline, and the first that is no percentage."""
    plain = [column for column in family.columns if not column.percent]
    return [family.headline, *plain[:1]]


def _with_difference(cells: Mapping[str, Any], column: Column) -> list[str]:
    cell = cells[column.metric]
    if "difference" not in cell:
        return [_mean_cell(cell, column), "", ""]
    interval = ""
    if cell["low"] is not None:
        interval = f" [{signed(cell['low'], column)}, {signed(cell['high'], column)}]"
    p = "-" if cell["p"] is None else f"{cell['p']:.3f}"
    return [_mean_cell(cell, column), signed(cell["difference"], column) + interval, p]


def _mean_cell(cell: Mapping[str, Any], column: Column) -> str:
    return spread_cell(Spread(cell["mean"], cell["std"], None), column)


def _marked(cells: Mapping[str, Any], family: MetricFamily, floor: Metrics) -> str:
    """The headline figure, with a mark where it is no better than the floor."""
    headline = family.headline
    above = gain({headline.metric: cells[headline.metric]["mean"]}, floor, family)
    mark = " *" if above is not None and above <= TOLERANCE else ""
    return _mean_cell(cells[headline.metric], headline) + mark
