"""The collapse monitor and the recovered share, by hand."""

import dataclasses

import numpy as np
import pytest

from fsrf_jax.evaluation.metrics.collapse import (
    collapse_monitor,
    gain,
    majority_share,
    recovery,
    total_variance,
)
from fsrf_jax.evaluation.metrics.families import FAMILIES

LABELS = np.array([0.0, 1.0, 1.0, 1.0, -1.0])
MOSI = FAMILIES["mosi"]


def _monitor(predictions, labels=LABELS, family=MOSI, sanity=False):
    predictions = np.asarray(predictions)
    return collapse_monitor(
        predictions[None],
        labels,
        family.compute(predictions, labels),
        family.floor(labels),
        family,
        sanity=sanity,
    )


def test_a_constant_is_collapsed():
    found = _monitor(np.full(5, 0.3))
    assert found == {
        "majority_share": 1.0,
        "floor_distance": 0.0,
        "variance": 0.0,
        "collapsed": True,
        "sanity": False,
    }


def test_a_model_that_looks_is_not():
    """Of the four samples that count two are called positive, and three are right."""
    found = _monitor([5.0, 2.0, 2.0, -1.0, -1.0])
    assert found["majority_share"] == 0.5
    assert found["floor_distance"] == 0.0
    assert found["collapsed"] is True  # no better than a constant, though it looks
    better = _monitor([5.0, 2.0, 2.0, 0.5, -1.0])
    assert better["floor_distance"] == 0.25
    assert better["collapsed"] is False
    assert better["variance"] == pytest.approx(np.var([5.0, 2.0, 2.0, 0.5, -1.0]))


def test_where_nothing_is_seen_nothing_is_called_collapsed():
    found = _monitor(np.full(5, 0.3), sanity=True)
    assert (found["collapsed"], found["sanity"]) == (False, True)


def test_figures_are_means_over_mask_seeds():
    predictions = np.array([[1.0] * 5, [1.0, 1.0, 1.0, -1.0, -1.0]])
    tables = [MOSI.compute(p, LABELS) for p in predictions]
    metrics = {"acc2_non0": np.mean([t["acc2_non0"] for t in tables])}
    found = collapse_monitor(predictions, LABELS, metrics, MOSI.floor(LABELS), MOSI, sanity=False)
    assert found["majority_share"] == pytest.approx((1 + 0.5) / 2)
    assert found["variance"] == pytest.approx(np.var(predictions[1]) / 2)


def test_without_a_sample_that_counts_nothing_is_defined():
    found = _monitor(np.ones(3), labels=np.zeros(3))
    assert found["majority_share"] is found["floor_distance"] is None
    assert found["collapsed"] is False


def test_classes_and_tasks():
    p_nc = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]])
    found = _monitor(p_nc, np.array([0, 1, 1]), FAMILIES["class"])
    assert found["majority_share"] == pytest.approx(2 / 3)
    assert found["variance"] == pytest.approx(p_nc.var(axis=0).sum())
    assert majority_share(np.array([[True, False], [True, True]])) == 0.75
    assert total_variance(np.ones((4, 2))) == 0.0


@pytest.mark.parametrize(
    ("found", "whole", "least", "expected"),
    [
        (0.7, 0.8, 0.6, 0.5),
        (0.8, 0.8, 0.6, 1.0),
        (0.6, 0.8, 0.6, 0.0),
        (0.5, 0.8, 0.6, -0.5),
        (0.5, 0.6, 0.6, None),
        (0.5, 0.5, 0.6, None),
        (None, 0.8, 0.6, None),
        (0.7, None, 0.6, None),
        (0.7, 0.8, None, None),
    ],
)
def test_recovered_shares_by_hand(found, whole, least, expected):
    tables = [{"acc2_non0": figure} for figure in (found, whole, least)]
    assert recovery(*tables, MOSI) == (None if expected is None else pytest.approx(expected))


def test_without_a_complete_condition_there_is_no_share():
    assert recovery({"acc2_non0": 0.7}, None, {"acc2_non0": 0.6}, MOSI) is None


def test_less_can_be_better():
    family = dataclasses.replace(MOSI, headline=MOSI.columns[2])
    assert family.headline.metric == "mae"
    assert gain({"mae": 0.7}, {"mae": 1.2}, family) == pytest.approx(0.5)
