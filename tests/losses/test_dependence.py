"""What measures of dependence see, besides the contract in test_measures.py."""

from functools import cache

import chex
import jax
import measures_reference as reference
import numpy as np
import pytest
from losses_reference import codes_and_weights
from measures_case import value_and_gradients
from scipy.stats import pearsonr

from fsrf_jax.losses.dependence import DEPENDENCE, cosine_squared, cross_correlation

every = pytest.mark.parametrize("name", sorted(DEPENDENCE))
# Measures of how the rows of a batch vary together; cosine_squared looks at each row alone.
OF_THE_BATCH = sorted(set(DEPENDENCE) - {"cosine_squared"})
of_the_batch = pytest.mark.parametrize("name", OF_THE_BATCH)


@cache
def values(name):
    return jax.jit(DEPENDENCE[name])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_every_measure_has_a_reference():
    assert set(reference.DEPENDENCE) == set(DEPENDENCE)


@of_the_batch
def test_codes_of_two_widths(name):
    x_bd, y_bd, w_b = codes_and_weights(3)
    value = values(name)(x_bd, y_bd[:, :2], w_b)
    np.testing.assert_allclose(value, reference.value(name, x_bd, y_bd[:, :2], w_b), rtol=2e-5)


@of_the_batch
@pytest.mark.parametrize("weights_b", [[1.0], [0.0, 3.0, *[0.0] * 7]], ids=["alone", "by weights"])
def test_one_sample_depends_on_nothing(name, weights_b):
    x_bd, y_bd, _ = codes_and_weights(5, b=len(weights_b))
    value, gradients = value_and_gradients(name, x_bd, y_bd, weights_b)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    chex.assert_trees_all_close(gradients, (0 * x_bd, 0 * y_bd), atol=1e-6)


@of_the_batch
@pytest.mark.parametrize("constant", [0.0, 0.1, -7.0, 1000.0])
def test_constant_columns_depend_on_nothing(name, constant):
    x_bd, y_bd, w_b = codes_and_weights(9)
    x_bd[:, :] = constant
    for other_bd in (y_bd, x_bd):
        value, gradients = value_and_gradients(name, x_bd, other_bd, w_b)
        np.testing.assert_allclose(value, 0, atol=1e-6)
        chex.assert_tree_all_finite(gradients)


@every
def test_equal_codes_depend_more_than_others(name):
    x_bd, y_bd = normal(9, 4), normal(9, 4, seed=1)
    value, gradients = value_and_gradients(name, x_bd, x_bd, np.ones(9))
    chex.assert_tree_all_finite(gradients)
    assert value > 1.5 * value_and_gradients(name, x_bd, y_bd, np.ones(9))[0]


@every
def test_scale_is_not_felt(name):
    x_bd, y_bd, w_b = codes_and_weights(11)
    value, _ = value_and_gradients(name, x_bd, y_bd, w_b)
    other, _ = value_and_gradients(name, 50 * x_bd, 0.1 * y_bd, w_b)
    np.testing.assert_allclose(other, value, rtol=1e-4)


@of_the_batch
def test_a_shift_is_not_felt(name):
    x_bd, y_bd, w_b = codes_and_weights(12)
    value, _ = value_and_gradients(name, x_bd, y_bd, w_b)
    other, _ = value_and_gradients(name, x_bd + 3, y_bd - 100, w_b)
    np.testing.assert_allclose(other, value, rtol=1e-3)


def test_cosine_squared_asks_for_equal_widths():
    x_bd, y_bd, w_b = codes_and_weights(0)
    with pytest.raises(AssertionError):
        cosine_squared(x_bd, y_bd[:, :2], w_b)


def test_cross_correlation_agrees_with_scipy():
    x_bd, y_bd, _ = codes_and_weights(8)
    expected = np.mean([pearsonr(x, y).statistic ** 2 for x in x_bd.T for y in y_bd.T])
    value = cross_correlation(x_bd, y_bd, np.ones(len(x_bd), np.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_rotated_copy_is_seen_by_all_but_cosine_squared():
    """The cosine of two codes of a sample knows nothing of a copy in other coordinates."""
    x_bd, other_bd, ones = normal(256, 8), normal(256, 8, seed=1), np.ones(256, np.float32)
    rotation, _ = np.linalg.qr(normal(8, 8, seed=2))
    turned_bd = x_bd @ rotation
    assert values("cosine_squared")(x_bd, turned_bd, ones) < 2 / 8
    for name in OF_THE_BATCH:
        assert values(name)(x_bd, turned_bd, ones) > 5 * values(name)(x_bd, other_bd, ones)


def test_a_square_is_seen_by_hsic_alone():
    x_b1, ones = np.linspace(-1, 1, 101, dtype=np.float32)[:, None], np.ones(101, np.float32)
    assert values("cross_correlation")(x_b1, x_b1**2, ones) < 1e-6
    shuffled_b1 = np.random.default_rng(0).permutation(x_b1**2)
    hsic = values("hsic")
    assert hsic(x_b1, x_b1**2, ones) > 5 * hsic(x_b1, shuffled_b1, ones)


@every
def test_orthogonality_alone_grows_with_the_batch(name):
    """Twice every row: four times the value, where the others stay."""
    once = (normal(9, 4), normal(9, 4, seed=1), np.ones(9, np.float32))
    twice = [np.concatenate([a, a]) for a in once]
    expected = values(name)(*once) * (4 if name == "orthogonality" else 1)
    np.testing.assert_allclose(values(name)(*twice), expected, rtol=1e-3)
