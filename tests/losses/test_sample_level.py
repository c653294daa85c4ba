import jax
import jax.numpy as jnp
import measures_reference as reference
import numpy as np
import pytest
from losses_reference import codes_and_weights

from fsrf_jax.losses import sample_level

infonce = jax.jit(sample_level.infonce, static_argnames="temperature")
js = jax.jit(sample_level.js)


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_infonce_temperature(temperature):
    arrays = codes_and_weights(10)
    value = infonce(*arrays, temperature=temperature)
    expected = reference.value("infonce", *arrays, temperature=temperature)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_infonce_of_codes_that_nothing_tells_apart():
    value = infonce(jnp.ones((8, 3)), jnp.ones((8, 3)), jnp.ones(8))
    np.testing.assert_allclose(value, np.log(8), rtol=1e-6)


def test_infonce_falls_when_partners_agree():
    x_bd, y_bd, w_b = codes_and_weights(11, b=32, d=16)
    far, near = infonce(x_bd, y_bd, w_b), infonce(x_bd, x_bd, w_b)
    shuffled = infonce(x_bd, np.roll(x_bd, 1, axis=0), w_b)
    assert near < far < shuffled


def test_js_of_two_certain_and_different_codes_is_log_2_with_no_gradient():
    x_bd, y_bd = 1e3 * jnp.eye(3), 1e3 * jnp.roll(jnp.eye(3), 1, axis=0)
    value, gradient = jax.value_and_grad(js)(x_bd, y_bd, jnp.ones(3))
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)


def test_js_does_not_see_a_constant():
    x_bd, y_bd, w_b = codes_and_weights(12)
    np.testing.assert_allclose(js(x_bd + 7, y_bd, w_b), js(x_bd, y_bd, w_b), rtol=1e-5)
