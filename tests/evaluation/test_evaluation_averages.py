"""Means, areas, and what is undefined."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from fsrf_jax.evaluation.averages import average, mean_and_std

RATES = [0.1 * i for i in range(11)]


def tables(figures):
    return [{"acc": figure, "mae": 1 - figure} for figure in figures]


def test_a_mean_is_the_mean():
    assert average("mean", [0, 0], tables([0.25, 0.75])) == {"acc": 0.5, "mae": 0.5}


@pytest.mark.parametrize("seed", range(3))
def test_an_area_is_that_of_scipy_in_any_order(seed):
    rng = np.random.default_rng(seed)
    figures = rng.random(11)
    expected = trapezoid(figures, RATES)
    order = rng.permutation(11)
    found = average("area", [RATES[i] for i in order], tables(figures[order]))
    assert found["acc"] == pytest.approx(expected, rel=1e-12)
    assert found["mae"] == pytest.approx(1 - expected, rel=1e-12)


@pytest.mark.parametrize("last", [0.5, 1.0])
def test_the_area_under_a_constant_is_not_divided_by_the_width(last):
    rates = [0.0, 0.1, last]
    assert average("area", rates, tables([0.8] * 3))["acc"] == pytest.approx(0.8 * last)
    line = average("area", rates, tables([1 - rate for rate in rates]))
    assert line["acc"] == pytest.approx(last - last**2 / 2)


@pytest.mark.parametrize("rule", ["mean", "area"])
def test_one_undefined_figure_makes_its_own_average_undefined(rule):
    found = average(rule, [0, 1], [{"corr": 0.5, "mae": 1.0}, {"corr": None, "mae": 1.0}])
    assert found == {"corr": None, "mae": 1.0}


def test_without_a_rule_nothing_is_averaged():
    assert average("none", [0, 1], tables([0.5, 0.5])) == {"acc": None, "mae": None}


def test_mean_and_deviation_over_seeds():
    found = mean_and_std([0.25, 0.5, 0.9])
    assert found["mean"] == pytest.approx(np.mean([0.25, 0.5, 0.9]))
    assert found["std"] == pytest.approx(np.std([0.25, 0.5, 0.9], ddof=1))
    assert mean_and_std([0.5]) == {"mean": 0.5, "std": None}
    assert mean_and_std([0.5, None]) == {"mean": None, "std": None}
