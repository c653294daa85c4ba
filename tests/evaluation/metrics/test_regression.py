"""Metrics against scikit-learn, and the floors of the field's data sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.metrics.figures import mean_of, std_metrics
from fsrf_jax.evaluation.metrics.regression import METRICS, regression_metrics

HALVES = st.integers(-8, 8).map(lambda i: i / 2)
PAIRS = st.lists(st.tuples(HALVES, HALVES), min_size=1, max_size=30).map(
    lambda rows: np.array(rows).T
)


def _reference(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    signed = labels != 0
    non0 = labels[signed] > 0, predictions[signed] > 0
    has0 = labels >= 0, predictions >= 0
    seven = [np.round(np.clip(x, -3, 3)).astype(int) for x in (labels, predictions)]
    five = [np.round(np.clip(x, -2, 2)).astype(int) for x in (labels, predictions)]
    return {
        "mae": mean_absolute_error(labels, predictions),
        "corr": np.corrcoef(predictions, labels)[0, 1],
        "acc2_non0": accuracy_score(*non0),
        "f1_non0": f1_score(*non0, average="weighted", zero_division=0),
        "acc2_has0": accuracy_score(*has0),
        "f1_has0": f1_score(*has0, average="weighted", zero_division=0),
        "acc5": accuracy_score(*five),
        "acc7": accuracy_score(*seven),
    }


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_scikit_learn(seed):
    """Labels and predictions hold zeros, ties at .5 and values beyond 3."""
    rng = np.random.default_rng(seed)
    labels = np.round(rng.normal(0.3, 1.6, 300) * 2) / 2
    predictions = np.where(
        rng.random(300) < 0.5, np.round(labels * 2) / 2 + 0.5, labels + rng.normal(0, 1, 300)
    )
    assert np.any(labels == 0)
    assert np.any(predictions == 0)
    assert regression_metrics(predictions, labels) == pytest.approx(_reference(predictions, labels))


# protocol.md, section 4: the best constant prediction on the test sets of the field.
MOSI = np.repeat([-1.0, 1.0, 0.0], [379, 277, 30])
MOSEI = np.repeat([-1.0, 1.0, 0.0], [1350, 2284, 1025])


@pytest.mark.parametrize(
    ("labels", "constant", "acc2", "f1"),
    [
        (MOSI, -1.0, (57.77, 55.25), (42.31, 39.32)),
        (MOSEI, 1.0, (62.85, 71.02), (48.51, 58.99)),
    ],
)
def test_floors_of_mosi_and_mosei(labels, constant, acc2, f1):
    """The published floors are those of the printed constant, and the best of both."""
    constant_metrics = regression_metrics(np.full(len(labels), constant), labels)
    best = FAMILIES["mosi"].floor(labels)
    for suffix, accuracy, score in zip(("non0", "has0"), acc2, f1, strict=True):
        for metrics in (constant_metrics, best):
            assert 100 * metrics[f"acc2_{suffix}"] == pytest.approx(accuracy, abs=0.01)
            assert 100 * metrics[f"f1_{suffix}"] == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize(
    ("labels", "constant", "swapped"),
    [(MOSI, -1.0, (73.24, 71.17)), (MOSEI, 1.0, (77.19, 83.06))],
)
def test_f1_is_not_the_swapped_one(labels, constant, swapped):
    """F1 with swapped arguments weights by predicted supports and rewards collapse."""
    found = regression_metrics(np.full(len(labels), constant), labels)
    signed = labels[labels != 0]
    sides = {"non0": (signed > 0, constant > 0), "has0": (labels >= 0, constant >= 0)}
    for (suffix, (true, predicted)), wrong in zip(sides.items(), swapped, strict=True):
        score = f1_score(np.full(len(true), predicted), true, average="weighted", zero_division=0)
        assert 100 * score == pytest.approx(wrong, abs=0.01)
        assert 100 * found[f"f1_{suffix}"] < wrong - 20


def test_zero_is_positive_in_has0_and_dropped_or_not_positive_in_non0():
    found = regression_metrics(np.zeros(4), np.array([0.0, 0.0, 1.0, -1.0]))
    assert found["acc2_has0"] == 0.75
    assert found["acc2_non0"] == 0.5


def test_halves_are_rounded_to_even():
    """0.5 becomes 0, 1.5 becomes 2 and 2.5 becomes 2, on both sides."""
    found = regression_metrics(np.array([0.5, 1.5, 2.5, -0.5]), np.array([0.0, 2.0, 2.0, 0.0]))
    assert found["acc7"] == found["acc5"] == 1.0


def test_acc7_and_acc5_clip_and_mae_does_not():
    found = regression_metrics(np.array([9.0, -9.0]), np.array([2.6, -3.0]))
    assert found["acc7"] == found["acc5"] == 1.0
    assert found["mae"] == pytest.approx(6.2)


def test_corr_is_undefined_for_a_constant_prediction():
    labels = np.array([1.0, -1.0, 2.0])
    assert regression_metrics(np.full(3, 0.1), labels)["corr"] is None
    assert regression_metrics(np.full(3, 0.1) + 1e-9 * labels, labels)["corr"] is None
    assert regression_metrics(np.full(3, 0.1) + 1e-4 * labels, labels)["corr"] == pytest.approx(1.0)


def test_corr_is_undefined_for_constant_labels():
    assert regression_metrics(np.array([1.0, 2.0]), np.array([1.0, 1.0]))["corr"] is None


def test_one_sample_has_no_corr():
    found = regression_metrics(np.array([0.5]), np.array([1.0]))
    assert found["corr"] is None
    assert found["acc2_non0"] == found["f1_non0"] == 1.0
    assert found["mae"] == 0.5


def test_non0_is_undefined_when_every_label_is_zero():
    found = regression_metrics(np.array([0.5, -0.5]), np.zeros(2))
    assert found["acc2_non0"] is None
    assert found["f1_non0"] is None
    assert found["acc2_has0"] == 0.5
    assert FAMILIES["mosi"].floor(np.zeros(2))["acc2_non0"] is None


def test_an_empty_set_has_no_figures():
    empty = np.zeros(0)
    assert regression_metrics(empty, empty) == dict.fromkeys(METRICS)
    assert FAMILIES["mosi"].floor(empty) == dict.fromkeys(METRICS)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_is_an_error(broken):
    with pytest.raises(UserError, match="1 of 2 predictions are NaN or infinite"):
        regression_metrics(np.array([0.0, broken]), np.array([1.0, -1.0]))


@pytest.mark.parametrize("shape", [(3, 1), (2,)])
def test_shapes_must_agree(shape):
    with pytest.raises(ValueError, match="expected predictions and labels of one shape"):
        regression_metrics(np.zeros(shape), np.zeros(3))


def test_floor_mae_is_at_the_median():
    labels = np.array([-1.0, 0.4, 0.6, 5.0])
    assert FAMILIES["mosi"].floor(labels)["mae"] == pytest.approx(np.abs(labels - 0.5).mean())
    assert FAMILIES["mosi"].floor(labels)["corr"] is None


@given(PAIRS)
def test_every_figure_is_in_range_and_perfect_predictions_are_perfect(rows):
    predictions, labels = rows
    for name, figure in regression_metrics(predictions, labels).items():
        if figure is not None and name != "mae":
            assert (-1 if name == "corr" else 0) <= figure <= 1
    for name, figure in regression_metrics(labels, labels).items():
        assert figure is None or figure == pytest.approx(float(name != "mae"))


@given(PAIRS, st.randoms(use_true_random=False))
def test_order_of_samples_does_not_matter(rows, random):
    order = list(range(rows.shape[1]))
    random.shuffle(order)
    found, shuffled = regression_metrics(*rows), regression_metrics(*rows[:, order])
    assert shuffled == pytest.approx(found)


@given(PAIRS, st.floats(-4, 4))
def test_no_constant_beats_the_floor(rows, constant):
    labels = rows[1]
    best = FAMILIES["mosi"].floor(labels)
    for name, figure in regression_metrics(np.full(len(labels), constant), labels).items():
        if figure is not None:
            sign = -1 if name == "mae" else 1
            assert sign * figure <= sign * best[name] + 1e-12


def test_mean_is_undefined_where_one_figure_is():
    first = dict.fromkeys(METRICS, 0.5)
    second = {**dict.fromkeys(METRICS, 0.7), "corr": None}
    found = mean_of([first, second], METRICS)
    assert found["corr"] is None
    assert found["mae"] == pytest.approx(0.6)
    assert mean_of([], METRICS) == dict.fromkeys(METRICS)
    assert mean_of([{"f1_task0": 0.5}, {"f1_task0": 0.7}], ["f1_task0"])[
        "f1_task0"
    ] == pytest.approx(0.6)


def test_deviation_is_that_of_a_sample_and_undefined_for_one():
    tables = [{"mae": value, "corr": value, "f1": 0.1} for value in (0.5, 0.7, 1.2)]
    tables[1]["corr"] = None
    expected = {"mae": np.std([0.5, 0.7, 1.2], ddof=1), "corr": None, "f1": 0.0}
    assert std_metrics(tables) == pytest.approx(expected)
    assert std_metrics(tables)["f1"] == 0.0
    assert std_metrics(tables[:1]) == dict.fromkeys(("mae", "corr", "f1"))


@pytest.mark.parametrize("form", FAMILIES)
def test_a_family_names_its_figures_everywhere(form):
    family = FAMILIES[form]
    labels = np.array([0.0, 1.0, 1.0])
    labels = labels[:, None] if form == "binary" else labels
    predictions = np.eye(2)[[0, 1, 1]] if form == "class" else labels
    own = {"f1_task0"} if form == "binary" else set()
    assert set(family.compute(predictions, labels)) == {*family.names} | own
    assert set(family.floor(labels)) == {*family.names} | own
    assert family.name == form
    assert set(family.tally(predictions, labels)) == {*family.names}
    assert not set(family.swapped(predictions, labels)) & {*family.names}
    assert len(family.decided(predictions, labels)) == (2 if form == "mosi" else 3)
    assert family.lower_is_better <= {*family.names}
    assert family.headline in family.columns
    assert {column.metric for column in family.columns} <= {*family.names}
    assert {metric for metric, _ in family.panels} <= {*family.names}
