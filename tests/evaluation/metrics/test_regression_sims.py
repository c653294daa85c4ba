"""Metrics of CH-SIMS against scikit-learn on bins written out anew."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.metrics.regression import SIMS_METRICS as METRICS
from fsrf_jax.evaluation.metrics.regression import sims_metrics

EDGES = {
    "acc2": [-1.01, 0.0, 1.01],
    "acc3": [-1.01, -0.1, 0.1, 1.01],
    "acc5": [-1.01, -0.7, -0.1, 0.1, 0.7, 1.01],
}
TENTHS = st.integers(-12, 12).map(lambda i: i / 10)
PAIRS = st.lists(st.tuples(TENTHS, TENTHS), min_size=1, max_size=30).map(
    lambda rows: np.array(rows, np.float32).T
)


def _bins(values: np.ndarray, edges: list[float]) -> np.ndarray:
    """Bins (low, high], one after another, as protocol.md has them; float32 as data sets are."""
    found = np.full(len(values), -1)
    for index, (low, high) in enumerate(pairwise(edges)):
        found[(values > np.float32(low)) & (values <= np.float32(high))] = index
    assert (found >= 0).all()
    return found


def _reference(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    x, y = np.clip(predictions, -1, 1), np.clip(labels, -1, 1)
    binned = {name: (_bins(y, edges), _bins(x, edges)) for name, edges in EDGES.items()}
    return {
        "mae": sk.mean_absolute_error(y, x),
        "corr": np.corrcoef(x, y)[0, 1],
        **{name: sk.accuracy_score(*sides) for name, sides in binned.items()},
        "f1": sk.f1_score(*binned["acc2"], average="weighted", zero_division=0),
    }


@pytest.mark.parametrize("seed", range(4))
def test_metrics_equal_scikit_learn(seed):
    """Labels are multiples of 0.2 as in SIMS; predictions hold bin ends and values beyond 1."""
    rng = np.random.default_rng(seed)
    labels = (np.round(rng.uniform(-1, 1, 300) * 5) / 5).astype(np.float32)
    ends = rng.choice([-0.7, -0.1, 0.0, 0.1, 0.7], 300)
    near = labels + rng.normal(0, 0.5, 300)
    predictions = np.where(rng.random(300) < 0.4, ends, near).astype(np.float32)
    assert (np.abs(predictions) > 1).any()
    expected = _reference(predictions, labels)
    found = sims_metrics(predictions, labels)
    assert list(found) == list(METRICS)
    assert found == pytest.approx(expected, rel=1e-6)


def test_zero_and_the_upper_end_of_a_bin():
    """0 is negative, 0.1 neutral, 0.7 weakly positive, -0.7 strongly negative."""
    labels = np.float32([-1.0, 0.0, 0.6, -0.9])
    found = sims_metrics(np.float32([0.0, 0.1, 0.7, -0.7]), labels)
    assert found["acc2"] == 0.75  # -1 and 0 are both negative; 0 and 0.1 are not alike
    assert found["acc3"] == 0.75
    assert found["acc5"] == 0.75


def test_both_sides_are_clipped():
    found = sims_metrics(np.array([3.0, -5.0]), np.array([0.9, -2.0]))
    assert found["mae"] == pytest.approx(0.05)
    assert found["acc5"] == 1.0


def test_the_edges():
    empty = np.zeros(0)
    assert sims_metrics(empty, empty) == FAMILIES["sims"].floor(empty) == dict.fromkeys(METRICS)
    assert FAMILIES["sims"].swapped(empty, empty) == {"f1_swapped": None}
    assert sims_metrics(np.full(3, 2.0), np.array([0.1, 0.2, 0.3]))["corr"] is None
    with pytest.raises(UserError, match="1 of 2 predictions are NaN"):
        sims_metrics(np.array([np.nan, 0.0]), np.zeros(2))
    with pytest.raises(ValueError, match="one shape"):
        sims_metrics(np.zeros((2, 1)), np.zeros(2))


@settings(deadline=None, derandomize=True)
@given(PAIRS, st.floats(-1.25, 1.25, width=32))
def test_no_constant_beats_the_floor(rows, constant):
    labels = rows[1]
    best = FAMILIES["sims"].floor(labels)
    for name, figure in sims_metrics(np.full(len(labels), constant), labels).items():
        if figure is not None:
            sign = -1 if name == "mae" else 1
            assert sign * figure <= sign * best[name] + 1e-6


@settings(deadline=None, derandomize=True)
@given(PAIRS)
def test_perfect_predictions_are_perfect(rows):
    for name, figure in sims_metrics(rows[1], rows[1]).items():
        assert figure is None or figure == pytest.approx(float(name != "mae"))
