from functools import partial

import chex
import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest
from flax import linen as nn
from scipy.special import erf, softmax

from fsrf_jax.models import layers

D, HEADS = 8, 2
ATTENTION = layers.SelfAttention(HEADS)


@partial(jax.jit, static_argnums=(0, 3))
def drop(rate, x, key, train=True):
    return layers.Dropout(rate).apply({}, x, train=train, rngs={"dropout": key})


@pytest.mark.parametrize(("rate", "of_256"), [(0.1, 26), (0.5, 128), (0.996 - 1e-6, 255)])
@pytest.mark.parametrize("d", [199, 200])
def test_dropout(rate, of_256, d):
    x = 1 + jnp.abs(case.normal(0, 300, d))
    y = np.asarray(drop(rate, x, jax.random.key(0)))
    kept = y != 0
    share, n = 1 - of_256 / 256, y.size
    assert abs(kept.mean() - share) < 5 * np.sqrt(share * (1 - share) / n)
    np.testing.assert_allclose(y[kept], (x / np.float32(share))[kept], rtol=1e-6)
    apart = kept - kept.mean()
    for one, other in ((apart[:, 1:], apart[:, :-1]), (apart[1:], apart[:-1])):
        assert abs((one * other).mean()) < 5 * share * (1 - share) / np.sqrt(n)
    assert abs(kept.mean(axis=0) - share).max() < 7 * np.sqrt(share / 300)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_dropout_of_narrow_arrays(d):
    x = jnp.ones((40, 50, d))
    y = drop(0.25, x, jax.random.key(0))
    assert y.shape == x.shape
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert (y != drop(0.25, x, jax.random.key(1))).any()
    np.testing.assert_array_equal(y, drop(0.25, x, jax.random.key(0)))


def test_no_dropout():
    x = case.normal(0, 3, 5)
    np.testing.assert_array_equal(layers.Dropout(0.5).apply({}, x, train=False), x)
    np.testing.assert_array_equal(layers.Dropout(0.0).apply({}, x, train=True), x)


def attention_case():
    x_btd = case.normal(1, 4, 5, D)
    mask_bt = jnp.asarray([[1, 1, 0, 1, 1], [0, 0, 1, 0, 0], [1] * 5, [0] * 5], bool)
    return x_btd, mask_bt, case.parameters_of(ATTENTION, x_btd, mask_bt)


def reference_attention(parameters, x_btd, mask_bt):
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), parameters)
    out_bias = p["output"]["bias"]
    result = np.zeros(x_btd.shape) + out_bias
    for b, x_td in enumerate(np.asarray(x_btd, np.float64)):
        mask_t = np.asarray(mask_bt[b])
        if not mask_t.any():
            continue
        for h in range(HEADS):
            q, k, v = (
                x_td @ p["query_key_value"]["kernel"][:, i, h] + p["query_key_value"]["bias"][i, h]
                for i in range(3)
            )
            weights = softmax(q @ k[mask_t].T / np.sqrt(D // HEADS), axis=1)
            result[b] += weights @ v[mask_t] @ p["output"]["kernel"][h]
    return result


def test_attention_against_float64():
    x_btd, mask_bt, parameters = attention_case()
    y_btd = jax.jit(ATTENTION.apply)({"params": parameters}, x_btd, mask_bt)
    np.testing.assert_allclose(
        y_btd, reference_attention(parameters, x_btd, mask_bt), rtol=1e-4, atol=1e-5
    )


def test_attention_with_nothing_to_attend_to():
    """The mixture is zero, whatever the layer's bias; values and gradients stay finite."""
    x_btd, mask_bt, parameters = attention_case()
    parameters["output"]["bias"] *= 0

    def value(parameters, x_btd):
        y_btd = ATTENTION.apply({"params": parameters}, x_btd, mask_bt)
        return (y_btd * case.normal(2, *y_btd.shape)).sum(), y_btd

    (_, y_btd), gradients = jax.jit(jax.value_and_grad(value, (0, 1), has_aux=True))(
        parameters, x_btd
    )
    chex.assert_tree_all_finite(gradients)
    case.assert_zero(y_btd[3])
    case.assert_zero(gradients[1][3])
    assert case.largest(gradients[1][1]) > 0


def test_masked_positions_have_no_influence_on_others():
    x_btd, mask_bt, parameters = attention_case()
    attend = jax.jit(ATTENTION.apply)
    changed_btd = jnp.where(mask_bt[..., None], x_btd, 1e3)
    y_btd, other_btd = (attend({"params": parameters}, x, mask_bt) for x in (x_btd, changed_btd))
    np.testing.assert_array_equal(y_btd[mask_bt], other_btd[mask_bt])


def gelu(x):
    """Gaussian error linear unit; Flax takes the tanh form, within 1e-3 of it."""
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def test_block_of_a_row_without_mask_and_residuals():
    """With its output layers at zero, a block gives its input back."""
    block = layers.Block(HEADS, 2, 0.5)
    x_btd, mask_bt, _ = attention_case()
    parameters = case.parameters_of(block, x_btd, mask_bt, train=False)
    parameters["SelfAttention_0"]["output"] = jax.tree.map(
        jnp.zeros_like, parameters["SelfAttention_0"]["output"]
    )
    parameters["Dense_1"] = jax.tree.map(jnp.zeros_like, parameters["Dense_1"])
    run = jax.jit(partial(block.apply, train=True))
    y_btd = run({"params": parameters}, x_btd, mask_bt, rngs={"dropout": jax.random.key(0)})
    np.testing.assert_array_equal(y_btd, x_btd)


def test_perceptron_against_float64():
    perceptron = layers.Perceptron(7, 3, 0.5)
    x = case.normal(0, 6, 5)
    parameters = case.parameters_of(perceptron, x, train=False)
    y = perceptron.apply({"params": parameters}, x, train=False)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), parameters)
    hidden = gelu(np.asarray(x, np.float64) @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"])
    assert hidden.shape == (6, 7)
    expected = hidden @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]
    np.testing.assert_allclose(y, expected, atol=5e-3)


@pytest.mark.parametrize(("kernel", "t"), [(1, 6), (2, 6), (3, 6), (4, 6), (5, 2), (3, 1)])
def test_frame_convolution(kernel, t):
    """Every output is a sum over features of one-dimensional convolutions."""
    layer = layers.FrameConvolution(2, kernel)
    x_btf = case.normal(2, 3, t, 4)
    parameters = case.parameters_of(layer, x_btf)
    assert parameters["kernel"].shape == (kernel, 4, 2)
    products_btkd, bias_d = layer.apply({"params": parameters}, x_btf)
    y_btd = layers.shifted_sum([products_btkd[:, :, i] for i in range(kernel)], bias_d)
    kernel_kfd = np.asarray(parameters["kernel"], np.float64)
    first = kernel - 1 - (kernel - 1) // 2
    for b, d in np.ndindex(3, 2):
        full = sum(
            np.convolve(np.asarray(x_btf[b, :, f], np.float64), kernel_kfd[::-1, f, d])
            for f in range(4)
        )
        expected_t = full[first : first + t] + parameters["bias"][d]
        np.testing.assert_allclose(y_btd[b, :, d], expected_t, rtol=1e-4, atol=1e-5)


def test_perceptron_drops_its_hidden_layer_only():
    perceptron = layers.Perceptron(64, 1, 0.5)
    x = jnp.ones((200, 2))
    parameters = case.parameters_of(perceptron, x, train=False)
    run = partial(perceptron.apply, {"params": parameters}, x)
    trained = run(train=True, rngs={"dropout": jax.random.key(0)})
    assert len(np.unique(trained)) > 150
    np.testing.assert_allclose(trained.mean(), run(train=False)[0, 0], atol=5 * trained.std() / 14)


@pytest.mark.parametrize("t", [1, 6])
def test_positions(t):
    expected_td = np.zeros((t, D))
    for place in range(t):
        for i in range(D // 2):
            angle = place / 10_000 ** (i / (D // 2))
            expected_td[place, i] = np.sin(angle)
            expected_td[place, D // 2 + i] = np.cos(angle)
    np.testing.assert_allclose(layers.sinusoidal_positions(t, D), expected_td, atol=1e-6)


def test_prepend():
    x_btd, token_d = case.normal(0, 2, 3, 4), case.normal(1, 4)
    longer_btd = layers.prepend(token_d, x_btd)
    np.testing.assert_array_equal(longer_btd[:, 1:], x_btd)
    np.testing.assert_array_equal(longer_btd[:, 0], np.tile(token_d, (2, 1)))


def test_where_available():
    x_bd = case.normal(0, 3, 2)
    available_b = jnp.asarray([1.0, 0.0, 1.0])
    value, gradient = jax.value_and_grad(lambda x: layers.where_available(available_b, x).sum())(
        x_bd.at[1].set(jnp.inf)
    )
    np.testing.assert_allclose(value, x_bd[::2].sum(), rtol=1e-6)
    np.testing.assert_array_equal(gradient, [[1, 1], [0, 0], [1, 1]])


class PerModality(nn.Module):
    """`per_modality` in a module, as it must be."""

    @nn.compact
    def __call__(self, x_mbd):
        return layers.per_modality(layers.Perceptron(6, 3, name="head"), x_mbd)


def test_per_modality_is_one_perceptron_for_each():
    x_mbd = case.normal(0, 3, 5, 4)
    parameters = case.parameters_of(PerModality(), x_mbd)
    assert parameters["head"]["Dense_0"]["kernel"].shape == (3, 4, 6)
    y_mbo = jax.jit(PerModality().apply)({"params": parameters}, x_mbd)
    for i, x_bd in enumerate(x_mbd):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], parameters["head"])
        alone = layers.Perceptron(6, 3).apply({"params": own}, x_bd, train=False)
        np.testing.assert_allclose(y_mbo[i], alone, rtol=1e-5, atol=1e-6)


def test_reverse_gradient():
    x = case.normal(0, 3, 2)
    np.testing.assert_array_equal(layers.reverse_gradient(x), x)
    value, gradient = jax.value_and_grad(lambda x: (layers.reverse_gradient(x) ** 2).sum())(x)
    np.testing.assert_allclose(value, (x**2).sum(), rtol=1e-6)
    np.testing.assert_array_equal(gradient, -2 * x)


def test_a_rate_of_dropout_may_be_an_array():
    """So that no rate compiles anew: the same mask as for a number, and none for a rate of 0."""
    x = 1 + jnp.abs(case.normal(0, 30, 20))

    @jax.jit
    def run(rate):
        return layers.Dropout(rate).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})

    for rate in (0.1, 0.5):
        expected = drop(rate, x, jax.random.key(0))
        np.testing.assert_allclose(run(jnp.float32(rate)), expected, rtol=1e-6)
    np.testing.assert_array_equal(run(jnp.float32(0)), x)
