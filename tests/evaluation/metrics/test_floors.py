"""The floors of the field's test sets: what a constant prediction gets, from label counts alone."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from fsrf_jax.evaluation.metrics.families import FAMILIES

MOSI = np.repeat([-1.0, 1.0, 0.0], [379, 277, 30])
MOSEI = np.repeat([-1.0, 1.0, 0.0], [1350, 2284, 1025])
SIMS = np.repeat([-0.4, 0.0, 0.6], [248, 69, 140])

MOSI_FIGURES = ("acc2_non0", "acc2_has0", "f1_non0", "f1_has0")
SWAPPED = ("f1_non0_swapped", "f1_has0_swapped")

# Accuracy and F1 in percent, then F1 with swapped arguments, for the best constant prediction.
TABLE = [
    ("mosi", MOSI, -1.0, MOSI_FIGURES, (57.77, 55.25, 42.31, 39.32), SWAPPED, (73.24, 71.17)),
    ("mosi", MOSEI, 1.0, MOSI_FIGURES, (62.85, 71.02, 48.51, 58.99), SWAPPED, (77.19, 83.06)),
    ("sims", SIMS, -0.5, ("acc2", "f1"), (69.37, 56.82), ("f1_swapped",), (81.91,)),
]


@pytest.mark.parametrize(
    ("name", "labels", "constant", "figures", "right", "swaps", "wrong"), TABLE
)
def test_every_figure_of_the_published_floors(name, labels, constant, figures, right, swaps, wrong):
    family, predictions = FAMILIES[name], np.full(len(labels), constant)
    computed, floor = family.compute(predictions, labels), family.floor(labels)
    for figure, percent in zip(figures, right, strict=True):
        assert 100 * computed[figure] == pytest.approx(percent, abs=0.0051)
        assert 100 * floor[figure] == pytest.approx(percent, abs=0.0051)
    swapped = family.swapped(predictions, labels)
    assert family.swapped_floor(labels) == pytest.approx(swapped)
    assert tuple(swapped) == swaps
    for figure, percent in zip(swaps, wrong, strict=True):
        assert 100 * swapped[figure] == pytest.approx(percent, abs=0.0051)


def _swapped(true, predicted):
    """What the public code computes: predictions where scikit-learn expects the truth."""
    return f1_score(predicted, true, average="weighted", zero_division=0)


@pytest.mark.parametrize("seed", range(3))
def test_swapped_figures_are_those_of_scikit_learn_with_swapped_arguments(seed):
    rng = np.random.default_rng(seed)
    y = np.round(rng.normal(0.3, 1.0, 200))
    x = y + rng.normal(0, 1, 200)
    x[:20] = 0
    signed = y != 0
    assert FAMILIES["mosi"].swapped(x, y) == pytest.approx(
        {
            "f1_non0_swapped": _swapped(y[signed] > 0, x[signed] > 0),
            "f1_has0_swapped": _swapped(y >= 0, x >= 0),
        }
    )
    assert FAMILIES["sims"].swapped(x, y) == pytest.approx({"f1_swapped": _swapped(y > 0, x > 0)})
    classes, p_nc = rng.integers(4, size=200), rng.dirichlet(np.ones(4), 200)
    assert FAMILIES["class"].swapped(p_nc, classes) == pytest.approx(
        {"f1_swapped": _swapped(classes, p_nc.argmax(axis=1))}
    )
    tasks, p_ne = rng.integers(2, size=(200, 3)), rng.random((200, 3))
    own = [_swapped(tasks[:, e] == 1, p_ne[:, e] > 0.5) for e in range(3)]
    assert FAMILIES["binary"].swapped(p_ne, tasks) == pytest.approx({"f1_swapped": np.mean(own)})


@pytest.mark.parametrize("name", ["class", "binary"])
def test_no_constant_beats_the_swapped_floor(name):
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 90, p=[0.2, 0.5, 0.3])
    labels = np.stack([labels == 1, labels == 2], axis=1) if name == "binary" else labels
    constants = [[0, 0], [0, 1], [1, 0], [1, 1]] if name == "binary" else np.eye(3)
    found = [
        FAMILIES[name].swapped(np.tile(constant, (90, 1)), labels)["f1_swapped"]
        for constant in np.asarray(constants, float)
    ]
    assert FAMILIES[name].swapped_floor(labels)["f1_swapped"] == pytest.approx(max(found))


def test_swapped_figures_of_nothing_are_undefined():
    assert FAMILIES["mosi"].swapped(np.zeros(2), np.zeros(2)) == {
        "f1_non0_swapped": None,
        "f1_has0_swapped": 1.0,
    }
    assert FAMILIES["class"].swapped(np.zeros((0, 3)), np.zeros(0)) == {"f1_swapped": None}
    assert FAMILIES["binary"].swapped(np.zeros((0, 2)), np.zeros((0, 2))) == {"f1_swapped": None}
    for name, labels in (
        ("sims", np.zeros(0)),
        ("class", np.zeros(0)),
        ("binary", np.zeros((0, 2))),
    ):
        assert FAMILIES[name].swapped_floor(labels) == {"f1_swapped": None}
