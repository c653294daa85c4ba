from functools import cache

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.stats import pearsonr

from fsrf_jax.losses.dependence import DEPENDENCE, cross_correlation

REFERENCES = {"cross_correlation": reference.cross_correlation}
every = pytest.mark.parametrize("name", sorted(DEPENDENCE))


@cache
def compiled(name):
    return jax.jit(jax.value_and_grad(DEPENDENCE[name], (0, 1)))


def value_and_gradients(name, x_bd, y_be, weights_b):
    return compiled(name)(
        jnp.asarray(x_bd, jnp.float32),
        jnp.asarray(y_be, jnp.float32),
        jnp.asarray(weights_b, jnp.float32),
    )


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters((name, name) for name in sorted(DEPENDENCE))
    def test_value(self, name):
        x_bd, y_bd, w_b = reference.codes_and_weights(0)
        expected = REFERENCES[name](*(a.astype(np.float64) for a in (x_bd, y_bd, w_b)))
        value = self.variant(DEPENDENCE[name])(x_bd, y_bd, w_b)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@every
def test_gradients(name):
    x_bd, y_bd, w_b = reference.codes_and_weights(1)
    with jax.enable_x64(True):
        x, y, w = (jnp.asarray(a, jnp.float64) for a in (x_bd, y_bd, w_b))
        check_grads(lambda x, y: DEPENDENCE[name](x, y, w), (x, y), 1, ["rev"])


@every
def test_all_weights_zero(name):
    x_bd, y_bd, w_b = reference.codes_and_weights(2)
    value, gradients = value_and_gradients(name, x_bd, y_bd, 0 * w_b)
    assert value == 0
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, gradients), (0 * x_bd, 0 * y_bd))


@every
@pytest.mark.parametrize("weights_b", [[1.0], [0.0, 3.0, 0.0]], ids=["alone", "by weights"])
def test_one_sample(name, weights_b):
    x_bd, y_bd, _ = reference.codes_and_weights(3, b=len(weights_b))
    value, gradients = value_and_gradients(name, x_bd, y_bd, weights_b)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    chex.assert_trees_all_close(gradients, (0 * x_bd, 0 * y_bd), atol=1e-6)


@every
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), size=st.floats(0.1, 10))
def test_weights_of_0_and_1_equal_dropping_rows(name, seed, size):
    x_bd, y_bd, _ = reference.codes_and_weights(seed, b=9)
    kept = np.random.default_rng(seed).permutation(9) < 7
    value, gradients = value_and_gradients(name, x_bd, y_bd, size * kept)
    expected, expected_gradients = value_and_gradients(name, x_bd[kept], y_bd[kept], np.ones(7))
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_array_equal(gradient[~kept], np.zeros((2, 4)))
        np.testing.assert_allclose(gradient[kept], expected_gradient, rtol=1e-3, atol=1e-5)


@every
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-10, 1e-5, 1e5, 1e10])
def test_huge_and_tiny_codes_stay_finite(name, size):
    x_bd, y_bd, w_b = reference.codes_and_weights(4)
    chex.assert_tree_all_finite(value_and_gradients(name, size * x_bd, size * y_bd, w_b))
    chex.assert_tree_all_finite(value_and_gradients(name, size * x_bd, y_bd, w_b))


@every
@pytest.mark.parametrize("constant", [0.0, 0.1, -7.0, 1000.0])
def test_constant_columns_depend_on_nothing(name, constant):
    x_bd, y_bd, w_b = reference.codes_and_weights(5)
    x_bd[:, :] = constant
    value, gradients = value_and_gradients(name, x_bd, y_bd, w_b)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    chex.assert_tree_all_finite(gradients)
    value, gradients = value_and_gradients(name, x_bd, x_bd, w_b)
    np.testing.assert_allclose(value, 0, atol=1e-3 if constant == 1000 else 1e-6)
    chex.assert_tree_all_finite(gradients)


@every
def test_equal_codes(name):
    x_bd, _, w_b = reference.codes_and_weights(6)
    value, gradients = value_and_gradients(name, x_bd, x_bd, w_b)
    chex.assert_tree_all_finite(gradients)
    assert value >= 1 / x_bd.shape[1] - 1e-5


@every
def test_the_order_of_the_batch_does_not_matter(name):
    x_bd, y_bd, w_b = reference.codes_and_weights(7)
    order = np.random.default_rng(0).permutation(len(w_b))
    value, _ = value_and_gradients(name, x_bd, y_bd, w_b)
    other, _ = value_and_gradients(name, x_bd[order], y_bd[order], w_b[order])
    np.testing.assert_allclose(value, other, rtol=1e-5)


def test_cross_correlation_agrees_with_scipy_and_takes_other_widths():
    x_bd, y_bd, _ = reference.codes_and_weights(8)
    y_be = y_bd[:, :2]
    expected = np.mean([pearsonr(x, y).statistic ** 2 for x in x_bd.T for y in y_be.T])
    value = cross_correlation(x_bd, y_be, np.ones(len(x_bd), np.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_cross_correlation_does_not_feel_scale_or_shift():
    x_bd, y_bd, w_b = reference.codes_and_weights(9)
    value = cross_correlation(x_bd, y_bd, w_b)
    np.testing.assert_allclose(cross_correlation(x_bd * 50 + 3, y_bd * 0.1, w_b), value, rtol=1e-4)


def test_cross_correlation_sees_a_rotation():
    """The trap of method.md: cosine is blind to a code that is a rotation of another."""
    rng = np.random.default_rng(0)
    x_bd = rng.normal(size=(128, 8)).astype(np.float32)
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    ones = np.ones(128, np.float32)
    turned = cross_correlation(x_bd, (x_bd @ rotation).astype(np.float32), ones)
    independent = cross_correlation(x_bd, rng.normal(size=(128, 8)).astype(np.float32), ones)
    assert turned > 5 * independent


def test_shapes_are_checked():
    x_bd, y_bd, w_b = reference.codes_and_weights(0)
    with pytest.raises(AssertionError):
        cross_correlation(x_bd, y_bd[:-1], w_b)
