from functools import cache

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
from scipy.stats import pearsonr

from fsrf_jax.losses.dependence import DEPENDENCE, cosine_squared, cross_correlation

every = pytest.mark.parametrize("name", sorted(DEPENDENCE))
# Measures of how the rows of a batch vary together; cosine_squared looks at each row alone.
OF_THE_BATCH = sorted(set(DEPENDENCE) - {"cosine_squared"})
of_the_batch = pytest.mark.parametrize("name", OF_THE_BATCH)


@cache
def compiled(name):
    return jax.jit(jax.value_and_grad(DEPENDENCE[name], (0, 1)))


def value_and_gradients(name, x_bd, y_be, weights_b, dtype=jnp.float32):
    return compiled(name)(*(jnp.asarray(a, dtype) for a in (x_bd, y_be, weights_b)))


@cache
def values(name):
    return jax.jit(DEPENDENCE[name])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters((name, name) for name in sorted(DEPENDENCE))
    def test_value(self, name):
        arrays = codes_and_weights(0)
        value = self.variant(DEPENDENCE[name])(*arrays)
        np.testing.assert_allclose(value, reference.value(name, *arrays), rtol=2e-5)


def test_every_measure_has_a_reference():
    assert set(reference.DEPENDENCE) == set(DEPENDENCE)


@every
def test_gradients(name):
    x_bd, y_bd, w_b = codes_and_weights(1, b=5, d=3)
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a, jnp.float64) for a in (x_bd, y_bd, w_b)]
        gradients = jax.jit(jax.grad(DEPENDENCE[name], (0, 1)))(*arrays)
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


@of_the_batch
def test_codes_of_two_widths(name):
    x_bd, y_bd, w_b = codes_and_weights(3)
    value = values(name)(x_bd, y_bd[:, :2], w_b)
    np.testing.assert_allclose(value, reference.value(name, x_bd, y_bd[:, :2], w_b), rtol=2e-5)


@every
def test_all_weights_zero(name):
    x_bd, y_bd, w_b = codes_and_weights(4)
    value, gradients = value_and_gradients(name, x_bd, y_bd, 0 * w_b)
    assert value == 0
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, gradients), (0 * x_bd, 0 * y_bd))


@of_the_batch
@pytest.mark.parametrize("weights_b", [[1.0], [0.0, 3.0, *[0.0] * 7]], ids=["alone", "by weights"])
def test_one_sample_depends_on_nothing(name, weights_b):
    x_bd, y_bd, _ = codes_and_weights(5, b=len(weights_b))
    value, gradients = value_and_gradients(name, x_bd, y_bd, weights_b)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    chex.assert_trees_all_close(gradients, (0 * x_bd, 0 * y_bd), atol=1e-6)


@every
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), size=st.floats(0.1, 10))
def test_weights_of_0_and_1_equal_dropping_rows(name, seed, size):
    x_bd, y_bd, _ = codes_and_weights(seed)
    kept = np.random.default_rng(seed).permutation(9) < 7
    value, gradients = value_and_gradients(name, x_bd, y_bd, size * kept)
    expected, expected_gradients = value_and_gradients(name, x_bd[kept], y_bd[kept], np.ones(7))
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_array_equal(gradient[~kept], np.zeros((2, 4)))
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
def test_the_order_of_the_batch_does_not_matter(name):
    x_bd, y_bd, w_b = codes_and_weights(10)
    order = np.random.default_rng(0).permutation(len(w_b))
    value, _ = value_and_gradients(name, x_bd, y_bd, w_b)
    other, _ = value_and_gradients(name, x_bd[order], y_bd[order], w_b[order])
    np.testing.assert_allclose(value, other, rtol=1e-5)


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


@every
def test_bfloat16_codes_are_measured_in_float32(name):
    x_bd, y_bd, w_b = (jnp.asarray(a, jnp.bfloat16) for a in codes_and_weights(13))
    value, gradients = value_and_gradients(name, x_bd, y_bd, w_b, dtype=jnp.bfloat16)
    chex.assert_type([value, *gradients], [jnp.float32, jnp.bfloat16, jnp.bfloat16])
    rounded = [np.asarray(a, np.float64) for a in (x_bd, y_bd, w_b)]
    np.testing.assert_allclose(value, reference.value(name, *rounded), rtol=1e-3)


@every
def test_vmap_equals_a_loop(name):
    views = [codes_and_weights(seed) for seed in (8, 9)]
    measure = jax.vmap(jax.jit(DEPENDENCE[name]))
    together = measure(*(jnp.stack(a) for a in zip(*views, strict=True)))
    alone = [value_and_gradients(name, *view)[0] for view in views]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@every
def test_shapes_are_checked(name):
    x_bd, y_bd, w_b = codes_and_weights(0)
    with pytest.raises(AssertionError):
        DEPENDENCE[name](x_bd, y_bd[:-1], w_b)
    with pytest.raises(AssertionError):
        DEPENDENCE[name](x_bd, y_bd, w_b[:-1])


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
