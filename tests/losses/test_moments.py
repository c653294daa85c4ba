import jax
import jax.numpy as jnp
import measures_reference as reference
import numpy as np
import pytest
from losses_reference import codes_and_weights
from scipy.special import expit

from fsrf_jax.losses import moments

cmd = jax.jit(moments.cmd, static_argnames="moments")
coral = jax.jit(moments.coral)
gaussian_kl = jax.jit(moments.gaussian_kl, static_argnames="floor")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("highest", [1, 3])
def test_cmd_moments(highest):
    arrays = codes_and_weights(0)
    expected = reference.value("cmd", *arrays, moments=highest)
    np.testing.assert_allclose(cmd(*arrays, moments=highest), expected, rtol=1e-5)


def test_cmd_of_two_batches_of_one_distribution_is_small():
    """Fifth moments of raw normal codes would make it tens."""
    x_bd, y_bd = normal(64, 40), normal(64, 40, seed=1)
    value = cmd(x_bd, y_bd, np.ones(64, np.float32))
    assert 0.1 < value < 0.5
    assert cmd(x_bd, y_bd + 1, np.ones(64, np.float32)) > 3 * value


def test_cmd_of_two_points():
    """Only the means differ; all central moments are 0."""
    value = cmd(jnp.full((1, 2), 1.0), jnp.full((1, 2), -2.0), jnp.ones(1))
    np.testing.assert_allclose(value, np.sqrt(2) * (expit(1) - expit(-2)), rtol=1e-6)


def test_coral_is_blind_to_means_and_sees_correlations():
    x_bd, ones = normal(64, 4), np.ones(64, np.float32)
    assert coral(x_bd, x_bd + 3, ones) < 1e-6
    mixed_bd = x_bd.copy()
    mixed_bd[:, 0] = (x_bd[:, 0] + x_bd[:, 1]) / np.sqrt(2)
    assert coral(x_bd, mixed_bd, ones) > 1e-3


def test_coral_is_1_where_one_code_is_all_on_a_line_and_the_other_a_point():
    x_bd = jnp.outer(jnp.array([1.0, -1.0]), jnp.ones(5))
    np.testing.assert_allclose(coral(x_bd, 0 * x_bd, jnp.ones(2)), 1, rtol=1e-6)


def test_gaussian_kl_of_a_shift_without_floor():
    """Of x and x + v: mean_d v^2 / (2 var), the closed form of two Gaussians of one variance."""
    x_bd, shift_d = normal(64, 4), np.array([0.5, -1, 2, 0], np.float32)
    expected = np.mean(shift_d**2 / (2 * x_bd.var(0)))
    value = gaussian_kl(x_bd, x_bd + shift_d[None, :], np.ones(64, np.float32), floor=1e-9)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_gaussian_kl_of_two_points_is_what_the_floor_allows():
    value = gaussian_kl(jnp.zeros((1, 3)), jnp.full((1, 3), 5.0), jnp.ones(1), floor=0.01)
    np.testing.assert_allclose(value, 2 / 0.01, rtol=1e-5)


def test_gaussian_kl_is_blind_to_correlations():
    x_bd, ones = normal(64, 4), np.ones(64, np.float32)
    permuted_bd = x_bd.copy()
    permuted_bd[:, 1] = x_bd[::-1, 1]  # the same column, now with other partners
    assert gaussian_kl(x_bd, permuted_bd, ones) < 1e-6
    assert coral(x_bd, permuted_bd, ones) > 1e-4


@pytest.mark.parametrize("divergence", [coral, gaussian_kl])
def test_neither_scale_nor_a_common_shift_is_felt(divergence):
    x_bd, y_bd, w_b = codes_and_weights(1)
    value = divergence(x_bd, y_bd, w_b)
    np.testing.assert_allclose(divergence(50 * x_bd + 3, 50 * y_bd + 3, w_b), value, rtol=1e-4)
