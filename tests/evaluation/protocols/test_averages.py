"""Means, areas, and what is undefined."""

import numpy as np
import pytest
from evaluation_case import MODALITIES
from scipy.integrate import trapezoid

from fsrf_jax.evaluation.protocols.averages import (
    equal_weights,
    mean_and_std,
    weighted_metrics,
    weighted_sum,
    weights_of,
)
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS, Condition, Protocol


def line(rates, rule="area"):
    """A protocol of frame rates in the order given."""
    conditions = tuple(Condition(str(rate), MODALITIES, rate) for rate in rates)
    return Protocol("line", conditions, "", tuple(c.name for c in conditions), rule)


def test_a_mean_is_the_mean():
    weights = equal_weights(["a", "b"])
    tables = {"a": {"acc": 0.25, "mae": 1.0}, "b": {"acc": 0.75, "mae": 2.0}}
    assert weighted_metrics(weights, tables, ("acc", "mae")) == {"acc": 0.5, "mae": 1.5}
    corrkd = PROTOCOLS["corrkd"](MODALITIES)
    assert weights_of(corrkd) == equal_weights(corrkd.averaged)


@pytest.mark.parametrize("seed", range(3))
def test_an_area_is_that_of_scipy_in_any_order(seed):
    rng = np.random.default_rng(seed)
    rates, figures = np.sort(rng.random(11)), rng.random(11)
    order = rng.permutation(11)
    weights = weights_of(line([float(rate) for rate in rates[order]]))
    by_name = {str(float(rate)): figure for rate, figure in zip(rates, figures, strict=True)}
    expected = trapezoid(figures, rates)
    assert weighted_sum(weights, by_name) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("last", [0.5, 1.0])
def test_the_area_under_a_constant_is_not_divided_by_the_width(last):
    weights = weights_of(line([0.0, 0.1, last]))
    assert weighted_sum(weights, dict.fromkeys(weights, 0.8)) == pytest.approx(0.8 * last)
    falling = {name: 1 - float(name) for name in weights}
    assert weighted_sum(weights, falling) == pytest.approx(last - last**2 / 2)


def test_one_undefined_figure_makes_its_own_average_undefined():
    tables = {"a": {"corr": 0.5, "mae": 1.0}, "b": {"corr": None, "mae": 1.0}}
    found = weighted_metrics(equal_weights(tables), tables, ("corr", "mae"))
    assert found == {"corr": None, "mae": 1.0}


def test_without_a_rule_nothing_is_averaged():
    weights = weights_of(PROTOCOLS["gcnet"](MODALITIES))
    assert weights == {}
    assert weighted_metrics(weights, {}, ("acc",)) == {"acc": None}


def test_mean_and_deviation_over_seeds():
    found = mean_and_std([0.25, 0.5, 0.9])
    assert found["mean"] == pytest.approx(np.mean([0.25, 0.5, 0.9]))
    assert found["std"] == pytest.approx(np.std([0.25, 0.5, 0.9], ddof=1))
    assert mean_and_std([0.5]) == {"mean": 0.5, "std": None}
    assert mean_and_std([0.5, None]) == {"mean": None, "std": None}
