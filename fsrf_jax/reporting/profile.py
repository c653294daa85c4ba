"""What a data set holds, in words and in one picture: for `prepare`, and in short for `train`."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.profile import COARSE, FAR, LARGE, label_counts, shape
from fsrf_jax.reporting.numbers import percent
from fsrf_jax.reporting.pictures import Line, line_chart, png

Found = Mapping[str, Any]
"""What `fsrf_jax.data.profile` gives."""


def describe(dataset: Dataset) -> str:
    """One line for each split and modality.

    Columns: samples, mean and range of the label; then padded frames, features, frames that are
    present in all, and the share of samples that have at least one. A line for each split counts
    its labels where they are few whole numbers, or the positive ones of each task.
    """
    heads = ["split", "n", "label mean", "label range", "modality"]
    rows = [[*heads, "frames", "width", "present", "has"]]
    for name, split in dataset.splits.items():
        y = split.labels
        head = (name, str(len(split)), f"{y.mean():.3f}", f"[{y.min():g}, {y.max():g}]")
        for m in split.modalities:
            of = shape(split, m)
            sizes = (str(of[key]) for key in ("padded_length", "width", "frames"))
            rows.append([*head, m, *sizes, f"{percent(of['samples'] / len(split))} %"])
    return "\n".join([*_columns(rows), *_label_lines(label_counts(dataset))])


def report_lines(found: Found) -> list[str]:
    """The whole profile, as lines for a terminal."""
    shapes = [["split", "modality", "samples", "width", "lengths", "outliers", "padding"]]
    values = [["split", "modality", "zero", "NaN", "infinite", "constant", "large", "coarse"]]
    for name, split in found["splits"].items():
        for m, of in split["modalities"].items():
            lengths = " ".join(f"{length:g}" for length in of["lengths"]) or "-"
            samples = f"{of['samples']} of {split['samples']}"
            cells = (samples, str(of["width"]), lengths, str(of["outliers"]), of["padding"])
            shapes.append([name, m, *cells])
            shares = (f"{100 * of[kind]:.3g} %" for kind in ("zero", "nan", "infinite"))
            columns = (_named(of[kind]) for kind in ("constant", "large", "coarse"))
            values.append([name, m, *shares, *columns])
    return [
        "Samples that have the modality, features of a frame, and valid frames of a sample: least,",
        f"quartiles, most; outliers are {FAR:g} interquartile ranges away from the quartiles:",
        *_columns(shapes),
        "",
        "Valid frames that are all zero, or have a NaN or infinite value; numbers of the columns",
        f"that do not vary, exceed {LARGE:g}, or are rounded by float32 by over "
        f"{100 * COARSE:g} % of their deviation:",
        *_columns(values),
        "",
        *_label_lines(found["labels"]),
    ]


def findings(found: Found) -> list[str]:
    """What is worth a sentence: release, alignment, and what can spoil a training."""
    notes = [f"modalities are {'' if found['aligned'] else 'not '}aligned frame by frame"]
    if found["release"]:
        notes.append(f"train, valid and test have as many samples as those of {found['release']}")
    ends = [end for split in found["splits"].values() for end in split["label_range"]]
    if found["labels"]["edges"] and (min(ends) < -3 or max(ends) > 3):
        notes.append(
            f"labels lie in [{min(ends):g}, {max(ends):g}], beyond [-3, 3]; train adds "
            "data.label_shift to them, -3 for a scale of 1 to 5, so that neutral is 0"
        )
    for name, split in found["splits"].items():
        for m, of in split["modalities"].items():
            if of["coarse"]["count"]:
                notes.append(
                    f"{name} {m}: columns so far from 0 that float32 rounds their variation: "
                    f"{_named(of['coarse'])}; subtract their means before you save them"
                )
            if of["constant_in_train"]["count"]:
                notes.append(
                    f"{name} {m}: columns that are constant in train, and differ from it here: "
                    f"{_named(of['constant_in_train'])}; nothing is learnt about them"
                )
    return notes


def save_profile(path: Path, found: Found) -> None:
    """Draw the labels, and the lengths of each modality, of all splits as a PNG."""
    labels, splits = found["labels"], found["splits"]
    rows = 1 + len(found["length_edges"]) // 2
    with png(path, 860, 260 * rows) as figure:
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        sizes = {name: split["samples"] for name, split in splits.items()}
        edges, names = labels["edges"], labels["names"]
        places = _middles(edges) if edges else list(range(len(names)))
        line_chart(panels[0], _lines(places, labels["counts"], sizes), joined=bool(edges))
        what = "positive labels of the tasks" if labels["tasks"] else "labels"
        panels[0].set(title=what, ylabel="percent of samples")
        if names:
            panels[0].set_xticks(places, names, rotation=40 if max(map(len, names)) > 3 else 0)
        for axes, (m, bins) in zip(panels[1:], found["length_edges"].items(), strict=False):
            counts = {n: split["modalities"][m]["length_counts"] for n, split in splits.items()}
            line_chart(axes, _lines(_middles(bins), counts, {n: sum(c) for n, c in counts.items()}))
            axes.set(title=f"{m}: valid frames", ylabel="percent of its samples")
            axes.set_xlim(bins[0], bins[-1])
            axes.locator_params("x", integer=True)
        for axes in panels[1 + len(found["length_edges"]) :]:
            axes.set_axis_off()
        for axes in panels[: 1 + len(found["length_edges"])]:
            axes.set_ylim(bottom=0)
        handles = panels[0].get_lines()
        figure.legend(handles=handles, loc="outside upper center", ncols=len(splits), frameon=False)


def _lines(
    places: Sequence[float], counts: Mapping[str, Sequence[int]], totals: Mapping[str, int]
) -> list[Line]:
    return [
        Line(name, places, [100 * count / max(1, totals[name]) for count in found], style)
        for style, (name, found) in enumerate(counts.items())
    ]


def _middles(edges: Sequence[float]) -> list[float]:
    return [(low + high) / 2 for low, high in pairwise(edges)]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, aligned."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _label_lines(labels: Found) -> list[str]:
    """How often each label occurs, where that says anything."""
    lines = []
    for name, counts in labels["counts"].items():
        if labels["tasks"]:
            positive = ", ".join(map(str, counts))
            lines.append(f"{name}: positive labels of the {len(counts)} tasks: {positive}")
        elif labels["names"]:
            pairs = zip(labels["names"], counts, strict=True)
            lines.append(f"{name}: labels " + ", ".join(f"{v} x {n}" for v, n in pairs if n))
    return lines


def _named(columns: Found) -> str:
    """How many columns, and the first of them."""
    if not columns["count"]:
        return "0"
    more = ", ..." if columns["count"] > len(columns["first"]) else ""
    return f"{columns['count']} ({', '.join(map(str, columns['first']))}{more})"
