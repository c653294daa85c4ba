"""Which metrics a data set gets: said, and never guessed."""

import numpy as np
import pytest

from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.metrics.families import choose_family

WIDE, NARROW = np.float32([-2.0, 0.5, 1.0]), np.float32([-1.0, 0.2, 1.0])
TASKS = np.float32([[0, 1], [1, 1]])


@pytest.mark.parametrize(
    ("wanted", "form", "labels", "name"),
    [
        ("auto", "number", [NARROW, WIDE], "mosi"),
        ("mosi", "number", [NARROW], "mosi"),
        ("sims", "number", [NARROW, np.zeros(0)], "sims"),
        ("auto", "class", [NARROW], "class"),
        ("auto", "binary", [TASKS], "binary"),
    ],
)
def test_the_family_follows_form_labels_and_config(wanted, form, labels, name):
    assert choose_family(wanted, form, labels).name == name


@pytest.mark.parametrize(
    ("wanted", "form", "labels", "tasks", "message"),
    [
        ("auto", "number", [NARROW], (), r"every label lies in \[-1, 1\].*--evaluation.metrics"),
        ("auto", "number", [np.zeros(0)], (), r"every label lies in \[-1, 1\]"),
        ("sims", "number", [NARROW, WIDE], (), "one is 2 from 0"),
        ("sims", "class", [WIDE], (), "found sims, expected auto"),
        ("auto", "number", [WIDE], ("happy",), "data.tasks: found .'happy'.*expected nothing"),
        ("auto", "class", [WIDE], ("happy",), "data.tasks: found .'happy'.*expected nothing"),
        ("auto", "binary", [TASKS], ("happy",), "expected 2 names"),
    ],
)
def test_what_does_not_fit_is_refused(wanted, form, labels, tasks, message):
    with pytest.raises(ConfigError, match=message):
        choose_family(wanted, form, labels, tasks)


def test_tasks_are_called_by_their_names():
    family = choose_family("auto", "binary", [TASKS], ("happy", "sad"))
    assert family.tasks == ("happy", "sad")
    found = family.compute(np.float32([[0.1, 0.1], [0.9, 0.9]]), TASKS)
    assert (found["f1_happy"], found["f1_sad"]) == (1.0, pytest.approx(2 / 3))
    assert list(family.floor(TASKS))[-2:] == ["f1_happy", "f1_sad"]
    assert choose_family("auto", "binary", [TASKS]).tasks == ("task0", "task1")
