"""Metrics of classes and of binary tasks, from their probabilities.

Axis letters: n sample, c class, e task.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.metrics import tallies
from fsrf_jax.evaluation.metrics.figures import Metrics, check_finite
from fsrf_jax.evaluation.metrics.tallies import Tallies, ratio, surprise

CLASS_METRICS = ("accuracy", "balanced_accuracy", "f1", "cross_entropy")
TASK_METRICS = ("accuracy", "f1", "cross_entropy")
LOWER_IS_BETTER = frozenset({"cross_entropy"})

TOLERANCE = 1e-3  # of probabilities in float32 or less


def class_metrics(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """Compute every metric of `CLASS_METRICS`; the most probable class is predicted.

    - `accuracy`: share of samples that are right (WA in the literature on emotions).
    - `balanced_accuracy`: mean recall of the classes that occur (UA).
    - `f1`: weighted by the supports of the true classes.
    - `cross_entropy`: mean of -log p of the true class, in nats.

    Args:
        predictions: probabilities [n, c].
        labels: class numbers [n], below c.

    Returns:
        The figures by name; all None for n = 0.

    Raises:
        UserError: a prediction is not finite, or no probability.
        ValueError: the shapes do not fit, or a label is no class of the predictions.
    """
    return tallies.figures(tally_classes(predictions, labels))


def tally_classes(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """What `class_metrics` counts; [n, c] and [n]."""
    p_nc = np.asarray(predictions, np.float64)
    true_n = np.asarray(labels).astype(np.int64)
    if p_nc.ndim != 2 or true_n.shape != p_nc.shape[:1]:
        raise ValueError(
            f"expected predictions [n, classes] and labels [n], found {p_nc.shape} "
            f"and {true_n.shape}"
        )
    if len(true_n) and (true_n.min() < 0 or true_n.max() >= p_nc.shape[1]):
        raise ValueError(
            f"expected labels from 0 to {p_nc.shape[1] - 1}, found {true_n.min()} to {true_n.max()}"
        )
    _check_probabilities(p_nc)
    _check_rows(np.abs(p_nc.sum(axis=1) - 1) <= TOLERANCE, "numbers that sum to 1")
    predicted_n = p_nc.argmax(axis=1)
    p_true_n = np.take_along_axis(p_nc, true_n[:, None], axis=1)[:, 0]
    return {
        "accuracy": tallies.mean(predicted_n == true_n),
        "balanced_accuracy": tallies.balanced(predicted_n, true_n),
        "f1": tallies.weighted_f1(predicted_n, true_n),
        "cross_entropy": tallies.mean(surprise(p_true_n)),
    }


def class_constants(labels: np.ndarray) -> list[np.ndarray]:
    """The constant prediction [n, c] that is best by every metric: the classes' frequencies.

    The most frequent class is predicted, and no other probabilities have a smaller cross-entropy.
    """
    counts_c = np.bincount(np.asarray(labels).astype(np.int64), minlength=1)
    frequencies_c = counts_c / max(len(labels), 1)
    return [np.tile(frequencies_c, (len(labels), 1))]


def task_names(labels: np.ndarray) -> tuple[str, ...]:
    """Names for the tasks of labels [n, e] that have none: task0, task1, .."""
    return tuple(f"task{index}" for index in range(np.shape(labels)[1]))


def binary_metrics(
    predictions: np.ndarray, labels: np.ndarray, tasks: Sequence[str] = ()
) -> Metrics:
    """Compute the mean over the tasks of every metric of `TASK_METRICS`, and each task's F1.

    1 is predicted where its probability exceeds 1/2. `f1` is weighted by the supports of 0 and 1
    in each task; `f1_happy`, `f1_sad`, .. are the tasks' own. `cross_entropy` is in nats.

    Args:
        predictions: probabilities of 1, [n, e].
        labels: 0 or 1, [n, e].
        tasks: their e names; none stands for task0, task1, ..

    Returns:
        The figures by name; all None for n = 0.

    Raises:
        UserError: a prediction is not finite, or no probability.
        ValueError: the arguments are not two matrices of one shape.
    """
    found = tally_tasks(predictions, labels)
    names = tuple(tasks) or task_names(labels)
    own = zip(np.asarray(predictions).T > 0.5, np.asarray(labels).T > 0.5, strict=True)
    of_tasks = [tallies.weighted_f1(*pair) for pair in own]
    more = {f"f1_{name}": tally for name, tally in zip(names, of_tasks, strict=True)}
    return tallies.figures(found | more)


def tally_tasks(predictions: np.ndarray, labels: np.ndarray) -> Tallies:
    """The means over the tasks that `binary_metrics` counts; both [n, e]."""
    p_ne, true_ne = np.asarray(predictions, np.float64), np.asarray(labels) > 0.5
    if p_ne.ndim != 2 or p_ne.shape != true_ne.shape:
        raise ValueError(
            f"expected predictions and labels of one shape [n, tasks], found {p_ne.shape} "
            f"and {true_ne.shape}"
        )
    _check_probabilities(p_ne)
    pairs = zip(p_ne.T > 0.5, true_ne.T, strict=True)
    return {
        "accuracy": tallies.mean(((p_ne > 0.5) == true_ne).mean(axis=1)),
        "f1": tallies.mean_of_tallies([tallies.weighted_f1(*pair) for pair in pairs]),
        "cross_entropy": tallies.mean(surprise(np.where(true_ne, p_ne, 1 - p_ne)).mean(axis=1)),
    }


def task_constants(labels: np.ndarray) -> list[np.ndarray]:
    """As `class_constants`, for tasks [n, e]: the frequency of 1 in each."""
    true_ne = np.asarray(labels, np.float64)
    return [np.tile(true_ne.sum(axis=0) / max(len(true_ne), 1), (len(true_ne), 1))]


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """Counts of samples by true class (rows) and predicted class (columns), float64 [c, c].

    Args:
        predicted: class numbers [n], below `classes`.
        true: the same of the labels.
        classes: their number c.
    """
    cells = true.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.float64)


def by_class(counts: np.ndarray) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class of a confusion matrix [c, c].

    A precision is None for a class that is never predicted, a recall for one that never occurs, an
    F1 where both hold.
    """
    hits_c, support_c, called_c = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    figures = {
        "precision": ratio(hits_c, called_c),
        "recall": ratio(hits_c, support_c),
        "f1": ratio(2 * hits_c, support_c + called_c),
    }
    return [
        {name: None if np.isnan(x_c[c]) else float(x_c[c]) for name, x_c in figures.items()}
        | {"support": float(support_c[c])}
        for c in range(len(counts))
    ]


def _check_probabilities(p: np.ndarray) -> None:
    check_finite(p)
    outside = (p < -TOLERANCE) | (p > 1 + TOLERANCE)
    _check_rows(~np.any(outside, axis=1), "numbers from 0 to 1")


def _check_rows(usable_n: np.ndarray, expected: str) -> None:
    if not usable_n.all():
        raise UserError(
            f"{np.count_nonzero(~usable_n)} of {len(usable_n)} predictions are no probabilities, "
            f"expected {expected}."
        )
