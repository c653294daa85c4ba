"""The tables beside the main one: F1 by task, intervals and collapse, calibration, compat figures.

Each is made from the results dictionary alone, and left out where the results have no such figure.
"""

from collections.abc import Mapping
from typing import Any

from fsrf_jax.evaluation.metrics.families import family_of_results
from fsrf_jax.reporting.document import Table
from fsrf_jax.reporting.numbers import interval_cell, number, percent

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


def sections(results: Mapping[str, Any]) -> list[Table]:
    """All tables that the results have figures for, for a document."""
    return [
        *brief_sections(results),
        _certainty(results),
        *_calibration(results),
        _missing(results),
    ]


def brief_sections(results: Mapping[str, Any]) -> list[Table]:
    """The tables whose figures the main table would otherwise have to show."""
    return [*_tasks(results), *_compat(results)]


def row_name(entry: Mapping[str, Any]) -> str:
    """The condition's name, with a mark where nothing is seen or the floor is reached."""
    if entry["collapse"]["sanity"]:
        return f"{entry['name']} (nothing seen)"
    return f"{entry['name']} (collapsed)" if entry["collapse"]["collapsed"] else entry["name"]


def averages(results: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Names and figures of the rows that stand for several conditions, where there are any."""
    average = results["average"]
    rows = [(average_name(results), average), ("all conditions", average["all_conditions"])]
    return [(name, entry) for name, entry in rows if entry["weights"]]


def average_name(results: Mapping[str, Any]) -> str:
    """What the row of the protocol's average is called."""
    area = results["protocol_description"]["average"]["rule"] == "area"
    return "area" if area else "average"


def _rows(results: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(row_name(entry), entry) for entry in results["conditions"]] + averages(results)


def _tasks(results: Mapping[str, Any]) -> list[Table]:
    tasks = results["tasks"]
    if not tasks:
        return []
    keys = [f"f1_{task}" for task in tasks]
    body = [
        [name, *(percent(entry["metrics"][key]) for key in keys)] for name, entry in _rows(results)
    ]
    floor = results["average"]["floor"]
    body.append(["floor", *(percent(floor[key]) for key in keys)])
    note = "F1 of each task in percent, weighted by the true supports of 0 and 1."
    return [Table("F1 by task", ["condition", *tasks], body, [note])]


def _certainty(results: Mapping[str, Any]) -> Table:
    """The headline figure's interval and spread, and how close to a constant the model is."""
    headline = family_of_results(results).headline
    with_interval = results["resamples"] > 0
    header = ["condition", *([f"{headline.title} 95 %"] if with_interval else [])]
    header += ["masks", "majority", "above floor", "variance", "recovery"]
    body = []
    for name, entry in _rows(results):
        collapse = entry.get("collapse")
        cells = [interval_cell(entry["bootstrap"][headline.metric])] if with_interval else []
        if collapse is None:
            cells += [""] * 4
        else:
            cells += [
                percent(entry["metrics_std"][headline.metric]),
                percent(collapse["majority_share"]),
                percent(collapse["floor_distance"], "+"),
                number(collapse["variance"]),
            ]
        body.append([name, *cells, percent(entry["recovery"])])
    return Table("Certainty, collapse, recovery", header, body, _certainty_notes(results))


def _certainty_notes(results: Mapping[str, Any]) -> list[str]:
    title = family_of_results(results).headline.title
    notes = [
        f"masks: standard deviation of {title} over the mask seeds.",
        "majority: share of the predictions that are of the most frequently predicted class.",
        f"above floor: {title} more than the best constant prediction. variance: of the "
        "predictions.",
        f"recovery: ({title} - floor) / ({title} with everything observed - floor).",
        "All but variance in percent; - is undefined.",
    ]
    if results["resamples"]:
        text = (
            f"95 %: bootstrap interval over the test samples, {results['resamples']} resamples, "
            "the same for every row; what another training seed would change is not in it."
        )
        notes.insert(0, text)
    return notes


def _missing(results: Mapping[str, Any]) -> Table:
    """What was really missing, beside what the conditions are called."""
    kinds = ("frames", "modalities")
    body = [
        [row_name(entry), *(percent(entry["missing"][kind]) for kind in kinds)]
        for entry in results["conditions"]
    ]
    notes = [
        "frames: share of the frames inside the sequences that were not observed; modalities: "
        "share of the modalities that samples have of which nothing was. In percent.",
    ]
    return Table("What was missing", ["condition", *kinds], body, notes)


def _calibration(results: Mapping[str, Any]) -> list[Table]:
    entries = [entry for entry in results["conditions"] if "calibration" in entry]
    if not entries:
        return []
    keys = [key for key in CALIBRATION if key in entries[0]["calibration"]]
    body = [
        [row_name(entry), *(_calibration_cell(entry["calibration"], key) for key in keys)]
        for entry in entries
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
    header = ["condition", *(CALIBRATION[key] for key in keys)]
    return [Table("Calibration", header, body, notes)]


def _calibration_cell(calibration: Mapping[str, float | None], key: str) -> str:
    return number(calibration[key]) if key in PLAIN else percent(calibration[key])


def _compat(results: Mapping[str, Any]) -> list[Table]:
    rows = [(f"{name}, compat", entry) for name, entry in _rows(results) if "compat" in entry]
    if not rows:
        return []
    keys = list(rows[0][1]["compat"])
    body = [[name, *(percent(entry["compat"][key]) for key in keys)] for name, entry in rows]
    floor = results["conditions"][0]["compat_floor"]
    body.append(["floor, compat", *(percent(floor[key]) for key in keys)])
    notes = [
        "compat: F1 weighted by the predicted supports (arguments of the metric swapped), as in "
        "the code of MulT, MISA, MPLMM and others. It rewards a constant prediction; it is here "
        "only to be compared with tables made that way, and is no part of any other average."
    ]
    return [Table("Compat figures", ["condition", *keys], body, notes)]
