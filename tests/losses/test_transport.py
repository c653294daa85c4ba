import jax
import jax.numpy as jnp
import measures_reference as reference
import numpy as np
import ot
import pytest
from losses_reference import codes_and_weights

from fsrf_jax.losses import transport
from fsrf_jax.losses.transport import directions

sinkhorn = jax.jit(transport.sinkhorn, static_argnames=("blur", "iterations"))
sliced_wasserstein = jax.jit(transport.sliced_wasserstein, static_argnames="projections")


def test_directions_have_length_one_and_do_not_change():
    lines_dp = directions(5, 64)
    assert lines_dp.shape == (5, 64)
    np.testing.assert_allclose(np.linalg.norm(lines_dp, axis=0), 1)
    np.testing.assert_array_equal(lines_dp, directions(5, 64))
    # Uniform on the sphere: no direction is preferred.
    np.testing.assert_allclose(np.mean(directions(3, 4000) ** 2, axis=1), 1 / 3, atol=0.02)


@pytest.mark.parametrize("d", [1, 4])
def test_sliced_wasserstein_of_a_shift(d):
    """The mean of (v . direction)^2: v^2 on a line, about |v|^2 / d otherwise."""
    x_bd, _, w_b = codes_and_weights(0, d=d)
    shift_d = np.linspace(1, 2, d).astype(np.float32)
    value = sliced_wasserstein(x_bd, x_bd + shift_d[None, :], w_b)
    np.testing.assert_allclose(value, np.mean((shift_d @ directions(d, 64)) ** 2), rtol=1e-5)
    np.testing.assert_allclose(value, np.sum(shift_d**2) / d, rtol=1e-5 if d == 1 else 0.3)


def test_sliced_wasserstein_on_a_line_agrees_with_exact_transport():
    x_bd, y_bd, w_b = codes_and_weights(1, d=1)
    x, y, p = (a.astype(np.float64) for a in (x_bd, y_bd, w_b / w_b.sum()))
    expected = ot.emd2(p / p.sum(), p / p.sum(), ot.dist(x, y))
    np.testing.assert_allclose(sliced_wasserstein(x_bd, y_bd, w_b), expected, rtol=1e-5)


def test_sliced_wasserstein_projections():
    arrays = codes_and_weights(2)
    expected = reference.value("sliced_wasserstein", *arrays, projections=3)
    np.testing.assert_allclose(sliced_wasserstein(*arrays, projections=3), expected, rtol=2e-5)


@pytest.mark.parametrize("distance", [0.1, 7.0])
def test_sinkhorn_of_two_points(distance):
    """One plan only; s is half their squared distance, so the value is 2."""
    x_bd, y_bd = jnp.zeros((1, 3)), jnp.full((1, 3), distance)
    value, gradient = jax.value_and_grad(sinkhorn, 1)(x_bd, y_bd, jnp.ones(1))
    np.testing.assert_allclose(value, 2, rtol=1e-5)
    scale = 3 * distance**2 / 2
    np.testing.assert_allclose(gradient, 2 * y_bd / scale, rtol=1e-5)


@pytest.mark.parametrize("blur", [0.05, 1.0])
def test_sinkhorn_blur(blur):
    arrays = codes_and_weights(3)
    expected = reference.value("sinkhorn", *arrays, blur=blur)
    value = sinkhorn(*arrays, blur=blur, iterations=200)
    np.testing.assert_allclose(value, expected, rtol=1e-3)


def test_sinkhorn_of_a_shift_is_its_square_whatever_the_blur():
    """Feydy et al. 2019: without the bias, a shift by v costs |v|^2."""
    x_bd, _, w_b = codes_and_weights(4)
    y_bd = x_bd + np.float32(1)
    scale = reference.mmd_scale(*(a.astype(np.float64) for a in (x_bd, y_bd, w_b)))
    for blur in (0.1, 1.0):
        value = sinkhorn(x_bd, y_bd, w_b, blur=blur, iterations=200)
        np.testing.assert_allclose(value, 4 / scale, rtol=1e-3)


def test_sinkhorn_has_converged_by_default():
    """64 codes of width 40 that fill two of their dimensions only: the slow case."""
    rng = np.random.default_rng(0)
    plane_2d = rng.normal(size=(2, 40))
    x_bd, y_bd = (rng.normal(size=(2, 64, 2)) @ plane_2d[None]).astype(np.float32)
    y_bd += plane_2d[0].astype(np.float32)[None, :] / 2
    ones = jnp.ones(64)
    few, many = sinkhorn(x_bd, y_bd, ones), sinkhorn(x_bd, y_bd, ones, iterations=1000)
    np.testing.assert_allclose(few, many, atol=1e-3)


@pytest.mark.parametrize("divergence", [sinkhorn, sliced_wasserstein])
def test_neither_feels_which_row_belongs_to_which(divergence):
    x_bd, y_bd, _ = codes_and_weights(5)
    ones = jnp.ones(len(x_bd))
    value = divergence(x_bd, y_bd, ones)
    np.testing.assert_allclose(divergence(x_bd, y_bd[::-1], ones), value, rtol=1e-4)
