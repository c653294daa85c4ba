"""FSRF's predictions, codes, parameters and checks: all of it but the loss."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import methods_case as case
import numpy as np
import pytest

from fsrf_jax.losses.task import LARGEST_LOG_VARIANCE
from fsrf_jax.methods import Fsrf, Setting
from fsrf_jax.options import check, split
from fsrf_jax.types import View

METHOD, SETTING, PARAMETERS, BATCH, VIEWS = case.case_of("l1", {}, case.BLOCKS)
STATIC, _ = split(METHOD)


@partial(case.jit, static_argnums=(0, 1))
def predict(method, setting, inference, *inputs):
    return method.predict(setting, inference, View(*inputs))


@partial(case.jit, static_argnums=(0, 1))
def codes(method, setting, inference, *inputs):
    return method.codes(setting, inference, View(*inputs))


INFERENCE = PARAMETERS["inference"]
INPUTS = BATCH.features, BATCH.valid


def test_one_view_alone_equals_the_stacked_pass():
    _, factors = case.evaluate(METHOD, SETTING, PARAMETERS, BATCH, VIEWS)
    b, d = len(BATCH.labels), case.BLOCKS.width
    for k, view in enumerate(VIEWS):
        alone = predict(STATIC, SETTING, INFERENCE, *INPUTS, view)
        np.testing.assert_allclose(alone, factors.raw[k, 0, :, 0], rtol=1e-4, atol=1e-5)
        found = codes(STATIC, SETTING, INFERENCE, *INPUTS, view)
        assert found.modalities == tuple(case.NAMES)
        available = np.stack([view[m].any(axis=1) for m in case.NAMES])
        np.testing.assert_array_equal(found.available, available)
        np.testing.assert_array_equal(factors.available[k], available)
        assert found.fused.shape == (b, d)
        np.testing.assert_allclose(found.fused, factors.fused[k, 0], rtol=1e-4, atol=1e-5)
        for name in ("pooled", "homogeneous", "heterogeneous", "noise"):
            code = getattr(found, name)
            assert code.shape == (3, b, d)
            case.assert_zero(code[~available])
            assert np.abs(code[available]).max(axis=1).min() > 0
            stacked = getattr(factors, name)[k]
            np.testing.assert_allclose(code, stacked, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("aware", [True, False])
def test_predictions_look_at_neither_padding_nor_missing_frames(aware):
    setting = Setting(SETTING.task, dataclasses.replace(case.BLOCKS, mask_aware=aware))
    seen = {m: BATCH.valid[m] & VIEWS[1][m] for m in case.NAMES}
    changed = {m: jnp.where(seen[m][..., None], x, 1e6) for m, x in BATCH.features.items()}
    of_both = [
        (predict(*args), codes(*args))
        for args in (
            (STATIC, setting, INFERENCE, features, BATCH.valid, VIEWS[1])
            for features in (BATCH.features, changed)
        )
    ]
    chex.assert_trees_all_equal(*of_both)


def test_missing_frames_count_for_the_unaware_network_only():
    unaware = Setting(SETTING.task, dataclasses.replace(case.BLOCKS, mask_aware=False))
    thinned = VIEWS[1]
    args = INFERENCE, BATCH.features, BATCH.valid, thinned
    without = INFERENCE, BATCH.features, thinned, thinned
    aware = predict(STATIC, SETTING, *args)
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(predict(STATIC, SETTING, *without), aware, **close)
    np.testing.assert_allclose(predict(STATIC, unaware, *without), aware, **close)
    assert np.abs(predict(STATIC, unaware, *args) - aware).max() > 1e-3


def test_predictions_follow_their_samples():
    order = np.random.default_rng(0).permutation(len(BATCH.labels))
    inputs = (*INPUTS, VIEWS[0])
    moved = predict(STATIC, SETTING, INFERENCE, *jax.tree.map(lambda x: x[order], inputs))
    usual = predict(STATIC, SETTING, INFERENCE, *inputs)
    np.testing.assert_allclose(moved, usual[order], rtol=1e-5, atol=1e-6)


def test_nothing_observed_at_all_gives_one_finite_answer():
    nothing_seen = jax.tree.map(jnp.zeros_like, BATCH.valid)
    answer_b = predict(STATIC, SETTING, INFERENCE, *INPUTS, nothing_seen)
    assert np.isfinite(answer_b).all()
    np.testing.assert_allclose(answer_b, jnp.full_like(answer_b, answer_b[0]), rtol=1e-5)
    some = predict(STATIC, SETTING, INFERENCE, *INPUTS, BATCH.valid)
    assert np.abs(some - answer_b).min() > 1e-5


def test_dropout_and_random_codes_are_of_training_alone():
    """Two passes of inference agree though the rate is high; a random N is then its mean."""
    method = case.method_with({"noise.kind": "bottleneck"})
    model = dataclasses.replace(case.MODEL, dropout=0.5)
    inference = case.parameters_of(method, Setting(SETTING.task, case.MODEL), BATCH)["inference"]
    args = inference, *INPUTS, VIEWS[1]
    static = split(method)[0]
    with_rate, without = (
        (predict(static, setting, *args), codes(static, setting, *args))
        for setting in (Setting(SETTING.task, model), Setting(SETTING.task, case.MODEL))
    )
    chex.assert_trees_all_equal(with_rate, without)


@pytest.mark.parametrize(
    ("kind", "width"),
    [("l1", 1), ("gaussian", 2), ("cross_entropy", 3), ("binary_cross_entropy", 2)],
)
def test_what_a_prediction_is(kind, width):
    _, setting, parameters, batch, views = case.case_of(kind, {})
    inference, b = parameters["inference"], len(batch.labels)
    args = batch.features, batch.valid, views[1]
    predicted = predict(STATIC, setting, inference, *args)
    assert inference["head"]["bias"].shape == (width,)
    assert predicted.shape == ((b,) if kind == "l1" else (b, width))
    if kind == "gaussian":
        bias = inference["head"]["bias"] + jnp.array([1.0, 1e3])
        surer = predict(
            STATIC, setting, inference | {"head": inference["head"] | {"bias": bias}}, *args
        )
        np.testing.assert_allclose(surer[:, 0], predicted[:, 0] + 1, atol=1e-5)
        np.testing.assert_allclose(surer[:, 1], LARGEST_LOG_VARIANCE)
    elif kind != "l1":
        assert ((predicted > 0) & (predicted < 1)).all()
        summed = np.allclose(predicted.sum(axis=1), 1, atol=1e-5)
        assert summed == (kind == "cross_entropy")


def test_parameters():
    """A key decides them; what training alone needs is apart; the batch's rows do not matter."""
    make = jax.jit(METHOD.init, static_argnums=0)
    one, again, other = (make(SETTING, BATCH, jax.random.key(seed)) for seed in (0, 0, 1))
    chex.assert_trees_all_equal(one, again)
    assert set(one) == {"inference", "training"}
    assert set(one["inference"]) == {"encoders", "factorizer", "fusion", "head"}
    heads = {"adversary", "heterogeneous", *(f"decoder_{m}" for m in case.NAMES)}
    assert set(one["training"]) == heads
    for path, (x, y) in jax.tree_util.tree_leaves_with_path(
        jax.tree.map(lambda *pair: pair, one, other), is_leaf=lambda x: isinstance(x, tuple)
    ):
        if path[-1].key not in ("bias", "scale"):
            assert np.abs(x - y).min() > 0
    two_rows = jax.tree.map(lambda x: x[:2], BATCH)
    shapes = case.shapes_of(METHOD, SETTING, two_rows)
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes, one)


def test_nobody_else_teaches_and_there_are_two_views():
    assert Fsrf().teacher_method() is None
    assert Fsrf().views == 2
    assert (Fsrf().name, Fsrf().complete_view) == ("fsrf", False)
    check(Fsrf())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"reconstruction.target": "complete"},
            "reconstruction.target: found 'complete', "
            "expected frames or view, or method.complete_view: true.",
        ),
        (
            {"weights.feature_distillation": {"mmd": 1.0, "wasserstein": 0.1}},
            "weights.feature_distillation: found 'wasserstein', expected names of divergences "
            "(cmd, coral, cosine, gaussian_kl, infonce, js, mmd, mse, sinkhorn, "
            "sliced_wasserstein).",
        ),
        (
            {"weights.feature_distillation": {"mmd": -1.0}},
            "weights.feature_distillation.mmd: found -1.0, expected a number of at least 0.",
        ),
        ({"weights.noise": -0.1}, "weights.noise: found -0.1, expected a number of at least 0."),
        (
            {"distillation.codes": ()},
            "distillation.codes: found [], expected one or more, each once.",
        ),
        (
            {"distillation.warmup": 1.5},
            "distillation.warmup: found 1.5, expected a number of at least 0 and at most 1.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match="found") as error:
        check(case.method_with(changes))
    assert str(error.value) == message


def test_a_complete_view_makes_a_complete_target():
    check(case.method_with({"complete_view": True, "reconstruction.target": "complete"}))


DISAGREEMENTS = {
    "l1": {"auto", "squared"},
    "gaussian": {"auto", "squared", "gaussian_kl"},
    "cross_entropy": {"auto", "kl"},
    "binary_cross_entropy": {"auto", "kl"},
}


@pytest.mark.parametrize("kind", DISAGREEMENTS)
@pytest.mark.parametrize("prediction", ["auto", "squared", "gaussian_kl", "kl"])
def test_a_disagreement_that_the_task_does_not_have_is_refused(kind, prediction):
    method = case.method_with({"distillation.prediction": prediction})
    if prediction in DISAGREEMENTS[kind]:
        method.check_task(case.task_of(kind))
        return
    with pytest.raises(ValueError, match="found") as error:
        method.check_task(case.task_of(kind))
    expected = f"found {prediction!r}, expected auto, or one that fits task.kind {kind}."
    assert str(error.value) == f"distillation.prediction: {expected}"


def test_shapes_are_checked():
    def trace(parameters, batch, views):
        args = parameters, None, case.step_of(batch, views)
        return jax.eval_shape(lambda: METHOD.loss(SETTING, *args))

    trace(PARAMETERS, BATCH, VIEWS)
    for changes in (
        {"labels": BATCH.labels[:8]},
        {"labels": BATCH.labels[:, None]},
        {"weights": BATCH.weights[:, None]},
    ):
        with pytest.raises((AssertionError, ValueError, TypeError)):
            trace(PARAMETERS, dataclasses.replace(BATCH, **changes), VIEWS)
