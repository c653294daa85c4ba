"""Labels of three forms: numbers, class numbers, or 0 and 1 for each of several tasks.

- number: float32 [n];
- class: float32 [n] of class numbers 0, 1, .., C - 1;
- binary: float32 [n, e] of 0 and 1, for e independent tasks.

Increasing cut points turn a number y into the number of cuts that it exceeds, a class, or into one
task `y > cut` for each of them; one cut point turns several columns [n, e] into e tasks. A number
that is only known as a Gaussian gives probabilities. Files also have classes as one-hot [n, C], or
from 1 to C: both become 0, .., C - 1, with a note.

Axis letters: n sample, c cut, e task.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.errors import ConfigError, DataError

FORMS = ("number", "class", "binary")
# A class that was thought impossible counts as this unlikely, so that no cross-entropy is infinite.
SMALLEST_PROBABILITY = 1e-7
LARGEST_CLASS = 999  # whole numbers beyond are no classes, but counts or identifiers

_normal_cdf = np.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2, otypes=[np.float64])


def check_cuts(cuts: Sequence[float], form: str) -> None:
    """Raise ConfigError unless the cut points can be used with this form of label."""
    if cuts and form == "number":
        raise ConfigError(
            f"data.cuts: found {list(cuts)}, expected nothing, because the task is to predict "
            "numbers: choose task.kind cross_entropy (classes) or binary_cross_entropy "
            "(tasks), or leave data.cuts empty."
        )
    with np.errstate(over="ignore"):
        cuts_c = np.asarray(cuts, np.float32)
    if not np.isfinite(cuts_c).all() or (np.diff(cuts_c) <= 0).any():
        raise ConfigError(f"data.cuts: found {list(cuts)}, expected increasing finite numbers.")


def cut_labels(labels_n: np.ndarray, cuts: Sequence[float], form: str) -> np.ndarray:
    """Numbers [n] as class numbers, float32 [n], or as tasks of 0 and 1, float32 [n, c]."""
    # As float32 on both sides: a label 0.1 of a file does not exceed the cut 0.1.
    above_nc = np.asarray(labels_n, np.float32)[:, None] > np.asarray(cuts, np.float32)[None]
    return (above_nc.sum(axis=1) if form == "class" else above_nc).astype(np.float32)


def cut_gaussian(
    mean_n: np.ndarray, variance_n: np.ndarray, cuts: Sequence[float], form: str
) -> np.ndarray:
    """Probability of each class [n, c + 1], or of 1 in each task [n, c], for Gaussian numbers."""
    z_nc = (np.asarray(cuts, np.float64)[None] - mean_n[:, None]) / np.sqrt(variance_n)[:, None]
    if form == "binary":
        return _normal_cdf(-z_nc)
    n = len(mean_n)
    below = np.concatenate([np.zeros((n, 1)), _normal_cdf(z_nc), np.ones((n, 1))], axis=1)
    return np.maximum(np.diff(below, axis=1), 0.0)


def choose_columns(dataset: Dataset, columns: int | tuple[int, ...] | None) -> Dataset:
    """The data set with some columns of its labels [n, e]: [n] for one number, [n, k] for k.

    Raises:
        DataError: the labels have no such columns.
    """
    if columns is None:
        return dataset
    wanted = columns if isinstance(columns, int) else list(columns)
    for name, split in dataset.splits.items():
        if split.labels.ndim != 2 or np.max(wanted) >= split.labels.shape[1]:
            raise DataError(
                f"split {name!r}: labels have shape {split.labels.shape}; expected [n, columns] "
                f"with the columns {wanted} of data.label_column, the first of which is 0"
            )
    return _with_labels(dataset, {n: s.labels[:, wanted] for n, s in dataset.splits.items()})


def to_form(dataset: Dataset, form: str, cuts: Sequence[float] = ()) -> Dataset:
    """The data set with labels of a form, cut if there are cut points.

    Args:
        dataset: clean.
        form: one of `FORMS`.
        cuts: cut points that passed `check_cuts`.

    Raises:
        DataError: the labels are not of that form, or cannot be cut.
    """
    if dataset.classes and (form == "number" or cuts):
        remedy = "leave data.cuts empty" if cuts else "choose task.kind cross_entropy"
        raise DataError(
            f"labels are names of classes ({', '.join(dataset.classes)}); expected numbers, or "
            f"{remedy}"
        )
    if form == "class" and not cuts:
        dataset = _class_numbers(dataset)
    return _with_labels(
        dataset,
        {name: _split_labels(name, s, form, cuts) for name, s in dataset.splits.items()},
    )


def _with_labels(dataset: Dataset, labels: Mapping[str, np.ndarray], note: str = "") -> Dataset:
    splits = {
        name: dataclasses.replace(split, labels=labels[name])
        for name, split in dataset.splits.items()
    }
    notes = (*dataset.notes, note) if note else dataset.notes
    return dataclasses.replace(dataset, splits=splits, notes=notes)


def _class_numbers(dataset: Dataset) -> Dataset:
    """Class numbers from 0 where all splits have one-hot labels, or the numbers 1 to C."""
    labels = {name: split.labels for name, split in dataset.splits.items()}
    found = np.concatenate(list(labels.values()))
    if found.ndim == 2 and np.isin(found, (0, 1)).all() and (found.sum(axis=1) == 1).all():
        numbers = {name: y.argmax(axis=1).astype(np.float32) for name, y in labels.items()}
        note = f"labels are one-hot: classes 0 to {found.shape[1] - 1}"
        return _with_labels(dataset, numbers, note)
    values = np.unique(found)
    count = len(values)
    if found.ndim == 2 or count < 2 or (values != np.arange(1, count + 1)).any():
        return dataset
    note = f"labels are 1 to {count}: classes 0 to {count - 1}, with the former numbers as names"
    shifted = _with_labels(dataset, {name: y - 1 for name, y in labels.items()}, note)
    return dataclasses.replace(shifted, classes=tuple(f"{value:g}" for value in values))


def as_classes(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The data set with its named classes numbered in this order, as a network was trained on them.

    Raises:
        DataError: a class is none of these.
    """
    if not classes or not dataset.classes or tuple(classes) == dataset.classes:
        return dataset
    unknown = [name for name in dataset.classes if name not in classes]
    if unknown:
        raise DataError(
            f"labels: found the class {unknown[0]!r}; expected those that were trained on, "
            f"{', '.join(classes)}"
        )
    number_of = np.array([classes.index(name) for name in dataset.classes], np.float32)
    own = {n: number_of[s.labels.astype(np.int64)] for n, s in dataset.splits.items()}
    return dataclasses.replace(_with_labels(dataset, own), classes=tuple(classes))


def check_outputs(dataset: Dataset, form: str, trained: int) -> None:
    """Raise DataError if labels are of other classes or tasks than the ones trained on."""
    for name, split in dataset.splits.items():
        found = split.labels.shape[1] if form == "binary" else int(split.labels.max(initial=-1)) + 1
        if found > trained or (form == "binary" and found != trained):
            kind = "tasks" if form == "binary" else "classes"
            raise DataError(
                f"split {name!r}: labels have {found} {kind}; expected the {trained} that were "
                "trained on"
            )


def outputs(dataset: Dataset, form: str, cuts: Sequence[float] = ()) -> int:
    """How many values a prediction has: 1 for numbers, else the classes (two or more) or tasks.

    Args:
        dataset: what `to_form` gave.
        form: the same.
        cuts: the same; without them the largest label of all splits is the last class.
    """
    labels = [split.labels for split in dataset.splits.values()]
    if form == "number":
        return 1
    if form == "binary":
        return labels[0].shape[1]
    largest = max(int(y_n.max()) for y_n in labels if len(y_n))
    return len(cuts) + 1 if cuts else max(2, 1 + largest, len(dataset.classes))


def counts(labels: np.ndarray, form: str, outputs: int) -> tuple[tuple[int, ...], ...]:
    """How many labels are of each class, in one row; 0 and 1 of each task; () for numbers."""
    if form == "number":
        return ()
    columns = labels.reshape(len(labels), -1).astype(np.int64).T
    classes = outputs if form == "class" else 2
    return tuple(tuple(np.bincount(y_n, minlength=classes).tolist()) for y_n in columns)


def _split_labels(name: str, split: Split, form: str, cuts: Sequence[float]) -> np.ndarray:
    """The labels of one split in the form wanted."""
    labels = split.labels
    if labels.ndim == 2 and form == "binary" and len(cuts) == 1:
        return (labels > np.float32(cuts[0])).astype(np.float32)
    if labels.ndim == 2 and (cuts or form != "binary"):
        remedy = "leave data.cuts empty" if cuts else "choose task.kind binary_cross_entropy"
        also = ", or give one cut point for all" if cuts and form == "binary" else ""
        raise DataError(
            f"split {name!r}: labels have shape {labels.shape}, expected one number a sample, "
            "[n]; choose one of the columns by data.label_column (from 0); if they are 0 and 1 for "
            f"each of {labels.shape[1]} tasks, {remedy}{also}"
        )
    if cuts:
        return cut_labels(labels, cuts, form)
    if form == "class":
        usable = np.isin(labels, np.arange(LARGEST_CLASS + 1))
        _check(name, split, usable, f"class numbers, whole and from 0 to {LARGEST_CLASS}")
    if form == "binary":
        labels = labels if labels.ndim == 2 else labels[:, None]
        _check(name, split, np.all(np.isin(labels, (0, 1)), axis=1), "0 or 1 for each task")
    return labels


def _check(name: str, split: Split, usable_n: np.ndarray, expected: str) -> None:
    if usable_n.all():
        return
    first = int(np.argmin(usable_n))
    raise DataError(
        f"split {name!r}: {int((~usable_n).sum())} of {len(usable_n)} labels do not fit the task "
        f"(first: {split.labels[first]} of {str(split.ids[first])!r}); expected {expected}; to "
        "make classes or tasks of numbers give data.cuts"
    )
