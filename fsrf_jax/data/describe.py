"""A data set in one table of text."""

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split

_HEADER = ("split", "n", "label mean", "label range", "modality", "frames", "width", "valid", "has")
_FEW = 10  # labels with more values than this are taken for numbers


def describe(dataset: Dataset) -> str:
    """One line for each split and modality.

    Columns: samples, mean and range of the label; then padded frames, features, valid frames in
    all, and the share of samples that have at least one. A line for each split counts its labels
    where they are few whole numbers, or the positive ones of each task.
    """
    rows = [
        _HEADER,
        *(row for name, split in dataset.splits.items() for row in _rows(name, split)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    counts = [_counts(name, split, dataset.classes) for name, split in dataset.splits.items()]
    return "\n".join([*lines, *filter(None, counts)])


def _counts(name: str, split: Split, classes: tuple[str, ...]) -> str | None:
    """How often each label occurs, where that says anything."""
    values, counts = np.unique(split.labels, return_counts=True)
    if split.labels.ndim == 2:
        positive = ", ".join(str(count) for count in (split.labels > 0).sum(axis=0))
        return f"{name}: positive labels of the {split.labels.shape[1]} tasks: {positive}"
    if not classes and (len(values) > _FEW or (values != np.floor(values)).any()):
        return None
    shown = [classes[int(value)] if classes else f"{value:g}" for value in values]
    pairs = zip(shown, counts, strict=True)
    return f"{name}: labels " + ", ".join(f"{value} x {count}" for value, count in pairs)


def _rows(name: str, split: Split) -> list[tuple[str, ...]]:
    y = split.labels
    head = (name, str(len(split)), f"{y.mean():.3f}", f"[{y.min():g}, {y.max():g}]")
    return [
        (
            *head,
            modality,
            str(x.shape[1]),
            str(x.shape[2]),
            str(int(split.present[modality].sum())),
            f"{100 * split.present[modality].any(axis=1).mean():.1f} %",
        )
        for modality, x in split.features.items()
    ]
