import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest
from fsrf_jax.models.fsrf import apply_heads

from fsrf_jax import models
from fsrf_jax.losses.task import LARGEST_LOG_VARIANCE
from fsrf_jax.missing import completeness
from fsrf_jax.types import Codes

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
    return sum(share[name] * weighted_sum(parts[name]) for name in share)


def gradient_of(part):
    names = ("prediction", "heterogeneous", "noise", "reconstruction")
    return gradient_of_parts(PARAMETERS, {name: jnp.float32(name == part) for name in names})


@pytest.mark.parametrize("network", [case.NETWORK, UNAWARE], ids=["aware", "unaware"])
def test_one_view_alone_equals_the_stacked_pass(network):
    views = [OBSERVED, THINNED]
    outputs = forward(network, case.AUXILIARY, PARAMETERS, BATCH, views, jax.random.key(0))
    assert outputs.prediction.shape == (2, B, 1)
    for k, view in enumerate(views):
        np.testing.assert_array_equal(outputs.completeness[k], completeness(BATCH.valid, view))
    for k, view in enumerate(views):
        alone = predict(
            network, {"network": PARAMETERS["network"]}, BATCH.features, BATCH.valid, view
        )
        np.testing.assert_allclose(alone, outputs.prediction[k, :, 0], rtol=1e-4, atol=1e-5)
        for m in case.MODALITIES:
            np.testing.assert_array_equal(outputs.codes.available[m][k], view[m].any(axis=1))
            absent_b = ~view[m].any(axis=1)
            codes = outputs.codes
            for code in (codes.pooled, codes.homogeneous, codes.heterogeneous, codes.noise):
                assert code[m].shape == (2, B, 8)
                case.assert_zero(code[m][k, absent_b])
            assert outputs.auxiliary.reconstruction[m].shape == (2, B, case.FEATURES[m])
            assert outputs.auxiliary.heterogeneous[m].shape == (2, B, 1)
            assert outputs.auxiliary.noise[m].shape == (2, B, 1)
    assert outputs.auxiliary.frozen_noise == {}
    assert outputs.codes.noise_moments == {}
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
    first, second = (p["network"]["head"]["kernel"] for p in (same, other))
    assert np.abs(first - second).min() > 0


@jax.jit
def outputs_of_kinds(parameters, codes):
    """What every kind of auxiliary head gives, and its gradient in codes and parameters."""

    def value(parameters, codes):
        kinds = {name: apply_heads(heads, parameters[name], codes) for name, heads in KINDS.items()}
        return weighted_sum(kinds), kinds

    return jax.grad(value, (0, 1), has_aux=True)(parameters, codes)


KINDS = {
    "alone": dataclasses.replace(case.AUXILIARY, heterogeneous="task_alone", noise="dependence"),
    "modality": dataclasses.replace(case.AUXILIARY, heterogeneous="modality", noise="bottleneck"),
    "uniform": dataclasses.replace(case.AUXILIARY, heterogeneous="contrastive", noise="uniform"),
    "crossed": dataclasses.replace(case.AUXILIARY, crossed=True, outputs=3),
}


def code_of(seed):
    return {m: case.normal(seed + i, B, 8) for i, m in enumerate(case.MODALITIES)}


CODES = Codes(BATCH.features, code_of(0), code_of(2), code_of(4), code_of(6), {}, jnp.zeros((B, 8)))


def test_kinds_of_auxiliary_heads():
    parameters = {
        name: case.parameters_of(heads, CODES, seed=i)
        for i, (name, heads) in enumerate(KINDS.items())
    }
    gradient, kinds = outputs_of_kinds(parameters, CODES)
    for m in case.MODALITIES:
        assert kinds["alone"].heterogeneous[m].shape == (B, 1)
        assert kinds["modality"].heterogeneous[m].shape == (B, 2)
        assert kinds["uniform"].noise[m].shape == (B, 1)
        np.testing.assert_array_equal(kinds["uniform"].noise[m], kinds["uniform"].frozen_noise[m])
        assert kinds["crossed"].heterogeneous[m].shape == (B, 3)
        assert kinds["crossed"].reconstruction[m].shape == (B, 1, case.FEATURES[m])
    assert kinds["alone"].noise == kinds["modality"].noise == {}
    assert kinds["uniform"].heterogeneous == {}
    # Behind sg(H) and S the head of kind task is wider than that on S alone.
    assert parameters["alone"]["heterogeneous"]["Dense_0"]["kernel"].shape == (2, 8, 8)
    assert parameters["modality"]["modality"]["Dense_1"]["kernel"].shape == (8, 2)
    assert parameters["crossed"]["decoder_audio"]["Dense_0"]["kernel"].shape == (16, 8)
    chex.assert_tree_all_finite(gradient)


def test_crossed_decoders_read_the_other_modality():
    heads = KINDS["crossed"]
    parameters = case.parameters_of(heads, CODES)

    def audio(codes):
        return (apply_heads(heads, parameters, codes).reconstruction["audio"] ** 2).sum()

    gradient = jax.jit(jax.grad(audio))(CODES)
    assert np.abs(gradient.homogeneous["language"]).max() > 0
    assert np.abs(gradient.heterogeneous["audio"]).max() > 0
    unread = gradient.homogeneous["audio"], gradient.heterogeneous["language"], gradient.noise
    case.assert_zero(unread)


def test_the_uniform_head_learns_from_held_codes_and_the_codes_from_a_held_head():
    heads = KINDS["uniform"]
    parameters = case.parameters_of(heads, CODES)

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def gradients(parameters, codes, share):
        given = apply_heads(heads, parameters, codes)
        return share[0] * weighted_sum(given.noise) + share[1] * weighted_sum(given.frozen_noise)

    of_parameters, of_codes = gradients(parameters, CODES, jnp.array([1.0, 0]))
    case.assert_zero(of_codes)
    assert case.largest(of_parameters["adversary"]) > 0
    of_parameters, of_codes = gradients(parameters, CODES, jnp.array([0.0, 1]))
    case.assert_zero(of_parameters)
    assert case.largest(of_codes.noise) > 0


@pytest.mark.parametrize(
    ("head", "outputs"), [("number", 1), ("gaussian", 2), ("class", 3), ("binary", 3)]
)
def test_what_a_prediction_is(head, outputs):
    network = dataclasses.replace(case.NETWORK, head=head, outputs=outputs)
    parameters = case.disturb(make(network, case.AUXILIARY, BATCH, jax.random.key(0)))
    predicted = predict(network, parameters, BATCH.features, BATCH.valid, OBSERVED)
    assert parameters["network"]["head"]["bias"].shape == (outputs,)
    if head == "number":
        assert predicted.shape == (B,)
        return
    if head == "gaussian":
        assert predicted.shape == (B, 2)
        parameters["network"]["head"]["bias"] += jnp.array([1.0, 1e3])
        surer = predict(network, parameters, BATCH.features, BATCH.valid, OBSERVED)
        assert np.allclose(surer[:, 0], predicted[:, 0] + 1, atol=1e-5)
        assert np.allclose(surer[:, 1], LARGEST_LOG_VARIANCE)
        return
    assert predicted.shape == (B, 3)
    assert ((predicted > 0) & (predicted < 1)).all()
    assert np.allclose(predicted.sum(axis=1), 1, atol=1e-5) == (head == "class")
