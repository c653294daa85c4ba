"""Calibration: against SciPy, against a loop over bins, and on predictions that are calibrated."""

import numpy as np
import pytest
from scipy import stats

from fsrf_jax.evaluation.metrics.calibration import (
    BINS,
    COVERED,
    LEVELS,
    binary_calibration,
    binned_error,
    class_calibration,
    gaussian_calibration,
)


def _slow_error(p_n, happened_n):
    """The same, bin by bin: (0, 1/15], (1/15, 2/15], .., and 0 in the first."""
    total = 0.0
    for i in range(BINS):
        inside = (p_n > i / BINS) & (p_n <= (i + 1) / BINS) | ((i == 0) & (p_n == 0))
        if inside.any():
            total += inside.sum() * abs(p_n[inside].mean() - happened_n[inside].mean())
    return total / len(p_n)


@pytest.mark.parametrize("seed", range(3))
def test_binned_errors_equal_a_loop_over_the_bins(seed):
    rng = np.random.default_rng(seed)
    p_n, happened_n = rng.random(300), rng.random(300) < 0.5
    p_n[:2] = 0, 1
    p_n[2:100] = rng.integers(BINS + 1, size=98) / BINS  # the ends of bins
    assert binned_error(p_n, happened_n) == pytest.approx(_slow_error(p_n, happened_n))


def test_classes_by_hand():
    """Two predictions at 0.8 of which one is right, and one at 0.6 that is right."""
    p_nc = np.array([[0.8, 0.2], [0.2, 0.8], [0.6, 0.4]])
    found = class_calibration(p_nc, np.array([0, 0, 0]))
    assert found["ece"] == pytest.approx((2 * abs(0.8 - 0.5) + abs(0.6 - 1)) / 3)
    assert found["confidence"] == pytest.approx(2.2 / 3)


def test_tasks_are_averaged():
    p_ne = np.array([[0.9, 0.2], [0.9, 0.2]])
    found = binary_calibration(p_ne, np.array([[1, 0], [0, 1]]))
    assert found["ece"] == pytest.approx((0.4 + 0.3) / 2)
    assert found["confidence"] == pytest.approx(0.85)


def test_gaussian_figures_equal_scipy():
    rng = np.random.default_rng(1)
    mean, log_variance, y = rng.normal(size=(3, 200))
    law = stats.norm(mean, np.exp(log_variance / 2))
    found = gaussian_calibration(mean, log_variance, y)
    assert found["nll"] == pytest.approx(-law.logpdf(y).mean())
    for level in COVERED:
        low, high = law.interval(level)
        share = np.mean((y >= low) & (y <= high))
        assert found[f"coverage{round(100 * level)}"] == pytest.approx(share)
    below = [np.mean(y <= law.ppf(level)) for level in LEVELS]
    assert found["ece"] == pytest.approx(np.abs(np.subtract(below, LEVELS)).mean())
    assert found["sharpness"] == pytest.approx(np.exp(log_variance / 2).mean())


def test_a_calibrated_gaussian_covers_what_it_promises_and_a_bold_one_does_not():
    rng = np.random.default_rng(3)
    mean, log_variance = rng.normal(size=(2, 20_000))
    y = mean + np.exp(log_variance / 2) * rng.normal(size=20_000)
    fair = gaussian_calibration(mean, log_variance, y)
    for level in COVERED:
        assert fair[f"coverage{round(100 * level)}"] == pytest.approx(level, abs=0.01)
    assert fair["ece"] < 0.01
    bold = gaussian_calibration(mean, log_variance - 2, y)
    assert bold["coverage95"] < 0.6
    assert bold["ece"] > 0.1
    assert bold["nll"] > fair["nll"]


def test_nothing_is_undefined():
    empty = np.zeros(0)
    assert set(gaussian_calibration(empty, empty, empty).values()) == {None}
    assert class_calibration(np.zeros((0, 2)), empty) == {"ece": None, "confidence": None}
    assert binary_calibration(np.zeros((0, 2)), np.zeros((0, 2)))["ece"] is None
