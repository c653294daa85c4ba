import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from fsrf_jax.losses import averaging

FEW = settings(max_examples=20, deadline=None, derandomize=True)
NUMBERS = st.lists(
    st.tuples(st.floats(-1e3, 1e3, width=32), st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    min_size=5,
    max_size=5,
)


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_values(self):
        x_bd, _, w_b = reference.codes_and_weights(0)
        mean = self.variant(averaging.weighted_mean)(x_bd[:, 0], w_b)
        np.testing.assert_allclose(mean, np.average(x_bd[:, 0], weights=w_b), rtol=1e-5)
        means = self.variant(averaging.column_means)(x_bd, w_b)
        np.testing.assert_allclose(means, np.average(x_bd, axis=0, weights=w_b), rtol=1e-5)
        std = self.variant(averaging.weighted_std)(x_bd, w_b)
        np.testing.assert_allclose(std, reference.std(x_bd, w_b), rtol=1e-5)
        active = self.variant(averaging.mean_of_active)(x_bd[:, 0], w_b)
        np.testing.assert_allclose(active, x_bd[w_b > 0, 0].mean(), rtol=1e-5)
        np.testing.assert_allclose(self.variant(averaging.proportions)(w_b), w_b / w_b.sum(), 1e-5)


@FEW
@given(NUMBERS)
def test_weighted_mean_is_numpys_average(pairs):
    values, weights = np.array(pairs, np.float32).T
    np.testing.assert_allclose(
        averaging.weighted_mean(values, weights),
        reference.mean(values.astype(np.float64), weights),
        rtol=1e-4,
        atol=1e-3,
    )


@pytest.mark.parametrize("function", [averaging.weighted_mean, averaging.mean_of_active])
def test_without_weight_zero_and_zero_gradient(function):
    values = jnp.array([1.0, jnp.nan, jnp.inf])
    value, gradient = jax.value_and_grad(function)(values, jnp.zeros(3))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros(3))


@pytest.mark.parametrize("function", [averaging.weighted_mean, averaging.mean_of_active])
def test_a_value_without_weight_may_be_nan(function):
    values, weights = jnp.array([1.0, jnp.nan, 5.0]), jnp.array([1.0, 0.0, 1.0])
    value, gradient = jax.value_and_grad(function)(values, weights)
    np.testing.assert_allclose(value, 3)
    np.testing.assert_allclose(gradient, [0.5, 0, 0.5])


def test_mean_of_active_ignores_how_large_a_weight_is():
    weights = jnp.array([1e-6, 7.0, 0.0])
    value = averaging.mean_of_active(jnp.array([1.0, 3.0, 100.0]), weights)
    np.testing.assert_allclose(value, 2)


def test_gradients():
    x_bd, _, w_b = reference.codes_and_weights(1)
    with jax.enable_x64(True):
        x, w = jnp.asarray(x_bd, jnp.float64), jnp.asarray(w_b, jnp.float64)
        check_grads(lambda x: averaging.weighted_std(x, w), (x,), 1, ["rev"])
        check_grads(lambda x: averaging.weighted_mean(x[:, 0], w), (x,), 1, ["rev"])


@pytest.mark.parametrize(
    ("x_bd", "weights_b"),
    [
        (np.full((4, 3), 0.1), np.ones(4)),
        (np.random.default_rng(0).normal(size=(4, 3)), np.array([0, 1.0, 0, 0])),
        (np.random.default_rng(0).normal(size=(4, 3)), np.zeros(4)),
        (np.zeros((4, 3)), np.ones(4)),
    ],
    ids=["constant", "one sample", "no weight", "zeros"],
)
def test_standard_deviation_of_what_does_not_vary(x_bd, weights_b):
    x_bd, weights_b = jnp.asarray(x_bd, jnp.float32), jnp.asarray(weights_b, jnp.float32)
    std_d = averaging.weighted_std(x_bd, weights_b)
    np.testing.assert_allclose(std_d, np.zeros(3), atol=1e-7)
    gradient = jax.grad(lambda x: averaging.weighted_std(x, weights_b).sum())(x_bd)
    assert np.isfinite(gradient).all()


def test_average_of_terms():
    terms = [averaging.Term(jnp.float32(v), jnp.float32(w)) for v, w in [(1, 2), (9, 0), (4, 3)]]
    chex.assert_trees_all_close(averaging.average(terms), averaging.Term(2.5, 5.0))
    chex.assert_trees_all_close(averaging.average(terms[1:2]), averaging.Term(0.0, 0.0))
    chex.assert_trees_all_close(averaging.average([]), averaging.Term(0.0, 0.0))


def product(x, y, w):
    return averaging.weighted_mean(x * y, w)


def test_mean_over_triples():
    x_bd, y_bd, w_b = reference.codes_and_weights(2)
    weights_nb = np.stack([w_b, 0 * w_b, 2 * w_b])
    value, weight = averaging.mean_over(product, x_bd[:, :3].T, y_bd[:, :3].T, weights_nb)
    expected = [np.average(x_bd[:, i] * y_bd[:, i], weights=w_b) for i in (0, 2)]
    np.testing.assert_allclose(value, np.mean(expected), rtol=1e-5)
    np.testing.assert_allclose(weight, 3 * w_b.sum(), rtol=1e-5)


def test_mean_over_no_triples_at_all():
    def value(x_n):
        term = averaging.mean_over(product, x_n, x_n, x_n)
        return term.value, term

    nothing = jnp.zeros((0, 5))
    (_, term), gradient = jax.value_and_grad(value, has_aux=True)(nothing)
    assert term == (0, 0)
    assert gradient.shape == nothing.shape


def test_repeated():
    x_bd, _, _ = reference.codes_and_weights(2)
    np.testing.assert_array_equal(averaging.repeated(x_bd, 3), np.stack([x_bd] * 3))
    assert averaging.repeated(x_bd, 0).shape == (0, *x_bd.shape)


def test_shapes_are_checked():
    with pytest.raises(AssertionError):
        averaging.weighted_mean(jnp.ones((3, 1)), jnp.ones(3))
    with pytest.raises(AssertionError):
        averaging.mean_of_active(jnp.ones(3), jnp.ones(4))
    with pytest.raises(AssertionError):
        averaging.mean_over(product, jnp.ones((2, 5)), jnp.ones((3, 5)), jnp.ones((2, 5)))
    with pytest.raises(AssertionError):
        averaging.mean_over(product, jnp.ones((2, 5)), jnp.ones((2, 5)), jnp.ones(2))
