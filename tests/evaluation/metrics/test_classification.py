"""Metrics of classes and binary tasks against scikit-learn, and the best constant predictions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from fsrf_jax.data.labels import SMALLEST_PROBABILITY
from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.metrics.classification import (
    CLASS_METRICS,
    TASK_METRICS,
    binary_metrics,
    class_metrics,
)
from fsrf_jax.evaluation.metrics.families import FAMILIES

# Classes of the test set, without class 3; the tasks' positive shares are 0.5, 0.1 and 0.
CLASSES = np.repeat([0.0, 1.0, 2.0, 4.0], [50, 30, 15, 5])
TASKS = np.stack([np.arange(100) % 2, np.arange(100) % 10 == 0, np.zeros(100)], 1)


def some_classes(seed, n=200, c=5):
    """Probabilities that know something of the labels, and labels."""
    rng = np.random.default_rng(seed)
    labels_n = rng.integers(c, size=n)
    logits_nc = rng.normal(size=(n, c)) + 1.2 * np.eye(c)[labels_n]
    p_nc = np.exp(logits_nc)
    return (p_nc / p_nc.sum(axis=1, keepdims=True)).astype(np.float32), labels_n.astype(np.float32)


def some_tasks(seed, n=200, e=4):
    rng = np.random.default_rng(seed)
    labels_ne = (rng.random((n, e)) < np.linspace(0.1, 0.6, e)[None]).astype(np.float32)
    p_ne = 1 / (1 + np.exp(-(rng.normal(size=(n, e)) + 2 * labels_ne - 1)))
    return p_ne.astype(np.float32), labels_ne


def weighted_f1(true, predicted):
    return sk.f1_score(true, predicted, average="weighted", zero_division=0)


@pytest.mark.parametrize("seed", range(4))
def test_class_metrics_equal_scikit_learn(seed):
    p, labels = some_classes(seed)
    predicted, exact = p.argmax(axis=1), p.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert class_metrics(p, labels) == pytest.approx(
        {
            "accuracy": sk.accuracy_score(labels, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
            "f1": weighted_f1(labels, predicted),
            "cross_entropy": sk.log_loss(labels, exact),
        },
        rel=1e-6,
    )


def test_a_class_without_samples_counts_in_no_mean():
    """Class 3 never occurs, but is predicted: scikit-learn warns of it, and leaves it out."""
    p = np.full((100, 5), 0.1)
    p[np.arange(100), np.random.default_rng(0).integers(5, size=100)] = 0.6
    found, predicted = class_metrics(p, CLASSES), p.argmax(axis=1)
    recalls = sk.recall_score(CLASSES, predicted, labels=[0, 1, 2, 4], average=None)
    assert found["balanced_accuracy"] == pytest.approx(recalls.mean())
    assert found["f1"] == pytest.approx(weighted_f1(CLASSES, predicted))


@pytest.mark.parametrize("seed", range(4))
def test_binary_metrics_are_means_of_scikit_learn_over_the_tasks(seed):
    p, labels = some_tasks(seed)
    tasks = [(labels[:, k], p[:, k].astype(np.float64)) for k in range(4)]
    scores = [weighted_f1(y, q > 0.5) for y, q in tasks]
    assert binary_metrics(p, labels) == pytest.approx(
        {
            "accuracy": np.mean([sk.accuracy_score(y, q > 0.5) for y, q in tasks]),
            "f1": np.mean(scores),
            "cross_entropy": np.mean([sk.log_loss(y, q) for y, q in tasks]),
            **{f"f1_task{k}": score for k, score in enumerate(scores)},
        },
        rel=1e-6,
    )


def test_two_classes_are_one_task():
    p, labels = some_tasks(0, e=1)
    one = binary_metrics(p, labels)
    two = class_metrics(np.concatenate([1 - p, p], axis=1), labels[:, 0])
    assert {name: two[name] for name in TASK_METRICS} == pytest.approx(
        {name: one[name] for name in TASK_METRICS}, rel=1e-6
    )


def test_floor_of_classes():
    """By hand: the largest class, one recall of four, its F1, the entropy of the frequencies."""
    f = np.array([0.5, 0.3, 0.15, 0.05])
    assert FAMILIES["class"].floor(CLASSES) == pytest.approx(
        {
            "accuracy": 0.5,
            "balanced_accuracy": 0.25,
            "f1": 0.5 * 2 * 0.5 / (1 + 0.5),
            "cross_entropy": -(f @ np.log(f)),
        }
    )


def test_floor_of_tasks_is_task_by_task():
    entropies = [np.log(2), -(0.1 * np.log(0.1) + 0.9 * np.log(0.9)), 0]
    scores = [0.5 * 2 * 0.5 / 1.5, 0.9 * 2 * 0.9 / 1.9, 1]
    expected = {
        "accuracy": (0.5 + 0.9 + 1) / 3,
        "f1": np.mean(scores),
        "cross_entropy": np.mean(entropies),
        **{f"f1_task{k}": score for k, score in enumerate(scores)},
    }
    assert FAMILIES["binary"].floor(TASKS) == pytest.approx(expected)
    assert FAMILIES["binary"].floor(1 - TASKS) == pytest.approx(expected)


@settings(max_examples=30, derandomize=True, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=5))
def test_no_constant_beats_the_floor(odds):
    p = np.array(odds) / np.sum(odds)
    tasks = np.array(odds[:3])
    pairs = [
        (class_metrics(np.tile(p, (100, 1)), CLASSES), FAMILIES["class"].floor(CLASSES)),
        (binary_metrics(np.tile(tasks, (100, 1)), TASKS), FAMILIES["binary"].floor(TASKS)),
    ]
    for found, best in pairs:
        assert list(found) == list(best)
        for name, figure in found.items():
            sign = -1 if name == "cross_entropy" else 1
            assert sign * figure <= sign * best[name] + 1e-12


def test_perfect_predictions_are_perfect():
    classes, tasks = class_metrics(np.eye(5)[CLASSES.astype(int)], CLASSES), TASKS.astype(float)
    for found in (classes, binary_metrics(tasks, TASKS)):
        for name, figure in found.items():
            assert figure == float(name != "cross_entropy")
            assert np.copysign(1, figure) == 1  # -0.0 would be shown


def test_a_true_class_that_was_thought_impossible_is_not_infinite():
    largest = -np.log(SMALLEST_PROBABILITY)
    assert class_metrics(np.eye(2), np.array([1, 0]))["cross_entropy"] == pytest.approx(largest)
    assert binary_metrics(np.eye(2), 1 - np.eye(2))["cross_entropy"] == pytest.approx(largest)


def test_ties_go_to_the_first_class_and_to_0():
    assert class_metrics(np.full((2, 2), 0.5), np.array([0, 1]))["accuracy"] == 0.5
    assert class_metrics(np.full((1, 2), 0.5), np.array([0]))["accuracy"] == 1
    assert binary_metrics(np.full((1, 1), 0.5), np.zeros((1, 1)))["accuracy"] == 1


def test_an_empty_set_has_no_figures():
    tasks = (*TASK_METRICS, "f1_task0", "f1_task1")
    assert class_metrics(np.zeros((0, 3)), np.zeros(0)) == dict.fromkeys(CLASS_METRICS)
    assert FAMILIES["class"].floor(np.zeros(0)) == dict.fromkeys(CLASS_METRICS)
    assert binary_metrics(np.zeros((0, 2)), np.zeros((0, 2))) == dict.fromkeys(tasks)
    assert FAMILIES["binary"].floor(np.zeros((0, 2))) == dict.fromkeys(tasks)


def test_order_of_samples_does_not_matter():
    order = np.random.default_rng(0).permutation(200)
    for compute, (p, labels) in ((class_metrics, some_classes(0)), (binary_metrics, some_tasks(0))):
        assert compute(p[order], labels[order]) == pytest.approx(compute(p, labels))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([np.nan, 0.5], "1 of 3 predictions are NaN or infinite"),
        ([0.5, np.inf], "1 of 3 predictions are NaN or infinite"),
        ([-0.1, 1.1], "1 of 3 predictions are no probabilities, expected numbers from 0 to 1"),
    ],
)
def test_what_is_no_probability_is_an_error(row, message):
    p = np.array([[0.5, 0.5], row, [1.0, 0.0]])
    with pytest.raises(UserError, match=message):
        class_metrics(p, np.zeros(3))
    with pytest.raises(UserError, match=message):
        binary_metrics(p, np.zeros((3, 2)))


def test_class_probabilities_sum_to_1_but_for_rounding():
    p = np.array([[0.7, 0.7], [0.2, 0.8001]])
    with pytest.raises(UserError, match=r"1 of 2 predictions are no .* that sum to 1"):
        class_metrics(p, np.zeros(2))
    assert class_metrics(p[1:], np.zeros(1))["accuracy"] == 0
    assert binary_metrics(p, np.ones((2, 2)))["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("compute", "shape", "labels"),
    [
        (class_metrics, (3,), np.zeros(3)),
        (class_metrics, (2, 2), np.zeros(3)),
        (class_metrics, (3, 2), np.zeros((3, 2))),
        (class_metrics, (3, 2), np.array([0, 1, 2])),
        (class_metrics, (3, 2), np.array([0, 1, -1])),
        (binary_metrics, (3,), np.zeros(3)),
        (binary_metrics, (3, 2), np.zeros((3, 1))),
    ],
)
def test_shapes_and_labels_must_fit(compute, shape, labels):
    with pytest.raises(ValueError, match="expected"):
        compute(np.full(shape, 0.5), labels)
