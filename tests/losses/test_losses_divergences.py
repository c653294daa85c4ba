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
from sklearn.metrics.pairwise import rbf_kernel

from fsrf_jax.losses import divergences
from fsrf_jax.losses.divergences import DIVERGENCES

REFERENCES = {
    "cosine": reference.cosine,
    "infonce": reference.infonce,
    "mmd": reference.mmd,
    "mse": reference.mse,
}
every = pytest.mark.parametrize("name", sorted(DIVERGENCES))


@cache
def compiled(name):
    return jax.jit(jax.value_and_grad(DIVERGENCES[name], (0, 1)))


def value_and_gradients(name, x_bd, y_bd, weights_b):
    return compiled(name)(
        jnp.asarray(x_bd, jnp.float32),
        jnp.asarray(y_bd, jnp.float32),
        jnp.asarray(weights_b, jnp.float32),
    )


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters((name, name) for name in sorted(DIVERGENCES))
    def test_value(self, name):
        x_bd, y_bd, w_b = reference.codes_and_weights(0)
        expected = REFERENCES[name](*(a.astype(np.float64) for a in (x_bd, y_bd, w_b)))
        np.testing.assert_allclose(
            self.variant(DIVERGENCES[name])(x_bd, y_bd, w_b), expected, rtol=2e-5
        )


def test_every_divergence_has_a_reference():
    assert set(REFERENCES) == set(DIVERGENCES)


@every
def test_gradients(name):
    x_bd, y_bd, w_b = (a.astype(np.float64) for a in reference.codes_and_weights(1, b=5, d=3))
    with jax.enable_x64(True):
        w = jnp.asarray(w_b)
        if name == "mmd":  # the width is a constant to the gradient, so hold it in the reference
            gradients = jax.grad(divergences.mmd, (0, 1))(x_bd, y_bd, w)
            scale = reference.mmd_scale(x_bd, y_bd, w_b)
            for side, gradient in enumerate(gradients):
                for i, j in np.ndindex(x_bd.shape):
                    ends = []
                    for step in (1e-6, -1e-6):
                        moved = [x_bd.copy(), y_bd.copy()]
                        moved[side][i, j] += step
                        ends.append(reference.mmd(*moved, w_b, scale=scale))
                    np.testing.assert_allclose(
                        gradient[i, j], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-9
                    )
        else:
            check_grads(
                lambda x, y: DIVERGENCES[name](x, y, w),
                (jnp.asarray(x_bd), jnp.asarray(y_bd)),
                1,
                ["rev"],
            )


@every
def test_all_weights_zero(name):
    x_bd, y_bd, w_b = reference.codes_and_weights(2)
    value, gradients = value_and_gradients(name, x_bd, y_bd, 0 * w_b)
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, np.zeros_like(x_bd))


@every
def test_one_sample(name):
    x_bd, y_bd, _ = reference.codes_and_weights(3, b=1)
    one = np.ones(1, np.float32)
    value, gradients = value_and_gradients(name, x_bd, y_bd, one)
    chex.assert_tree_all_finite(gradients)
    x, y, w = (a.astype(np.float64) for a in (x_bd, y_bd, one))
    np.testing.assert_allclose(value, REFERENCES[name](x, y, w), rtol=1e-5, atol=1e-6)


@every
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), size=st.floats(0.1, 10))
def test_weights_of_0_and_1_equal_dropping_rows(name, seed, size):
    x_bd, y_bd, _ = reference.codes_and_weights(seed, b=6)
    kept = np.random.default_rng(seed).permutation([True, True, True, True, False, False])
    value, gradients = value_and_gradients(name, x_bd, y_bd, size * kept)
    expected, expected_gradients = value_and_gradients(name, x_bd[kept], y_bd[kept], np.ones(4))
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_array_equal(gradient[~kept], np.zeros((2, 4)))
        np.testing.assert_allclose(gradient[kept], expected_gradient, rtol=1e-3, atol=1e-5)


@every
def test_a_row_without_weight_may_hold_anything(name):
    x_bd, y_bd, w_b = reference.codes_and_weights(4)
    value, gradients = value_and_gradients(name, x_bd, y_bd, w_b)
    x_bd[1], y_bd[1] = 50, -80
    other, other_gradients = value_and_gradients(name, x_bd, y_bd, w_b)
    np.testing.assert_allclose(value, other, rtol=1e-6)
    chex.assert_trees_all_close(gradients, other_gradients, rtol=1e-5, atol=1e-7)


@every
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-10, 1e-5, 1e5, 1e10])
def test_huge_and_tiny_codes_stay_finite(name, size):
    x_bd, y_bd, w_b = reference.codes_and_weights(5)
    chex.assert_tree_all_finite(value_and_gradients(name, size * x_bd, size * y_bd, w_b))
    # Half of the rows zero, as codes are where nothing was observed.
    x_bd[::2], y_bd[::3] = 0, 0
    chex.assert_tree_all_finite(value_and_gradients(name, size * x_bd, size * y_bd, w_b))


@every
def test_equal_codes(name):
    x_bd, _, w_b = reference.codes_and_weights(6)
    value, gradients = value_and_gradients(name, x_bd, x_bd, w_b)
    chex.assert_tree_all_finite(gradients)
    if name != "infonce":
        np.testing.assert_allclose(value, 0, atol=1e-6)
        chex.assert_trees_all_close(gradients, (0 * x_bd, 0 * x_bd), atol=1e-6)


@every
def test_the_order_of_the_batch_does_not_matter(name):
    x_bd, y_bd, w_b = reference.codes_and_weights(7)
    order = np.random.default_rng(0).permutation(len(w_b))
    value, (gradient, _) = value_and_gradients(name, x_bd, y_bd, w_b)
    other, (other_gradient, _) = value_and_gradients(name, x_bd[order], y_bd[order], w_b[order])
    np.testing.assert_allclose(value, other, rtol=1e-5)
    np.testing.assert_allclose(gradient[order], other_gradient, rtol=1e-4, atol=1e-6)


@every
def test_vmap_equals_a_loop(name):
    views = [reference.codes_and_weights(seed) for seed in (8, 9)]
    together = jax.vmap(DIVERGENCES[name])(*(jnp.stack(a) for a in zip(*views, strict=True)))
    alone = [DIVERGENCES[name](*map(jnp.asarray, view)) for view in views]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


@every
def test_shapes_are_checked(name):
    x_bd, y_bd, w_b = reference.codes_and_weights(0)
    with pytest.raises(AssertionError):
        DIVERGENCES[name](x_bd, y_bd[:, :1], w_b)
    with pytest.raises(AssertionError):
        DIVERGENCES[name](x_bd, y_bd, w_b[:-1])


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_infonce_temperature(temperature):
    x_bd, y_bd, w_b = reference.codes_and_weights(10)
    value = divergences.infonce(x_bd, y_bd, w_b, temperature=temperature)
    x, y, w = (a.astype(np.float64) for a in (x_bd, y_bd, w_b))
    np.testing.assert_allclose(value, reference.infonce(x, y, w, temperature), rtol=1e-4)


def test_infonce_of_codes_that_nothing_tells_apart():
    value = divergences.infonce(jnp.ones((8, 3)), jnp.ones((8, 3)), jnp.ones(8))
    np.testing.assert_allclose(value, np.log(8), rtol=1e-6)


def test_infonce_falls_when_partners_agree():
    x_bd, y_bd, w_b = reference.codes_and_weights(11, b=32, d=16)
    far, near = divergences.infonce(x_bd, y_bd, w_b), divergences.infonce(x_bd, x_bd, w_b)
    shuffled = divergences.infonce(x_bd, np.roll(x_bd, 1, axis=0), w_b)
    assert near < far < shuffled


def test_mmd_agrees_with_the_kernels_of_scikit_learn():
    x_bd, y_bd, _ = reference.codes_and_weights(12, b=20)
    pooled = np.concatenate([x_bd, y_bd]).astype(np.float64)
    scale = np.mean([((a - b) ** 2).sum() for a in pooled for b in pooled])
    expected = 0.0
    for multiple in (0.5, 3.0):
        k = rbf_kernel(pooled, gamma=1 / (multiple * scale))
        expected += (k[:20, :20].mean() + k[20:, 20:].mean() - 2 * k[:20, 20:].mean()) / 2
    value = divergences.mmd(x_bd, y_bd, np.ones(20, np.float32), multiples=(0.5, 3.0))
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_mmd_does_not_feel_which_row_belongs_to_which():
    x_bd, y_bd, _ = reference.codes_and_weights(13)
    ones = jnp.ones(len(x_bd))
    value = divergences.mmd(x_bd, y_bd, ones)
    np.testing.assert_allclose(value, divergences.mmd(x_bd, y_bd[::-1], ones), rtol=1e-5)


def test_mmd_far_from_the_origin_keeps_its_digits():
    x_bd, y_bd, w_b = reference.codes_and_weights(14)
    near = divergences.mmd(x_bd, y_bd, w_b)
    far = divergences.mmd(x_bd + 1000, y_bd + 1000, w_b)
    np.testing.assert_allclose(near, far, rtol=1e-3)
