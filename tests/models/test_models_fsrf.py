import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest

from fsrf_jax import models

BATCH = case.make_batch()
B = len(BATCH.labels)
OBSERVED = {
    "language": BATCH.valid["language"] & jnp.asarray([1, 1, 0, 0, 1], bool)[:, None],
    "audio": BATCH.valid["audio"] & jnp.asarray([1, 0, 1, 0, 1], bool)[:, None],
}
THINNED = jax.tree.map(lambda o: o & (jnp.arange(o.shape[1]) % 2 == 0)[None], BATCH.valid)
make = jax.jit(models.init, static_argnums=(0, 1))
PARAMETERS = case.disturb(make(case.NETWORK, case.AUXILIARY, BATCH, jax.random.key(0)))
UNAWARE = dataclasses.replace(case.NETWORK, mask_aware=False)
forward = jax.jit(models.forward_views, static_argnums=(0, 1))
predict = jax.jit(models.predict, static_argnums=0)


def weighted_sum(tree):
    leaves = jax.tree.leaves(tree)
    return sum((leaf * case.normal(i, *leaf.shape)).sum() for i, leaf in enumerate(leaves))


@jax.jit
@jax.grad
def gradient_of_parts(parameters, share):
    """One program for the gradients of all kinds of outputs."""
    outputs = models.forward_views(
        case.NETWORK, case.AUXILIARY, parameters, BATCH, [OBSERVED, THINNED], jax.random.key(0)
    )
    parts = vars(outputs.auxiliary) | {"prediction": outputs.prediction}
    return sum(share[name] * weighted_sum(part) for name, part in parts.items())


def gradient_of(part):
    names = ("prediction", "heterogeneous", "noise", "reconstruction")
    return gradient_of_parts(PARAMETERS, {name: jnp.float32(name == part) for name in names})


@pytest.mark.parametrize("network", [case.NETWORK, UNAWARE], ids=["aware", "unaware"])
def test_one_view_alone_equals_the_stacked_pass(network):
    views = [OBSERVED, THINNED]
    outputs = forward(network, case.AUXILIARY, PARAMETERS, BATCH, views, jax.random.key(0))
    assert outputs.prediction.shape == (2, B)
    for k, view in enumerate(views):
        alone = predict(
            network, {"network": PARAMETERS["network"]}, BATCH.features, BATCH.valid, view
        )
        np.testing.assert_allclose(alone, outputs.prediction[k], rtol=1e-4, atol=1e-5)
        for m in case.MODALITIES:
            np.testing.assert_array_equal(outputs.codes.available[m][k], view[m].any(axis=1))
            absent_b = ~view[m].any(axis=1)
            codes = outputs.codes
            for code in (codes.pooled, codes.homogeneous, codes.heterogeneous, codes.noise):
                assert code[m].shape == (2, B, 8)
                case.assert_zero(code[m][k, absent_b])
            assert outputs.auxiliary.reconstruction[m].shape == (2, B, case.FEATURES[m])
            assert outputs.auxiliary.heterogeneous[m].shape == (2, B)
            assert outputs.auxiliary.noise[m].shape == (2, B)
    assert outputs.codes.fused.shape == (2, B, 8)
    chex.assert_tree_all_finite(outputs)


def test_missing_frames_count_for_the_unaware_network_only():
    args = PARAMETERS, BATCH.features, BATCH.valid, THINNED
    without = PARAMETERS, BATCH.features, THINNED, THINNED
    aware = predict(case.NETWORK, *args)
    np.testing.assert_allclose(predict(case.NETWORK, *without), aware, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predict(UNAWARE, *without), aware, rtol=1e-5, atol=1e-6)
    assert np.abs(predict(UNAWARE, *args) - aware).max() > 1e-3


def test_dropout_differs_between_views_and_keys():
    network = dataclasses.replace(case.NETWORK, dropout=0.25)
    run = partial(forward, network, case.AUXILIARY, PARAMETERS, BATCH, [THINNED, THINNED])
    one, again, other = (run(jax.random.key(seed)).prediction for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one[0] - one[1]).max() > 1e-3


def test_the_prediction_depends_on_neither_noise_nor_auxiliary_heads():
    gradient = gradient_of("prediction")
    case.assert_zero(gradient["auxiliary"])
    case.assert_zero(gradient["network"]["Factorizer_0"]["noise"])
    for name in ("homogeneous", "heterogeneous"):
        assert case.largest(gradient["network"]["Factorizer_0"][name]) > 0
    chex.assert_tree_all_finite(gradient)


def test_the_heterogeneous_head_gives_its_gradient_to_s_alone():
    gradient = gradient_of("heterogeneous")
    factorizer = gradient["network"]["Factorizer_0"]
    case.assert_zero(factorizer["homogeneous"])
    case.assert_zero(factorizer["noise"])
    assert case.largest(factorizer["heterogeneous"]) > 0
    kernel = gradient["auxiliary"]["heterogeneous"]["Dense_0"]["kernel"]
    assert np.abs(kernel[:, :8]).max() > 0  # the head does look at H


def test_the_reconstruction_uses_all_three_codes():
    gradient = gradient_of("reconstruction")
    for name in ("homogeneous", "heterogeneous", "noise"):
        assert case.largest(gradient["network"]["Factorizer_0"][name]) > 0


def test_an_unavailable_modality_gives_no_gradient_to_its_encoder():
    nothing = BATCH.valid | {"audio": jnp.zeros_like(BATCH.valid["audio"])}

    @jax.jit
    @jax.grad
    def gradient_of_codes(parameters):
        args = BATCH.features, BATCH.valid, nothing
        return weighted_sum(case.NETWORK.apply({"params": parameters}, *args, train=False))

    gradient = gradient_of_codes(PARAMETERS["network"])
    case.assert_zero(gradient["encoder_audio"])
    assert case.largest(gradient["encoder_language"]) > 0


def test_reverse_gradient():
    x = case.normal(0, 3, 2)
    np.testing.assert_array_equal(models.reverse_gradient(x), x)
    value, gradient = jax.value_and_grad(lambda x: (models.reverse_gradient(x) ** 2).sum())(x)
    np.testing.assert_allclose(value, (x**2).sum(), rtol=1e-6)
    np.testing.assert_array_equal(gradient, -2 * x)


def test_the_adversary_learns_forwards_and_teaches_backwards():
    """Against finite differences, which know nothing of the reversal."""
    codes = jax.tree.map(
        lambda x: x[0],
        forward(
            case.NETWORK, case.AUXILIARY, PARAMETERS, BATCH, [THINNED], jax.random.key(0)
        ).codes,
    )
    with jax.enable_x64(True):
        codes, heads = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64), (codes, PARAMETERS["auxiliary"])
        )

        @jax.jit
        def value(noise, adversary):
            variables = {"params": heads | {"adversary": adversary}}
            predictions = case.AUXILIARY.apply(variables, codes.replace(noise=noise))
            return weighted_sum(predictions.noise)

        inputs = codes.noise, heads["adversary"]
        gradients = jax.jit(jax.grad(value, (0, 1)))(*inputs)
        for i, sign in enumerate((-1, 1)):
            direction = jax.tree.map(lambda x: case.normal(7, *x.shape), inputs[i])
            ends = []
            for step in (-1e-5, 1e-5):
                moved = list(inputs)
                moved[i] = jax.tree.map(lambda x, d, s=step: x + s * d, inputs[i], direction)
                ends.append(value(*moved))
            products = jax.tree.map(lambda g, d: (g * d).sum(), gradients[i], direction)
            slope = (ends[1] - ends[0]) / 2e-5
            assert abs(slope) > 1e-3
            np.testing.assert_allclose(sum(jax.tree.leaves(products)), sign * slope, rtol=1e-6)


def test_only_the_networks_parameters_are_needed_to_predict():
    args = BATCH.features, BATCH.valid, OBSERVED
    network_only = {"network": PARAMETERS["network"]}
    np.testing.assert_array_equal(
        predict(case.NETWORK, network_only, *args), predict(case.NETWORK, PARAMETERS, *args)
    )


def test_nothing_observed_at_all_gives_one_finite_answer():
    nothing = jax.tree.map(jnp.zeros_like, BATCH.valid)
    answer_b = predict(case.NETWORK, PARAMETERS, BATCH.features, BATCH.valid, nothing)
    assert np.isfinite(answer_b).all()
    np.testing.assert_allclose(answer_b, jnp.full(B, answer_b[0]), rtol=1e-5)
    some = predict(case.NETWORK, PARAMETERS, BATCH.features, BATCH.valid, THINNED)
    assert np.abs(some - answer_b).min() > 1e-4


def test_seeds_of_the_parameters():
    same, other = (
        make(case.NETWORK, case.AUXILIARY, BATCH, jax.random.key(seed)) for seed in (0, 1)
    )
    again = make(case.NETWORK, case.AUXILIARY, BATCH, jax.random.key(0))
    chex.assert_trees_all_equal(same, again)
    kernel = "regression"
    assert np.abs(same["network"][kernel]["kernel"] - other["network"][kernel]["kernel"]).min() > 0
