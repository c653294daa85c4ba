import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest

from fsrf_jax.losses import distillation
from fsrf_jax.losses.divergences import mmd, mse

WEIGHTS = reference.example_batch().weights
DEFAULT = ((1.0, mmd), (0.5, mse))


def views(available=None):
    codes = reference.example_outputs(available=available).codes
    return [jax.tree.map(lambda x, k=k: x[k], codes) for k in (0, 1)]


def as_float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def test_value():
    first, second = views()
    term = jax.jit(lambda a, b: distillation.features(a, b, WEIGHTS, DEFAULT))(first, second)
    a, b, w = as_float64((first, second, WEIGHTS))
    compared = [(a.fused, b.fused, w)]
    for m in reference.MODALITIES:
        both = a.available[m] * b.available[m] * w
        compared.append((a.homogeneous[m], b.homogeneous[m], both))
        compared.append((a.heterogeneous[m], b.heterogeneous[m], both))
    expected = np.mean([reference.mmd(*c) + 0.5 * reference.mse(*c) for c in compared])
    np.testing.assert_allclose(term.value, expected, rtol=1e-5)
    np.testing.assert_allclose(term.weight, sum(c[2].sum() for c in compared), rtol=1e-6)


def test_all_missing_leaves_the_fused_code():
    first, second = views(dict.fromkeys(reference.MODALITIES, 0))
    term = distillation.features(first, second, WEIGHTS, DEFAULT[1:])
    expected = 0.5 * reference.mse(*as_float64((first.fused, second.fused, WEIGHTS)))
    np.testing.assert_allclose(term.value, expected, rtol=1e-5)


def test_available_in_one_view_only_counts_nothing():
    first, second = views(dict.fromkeys(reference.MODALITIES, 1))
    second = second.replace(available=jax.tree.map(jnp.zeros_like, second.available))

    def value(codes):
        return distillation.features(codes, second, WEIGHTS, DEFAULT).value

    gradients = jax.jit(jax.grad(value))(first)
    for tree in (gradients.homogeneous, gradients.heterogeneous):
        chex.assert_trees_all_equal(tree, jax.tree.map(jnp.zeros_like, tree))
    assert np.abs(gradients.fused).sum() > 0


def test_no_gradient_into_the_side_that_teaches():
    def only_the_teacher(x_bd, y_bd, weights_b):
        return jnp.sum(y_bd) + 0 * jnp.sum(x_bd) + 0 * jnp.sum(weights_b)

    def value(both):
        return distillation.features(*both, WEIGHTS, [(1.0, only_the_teacher)]).value

    result, gradients = jax.value_and_grad(value)(tuple(views()))
    assert result != 0
    codes = [(g.fused, g.homogeneous, g.heterogeneous) for g in gradients]
    chex.assert_trees_all_equal(codes, jax.tree.map(jnp.zeros_like, codes))


def test_gradient_is_that_of_learning_from_a_constant():
    first, second = views(dict.fromkeys(reference.MODALITIES, 0))
    p_b1 = np.asarray(WEIGHTS / WEIGHTS.sum())[:, None]
    difference = np.asarray(first.fused - second.fused)
    gradients = jax.grad(lambda both: distillation.features(*both, WEIGHTS, [(1.0, mse)]).value)(
        (first, second)
    )
    # Half of the gradient of p |x - y|^2 / d; without stop-gradients it would be all of it.
    expected = p_b1 * difference / difference.shape[1]
    np.testing.assert_allclose(gradients[0].fused, expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(gradients[1].fused, -expected, rtol=1e-5, atol=1e-8)


def test_no_gradient_into_noise_and_pooled_codes():
    gradients = jax.grad(lambda both: distillation.features(*both, WEIGHTS, DEFAULT).value)(
        tuple(views())
    )
    for gradient in gradients:
        unused = (gradient.noise, gradient.pooled)
        chex.assert_trees_all_equal(unused, jax.tree.map(jnp.zeros_like, unused))


@pytest.mark.parametrize("same", [True, False])
def test_zero_weights_or_equal_views(same):
    first, second = views()
    second = first if same else second
    weights = WEIGHTS if same else 0 * WEIGHTS
    value, gradients = jax.value_and_grad(
        lambda both: distillation.features(*both, weights, DEFAULT).value
    )((first, second))
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert same or value == 0
    chex.assert_trees_all_close(gradients, jax.tree.map(jnp.zeros_like, gradients), atol=1e-6)


def test_swapping_the_views_changes_nothing():
    first, second = views()
    chex.assert_trees_all_close(
        distillation.features(first, second, WEIGHTS, DEFAULT),
        distillation.features(second, first, WEIGHTS, DEFAULT),
        rtol=1e-6,
    )


class Predictions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_value_and_gradient(self):
        first, second = reference.example_outputs().prediction

        def value(pair):
            return distillation.predictions(*pair, WEIGHTS).value

        result, gradients = self.variant(jax.value_and_grad(value))((first, second))
        expected = np.average(np.square(as_float64(first - second)), weights=WEIGHTS)
        np.testing.assert_allclose(result, expected, rtol=1e-5)
        slope = np.asarray(first - second) * np.asarray(WEIGHTS / WEIGHTS.sum())
        np.testing.assert_allclose(gradients[0], slope, rtol=1e-5)
        np.testing.assert_allclose(gradients[1], -slope, rtol=1e-5)


def test_predictions_without_weight():
    first, second = reference.example_outputs().prediction
    value, gradient = jax.value_and_grad(
        lambda y: distillation.predictions(y, second, 0 * WEIGHTS).value
    )(first)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0 * first)


def test_shapes_are_checked():
    first, second = reference.example_outputs().prediction
    with pytest.raises(AssertionError):
        distillation.predictions(first, second[:, None], WEIGHTS)
