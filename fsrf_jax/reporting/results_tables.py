"""The tables of one evaluation: scores, classes, certainty, calibration, figures of older code."""

import dataclasses
from collections.abc import Callable, Sequence

from fsrf_jax.evaluation.metrics.families import Column, MetricFamily
from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.results import (
    AVERAGE,
    ConditionRow,
    Results,
    Row,
    family_of_results,
    rows_of,
)
from fsrf_jax.reporting.captions import (
    MISSING,
    averaged,
    averages,
    bootstrapped,
    counted,
    has_bayes,
    made_by,
    row_title,
    selected,
    title_of,
)
from fsrf_jax.reporting.document import Document, Section, Table
from fsrf_jax.reporting.floor_tables import (
    floor_cells,
    floor_heads,
    floor_note,
    floors_tables,
    has_floors,
)
from fsrf_jax.reporting.numbers import interval_cell, missing_cell, number, percent, shown

CALIBRATION = {
    "nll": "NLL",
    "ece": "ECE",
    "confidence": "confidence",
    "coverage50": "50 %",
    "coverage80": "80 %",
    "coverage90": "90 %",
    "coverage95": "95 %",
    "sharpness": "sharpness",
}
"""Heads of the columns; which of them there are depends on the head of the network."""

PLAIN = ("nll", "sharpness")  # no percentages


def results_document(results: Results) -> Document:
    """All tables, as `results.md` has them."""
    main, *more = tables(results)
    sections = [Section(t.caption, [dataclasses.replace(t, caption="")]) for t in more]
    return Document(main.caption, [dataclasses.replace(main, caption="")], sections)


def tables(results: Results) -> list[Table]:
    """All tables that the results have figures for; the first is the main one."""
    return [main_table(results), *floors_tables(results), *further_tables(results)]


def further_tables(results: Results) -> list[Table]:
    """All but the main one and those of the floors."""
    return [
        *brief_tables(results),
        *_classes(results),
        _certainty(results),
        *_calibration(results),
    ]


def brief_tables(results: Results) -> list[Table]:
    """The tables whose figures the main table would otherwise have to show."""
    return [*_tasks(results), *_compat(results)]


def main_table(results: Results, *, brief: bool = False) -> Table:
    """Every column under every condition and average.

    `brief` is for 80 columns: no digits of what was missing, and where there are several floors, no
    column that is the same in all rows (floor), or follows from two others (share).
    """
    family = family_of_results(results)
    headline, short = family.headline, brief and has_floors(results)
    body = []
    for name, row in rows_of(results).items():
        label, metrics = row_title(results, name), row["metrics"]
        cells = [missing_cell(row, 0 if brief else 1)]
        cells += [shown(metrics[c.metric], c) for c in family.columns]
        cells += [] if short else [shown(row["floor"][headline.metric], headline)]
        cells += floor_cells(results, name)
        if has_bayes(results):
            best, found = row["bayes"][headline.metric], metrics[headline.metric]
            share = found / best if best and found is not None else None
            shares = ["-" if "(nothing" in label else percent(share)]
            cells += [percent(best), *([] if short else shares)]
        body.append([label, *cells])
    header = ["condition", "missing", *(c.title for c in family.columns)]
    header += [*([] if short else ["floor"]), *floor_heads(results, brief=brief)]
    if has_bayes(results):
        header += ["Bayes", *([] if short else ["share"])]
    notes = _notes(results, family, [row[0] for row in body], brief=brief)
    return Table(
        title_of(results).replace("p", "P", 1), header, body, notes, strong=averages(results)
    )


def _notes(
    results: Results, family: MetricFamily, labels: Sequence[str], *, brief: bool
) -> list[str]:
    """Everything needed to read the table: counts, seeds, rules and marks."""
    title = family.headline.title
    seeds = ", ".join(str(seed) for seed in results["mask_seeds"])
    by, seed = made_by(results), results["training_seed"]
    notes = [
        counted(results),
        f"Mean over the mask seeds {seeds}; {by if seed is None else f'training seed {seed}'}.",
        *([selected(results)] if selected(results) else []),
        averaged(results),
        floor_note(results, brief=brief),
        f"masks: {results['mask_law']}. Digest {results['masks_digest'][:16]}.",
        MISSING,
    ]
    if results["resamples"] and results["average"]["weights"]:
        interval = interval_cell(results["average"]["bootstrap"][family.headline.metric])
        name = row_title(results, AVERAGE)
        notes.append(f"{title} of the {name} lies in {interval} (95 % bootstrap interval).")
    reported = [name for name in results["protocol_description"]["metrics"] if name in family.names]
    if reported:
        notes.append(f"Papers under this protocol report {', '.join(reported)}: see results.json.")
    if has_bayes(results):
        share = "" if brief and has_floors(results) else f"; share: {title} / Bayes"
        notes.append(
            f"Bayes: {title} of the best possible prediction on the same samples and masks{share}."
        )
    if any("(nothing seen)" in label for label in labels):
        notes.append(
            "nothing seen: a sanity row. Every frame is missing, so every model must be constant."
        )
    if any("(collapsed)" in label for label in labels):
        notes.append(f"collapsed: {title} is no better than the floor.")
    return notes


def _by_row(
    results: Results, heads: Sequence[str], figures: Callable[[Row], Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of all conditions and averages."""
    body = [[row_title(results, name), *figures(row)] for name, row in rows_of(results).items()]
    return ["condition", *heads], body


def _tasks(results: Results) -> list[Table]:
    tasks = results["tasks"]
    if not tasks:
        return []

    def cells(metrics: Metrics) -> list[str]:
        return [percent(metrics[f"f1_{task}"]) for task in tasks]

    header, body = _by_row(results, tasks, lambda row: cells(row["metrics"]))
    body.append(["floor", *cells(results["average"]["floor"])])
    note = "F1 of each task in percent, weighted by the true supports of 0 and 1."
    return [Table("F1 by task", header, body, [note])]


def _classes(results: Results) -> list[Table]:
    """Precision, recall and F1 of each class, or of the "yes" of each binary task."""
    rows = [(entry["name"], entry.get("classes", [])) for entry in results["conditions"]]
    names = [found["name"] for found in rows[0][1]]
    of = "of yes by task" if results["tasks"] else "by class"
    titles = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
    note = "In percent, from the counts of all mask seeds; -: never predicted, or never there."
    found: list[Table] = []
    for key, title in titles.items() if names else ():
        body = [
            [row_title(results, name), *(percent(c[key]) for c in classes)]  # type: ignore[literal-required]
            for name, classes in rows
        ]
        body.append(["samples", *(f"{c['support']:g}" for c in rows[0][1])])
        found.append(Table(f"{title} {of}", ["condition", *names], body, [note], strong=1))
    return found


def _certainty(results: Results) -> Table:
    """The headline figure's interval and spread, and how close to a constant the model is."""
    headline = family_of_results(results).headline
    with_interval = results["resamples"] > 0
    spread = {entry["name"]: entry for entry in results["conditions"]}
    body = []
    for name, row in rows_of(results).items():
        cells = [interval_cell(row["bootstrap"][headline.metric])] if with_interval else []
        entry = spread.get(name)
        cells += [""] * 4 if entry is None else _collapse_cells(entry, headline)
        body.append([row_title(results, name), *cells, percent(row["recovery"])])
    title = headline.title
    header = ["condition", *([f"{title} 95 %"] if with_interval else [])]
    header += ["masks", "majority", "above floor", "variance", "recovery"]
    notes = [
        *([bootstrapped(results)] if with_interval else []),
        f"masks: standard deviation of {title} over the mask seeds.",
        "majority: share of the predictions that are of the most frequently predicted class.",
        f"above floor: {title} more than the best constant prediction. variance: of the "
        "predictions.",
        f"recovery: ({title} - floor) / ({title} with everything observed - floor).",
        "All but variance in percent; - is undefined.",
    ]
    return Table("Certainty, collapse, recovery", header, body, notes, strong=averages(results))


def _collapse_cells(entry: ConditionRow, headline: Column) -> list[str]:
    collapse = entry["collapse"]
    return [
        percent(entry["metrics_std"][headline.metric]),
        percent(collapse["majority_share"]),
        percent(collapse["floor_distance"], "+"),
        number(collapse["variance"]),
    ]


def _calibration(results: Results) -> list[Table]:
    found = {e["name"]: e["calibration"] for e in results["conditions"] if "calibration" in e}
    if not found:
        return []
    keys = [key for key in CALIBRATION if key in next(iter(found.values()))]
    body = [
        [
            row_title(results, name),
            *((number if key in PLAIN else percent)(figures[key]) for key in keys),
        ]
        for name, figures in found.items()
    ]
    if "nll" in keys:
        notes = [
            "NLL: mean negative log-likelihood in nats; 50 % .. 95 %: share of labels inside the "
            "central interval of that probability; sharpness: mean predicted standard deviation.",
            "ECE: mean error of the shares below the predicted quantiles 0.05 .. 0.95.",
            "All but NLL and sharpness in percent.",
        ]
    else:
        notes = [
            "ECE: expected calibration error over 15 equal bins of the probability; confidence: "
            "mean probability of the predicted answer. In percent.",
        ]
    return [Table("Calibration", ["condition", *(CALIBRATION[key] for key in keys)], body, notes)]


def _compat(results: Results) -> list[Table]:
    if "compat" not in results["conditions"][0]:
        return []
    keys = list(results["conditions"][0]["compat"])

    def cells(figures: Metrics) -> list[str]:
        return [percent(figures[key]) for key in keys]

    header, body = _by_row(results, keys, lambda row: cells(row["compat"]))
    body.append(["floor", *cells(results["conditions"][0]["compat_floor"])])
    body = [[f"{name}, compat", *rest] for name, *rest in body]
    notes = [
        "compat: F1 weighted by the predicted supports (arguments of the metric swapped), as in "
        "the code of MulT, MISA, MPLMM and others. It rewards a constant prediction; it is here "
        "only to be compared with tables made that way, and is no part of any other average."
    ]
    return [Table("Compat figures", header, body, notes)]
