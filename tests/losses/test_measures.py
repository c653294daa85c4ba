"""The contract of all measures of two codes, divergences and dependences alike.

What each can and cannot see is tested with its kind, in test_divergences.py, test_dependence.py and
the files of the single measures.
"""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import measures_reference as reference
import numpy as np
import pytest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_reference import codes_and_weights
from measures_case import MEASURES, value_and_gradients

from fsrf_jax.losses.divergences import DIVERGENCES

every = pytest.mark.parametrize("name", sorted(MEASURES))
# What the iterations of sinkhorn leave.
TOLERANCE = {"sinkhorn": 1e-3}


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters((name, name) for name in sorted(MEASURES))
    def test_value(self, name):
        arrays = codes_and_weights(0)
        value = self.variant(MEASURES[name])(*arrays)
        expected = reference.value(name, *arrays)
        np.testing.assert_allclose(value, expected, rtol=TOLERANCE.get(name, 2e-5))


@every
def test_gradients(name):
    x_bd, y_bd, w_b = codes_and_weights(1, b=5, d=3)
    options = {"iterations": 1000} if name == "sinkhorn" else {}
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a, jnp.float64) for a in (x_bd, y_bd, w_b)]
        gradients = jax.jit(jax.grad(partial(MEASURES[name], **options), (0, 1)))(*arrays)
    for moves in np.random.default_rng(0).normal(size=(4, 2, *x_bd.shape)):
        expected = reference.slope(name, x_bd, y_bd, w_b, moves)
        np.testing.assert_allclose(np.sum(moves * np.stack(gradients)), expected, rtol=1e-5)


@every
def test_x_and_y_may_change_places(name):
    x_bd, y_bd, w_b = codes_and_weights(2)
    value, (of_x, of_y) = value_and_gradients(name, x_bd, y_bd, w_b)
    swapped, (of_y_swapped, of_x_swapped) = value_and_gradients(name, y_bd, x_bd, w_b)
    np.testing.assert_allclose(value, swapped, rtol=1e-5)
    chex.assert_trees_all_close((of_x, of_y), (of_x_swapped, of_y_swapped), rtol=1e-4, atol=1e-6)


@every
def test_all_weights_zero(name):
    x_bd, y_bd, w_b = codes_and_weights(4)
    value, gradients = value_and_gradients(name, x_bd, y_bd, 0 * w_b)
    assert value == 0
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, gradients), (0 * x_bd, 0 * y_bd))


@every
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), size=st.floats(0.1, 10))
def test_weights_of_0_and_1_equal_dropping_rows(name, seed, size):
    x_bd, y_bd, _ = codes_and_weights(seed)
    kept = np.random.default_rng(seed).permutation(9) < 6
    value, gradients = value_and_gradients(name, x_bd, y_bd, size * kept)
    expected, expected_gradients = value_and_gradients(name, x_bd[kept], y_bd[kept], np.ones(6))
    atol = 1e-6 if name in DIVERGENCES else 0
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=atol)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_array_equal(gradient[~kept], np.zeros((3, 4)))
        np.testing.assert_allclose(gradient[kept], expected_gradient, rtol=1e-3, atol=1e-5)


@every
def test_a_common_factor_of_the_weights_cancels(name):
    x_bd, y_bd, w_b = codes_and_weights(6)
    chex.assert_trees_all_close(
        value_and_gradients(name, x_bd, y_bd, w_b),
        value_and_gradients(name, x_bd, y_bd, 1e-3 * w_b),
        rtol=1e-3,
        atol=1e-6,
    )


@every
@pytest.mark.parametrize("content", [-80.0, 1e30, np.inf, np.nan])
def test_a_row_without_weight_may_hold_anything(name, content):
    x_bd, y_bd, w_b = codes_and_weights(7)
    expected = value_and_gradients(name, x_bd, y_bd, w_b)
    x_bd[1], y_bd[1] = content, -content
    value, gradients = value_and_gradients(name, x_bd, y_bd, w_b)
    chex.assert_trees_all_close((value, gradients), expected, rtol=1e-5, atol=1e-7)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient[1], 0)


@every
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-10, 1e-5, 1e5, 1e10])
def test_huge_and_tiny_codes_stay_finite(name, size):
    x_bd, y_bd, w_b = codes_and_weights(8)
    chex.assert_tree_all_finite(value_and_gradients(name, size * x_bd, size * y_bd, w_b))
    chex.assert_tree_all_finite(value_and_gradients(name, size * x_bd, y_bd, w_b))
    # Half of the rows zero, as codes are where nothing was observed.
    x_bd[::2], y_bd[::3] = 0, 0
    chex.assert_tree_all_finite(value_and_gradients(name, size * x_bd, size * y_bd, w_b))
    # One sample.
    chex.assert_tree_all_finite(
        value_and_gradients(name, size * x_bd, size * y_bd, w_b * np.eye(9)[3])
    )


@every
def test_the_order_of_the_batch_does_not_matter(name):
    x_bd, y_bd, w_b = codes_and_weights(10)
    order = np.random.default_rng(0).permutation(len(w_b))
    value, (gradient, _) = value_and_gradients(name, x_bd, y_bd, w_b)
    other, (other_gradient, _) = value_and_gradients(name, x_bd[order], y_bd[order], w_b[order])
    np.testing.assert_allclose(value, other, rtol=1e-5)
    np.testing.assert_allclose(gradient[order], other_gradient, rtol=1e-4, atol=1e-6)


@every
def test_bfloat16_codes_are_measured_in_float32(name):
    x_bd, y_bd, w_b = (jnp.asarray(a, jnp.bfloat16) for a in codes_and_weights(12))
    value, gradients = value_and_gradients(name, x_bd, y_bd, w_b, dtype=jnp.bfloat16)
    chex.assert_type([value, *gradients], [jnp.float32, jnp.bfloat16, jnp.bfloat16])
    rounded = [np.asarray(a, np.float64) for a in (x_bd, y_bd, w_b)]
    np.testing.assert_allclose(value, reference.value(name, *rounded), rtol=1e-3)


@every
def test_vmap_equals_a_loop(name):
    views = [codes_and_weights(seed) for seed in (8, 9)]
    measure = jax.vmap(jax.jit(MEASURES[name]))
    together = measure(*(jnp.stack(a) for a in zip(*views, strict=True)))
    alone = [value_and_gradients(name, *view)[0] for view in views]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@every
def test_shapes_are_checked(name):
    x_bd, y_bd, w_b = codes_and_weights(0)
    with pytest.raises(AssertionError):
        MEASURES[name](x_bd, y_bd[:-1], w_b)
    with pytest.raises(AssertionError):
        MEASURES[name](x_bd, y_bd, w_b[:-1])
