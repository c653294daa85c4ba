import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from jax.test_util import check_grads
from scipy.special import huber
from sklearn.metrics import mean_absolute_error, mean_squared_error

from fsrf_jax.losses.task import REGRESSION, regression

REFERENCES = {
    "l1": lambda p, y, w: mean_absolute_error(y, p, sample_weight=w),
    "mse": lambda p, y, w: mean_squared_error(y, p, sample_weight=w),
    "huber": lambda p, y, w: np.average(huber(1.0, p - y), weights=w),
}
every = pytest.mark.parametrize("kind", sorted(REGRESSION))


def example(b=11):
    rng = np.random.default_rng(0)
    weights_b = rng.uniform(0, 2, b).astype(np.float32)
    weights_b[0] = 0
    labels_b, prediction_b = rng.uniform(-3, 3, (2, b)).astype(np.float32)
    return prediction_b, labels_b, weights_b


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters((kind, kind) for kind in sorted(REGRESSION))
    def test_value(self, kind):
        arrays = example()
        value = self.variant(lambda *a: regression(*a, kind=kind))(*arrays)
        expected = REFERENCES[kind](*(a.astype(np.float64) for a in arrays))
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@every
def test_gradients(kind):
    with jax.enable_x64(True):
        prediction, labels, weights = (jnp.asarray(a, jnp.float64) for a in example())
        check_grads(lambda p: regression(p, labels, weights, kind=kind), (prediction,), 1, ["rev"])


@every
def test_all_weights_zero(kind):
    prediction, labels, weights = example()
    value, gradient = jax.value_and_grad(regression)(prediction, labels, 0 * weights, kind=kind)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0 * prediction)


@every
def test_weights_of_0_and_1_equal_dropping_rows(kind):
    prediction, labels, _ = example()
    kept = np.arange(11) % 3 > 0
    value = regression(prediction, labels, kept.astype(np.float32), kind=kind)
    ones = np.ones(kept.sum(), np.float32)
    np.testing.assert_allclose(value, regression(prediction[kept], labels[kept], ones, kind=kind))


@every
def test_equal_inputs_and_one_sample(kind):
    y, w = jnp.array([2.0]), jnp.array([1.0])
    value, gradient = jax.value_and_grad(regression)(y, y, w, kind=kind)
    assert value == 0
    assert abs(gradient) <= (
        1 if kind == "l1" else 0
    )  # at its corner any slope of [-1, 1] is right


@every
def test_huge_values_stay_finite(kind):
    prediction, labels, weights = example()
    chex.assert_tree_all_finite(
        jax.value_and_grad(regression)(1e15 * prediction, labels, weights, kind=kind)
    )


def test_shapes_are_checked():
    with pytest.raises(AssertionError):
        regression(jnp.ones(3), jnp.ones((3, 1)), jnp.ones(3), kind="l1")
