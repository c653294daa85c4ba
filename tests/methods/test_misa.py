"""MISA: its three losses from the codes of every view, in NumPy float64."""

from functools import partial

import jax
import jax.numpy as jnp
import methods_case as case
import numpy as np
import pytest

from fsrf_jax.methods import Misa, Setting
from fsrf_jax.methods.misa import Constraints, Factors, Network
from fsrf_jax.types import View

reference, measures = case.reference, case.measures
METHOD = Misa()
SETTING = Setting(case.task_of("l1"), case.MODEL)
BATCH = reference.example_batch()
VIEWS = case.example_views(BATCH, METHOD)
PARAMETERS = case.parameters_of(METHOD, SETTING, BATCH)
WEIGHTS = np.asarray(BATCH.weights, np.float64)
MODALITIES = tuple(sorted(BATCH.features))
PAIRS = [(0, 1), (0, 2), (1, 2)]


def given(view):
    return View(BATCH.features, BATCH.valid, view)


def factors(view):
    variables = {"params": PARAMETERS["inference"]}
    return Network(SETTING).apply(variables, given(view), train=False)


@case.jit
def loss(parameters):
    return METHOD.loss(SETTING, parameters, None, case.step_of(BATCH, VIEWS))


def perceptron(parameters, i, x):
    def dense(name, x):
        layer = {k: np.asarray(v[i], np.float64) for k, v in parameters[name].items()}
        return x @ layer["kernel"] + layer["bias"]

    hidden = dense("Dense_0", x)
    inner = np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)
    return dense("Dense_1", hidden * (1 + np.tanh(inner)) / 2)


def difference(x, y, w):
    """|X^T Y|^2 / d^2 of the rows that have weight, all of which weigh the same."""
    x, y = x[w > 0], y[w > 0]
    x, y = x - x.mean(0), y - y.mean(0)
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    return ((x.T @ y) ** 2).mean()


def expected_of(view):
    """The paper's formulas, with samples left out where a modality of a pair is absent."""
    available, pooled, shared, private = (np.asarray(x, np.float64) for x in view[:4])
    similarity = [
        measures.cmd(shared[m], shared[n], available[m] * available[n] * WEIGHTS) for m, n in PAIRS
    ]
    apart = [difference(shared[m], private[m], available[m] * WEIGHTS) for m in range(3)] + [
        difference(private[m], private[n], available[m] * available[n] * WEIGHTS) for m, n in PAIRS
    ]
    decoders = PARAMETERS["training"]["decoders"]
    recovered = [perceptron(decoders, m, shared[m] + private[m]) for m in range(3)]
    squared = [
        np.average(((recovered[m] - pooled[m]) ** 2).mean(1), weights=available[m] * WEIGHTS)
        for m in range(3)
    ]
    return {
        "similarity": np.mean(similarity),
        "difference": np.mean(apart),
        "reconstruction": np.mean(squared),
    }


def test_every_term_against_float64():
    assert set(np.unique(WEIGHTS)) <= {0.0, 1.0}
    of_views = [expected_of(factors(view)) for view in VIEWS]
    terms = loss(PARAMETERS)
    assert set(terms) == {"task", *of_views[0]}
    for name in of_views[0]:
        expected = np.mean([of_view[name] for of_view in of_views])
        assert expected > 1e-3, name
        np.testing.assert_allclose(terms[name], expected, rtol=2e-5, err_msg=name)


def test_the_total_has_the_papers_weights():
    weights = {k: float(v) for k, v in METHOD.term_weights(case.PROGRESS).items()}
    assert weights == pytest.approx({"similarity": 1, "difference": 6 * 0.3, "reconstruction": 1})


@pytest.mark.parametrize("name", ["similarity", "difference", "reconstruction"])
def test_gradients_of_the_codes_by_finite_differences(name):
    view = factors(VIEWS[0])
    variables = {"params": PARAMETERS["training"]}
    term = partial(Constraints().apply, variables, modalities=MODALITIES, batch=BATCH)
    codes = view.pooled, view.shared, view.private

    @case.jit
    def gradient(codes):
        def value(codes):
            moved = Factors(view.available, *codes, view.fused, view.raw)
            return term(moved)[name].value

        return jax.grad(value)(codes)

    rng = np.random.default_rng(0)
    found = gradient(codes)
    for side in range(3):
        direction = rng.normal(size=codes[side].shape)
        step, ends = 1e-5, []
        for sign in (1, -1):
            moved = [np.asarray(code, np.float64) for code in codes]
            moved[side] = moved[side] + sign * step * direction
            ends.append(expected_of((view.available, *moved))[name])
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(
            np.sum(np.asarray(found[side]) * direction), slope, rtol=2e-3, atol=1e-6
        )


def test_codes_are_shared_and_private():
    codes = METHOD.codes(SETTING, PARAMETERS["inference"], given(VIEWS[1]))
    view = factors(VIEWS[1])
    np.testing.assert_allclose(codes.homogeneous, view.shared, rtol=1e-6)
    np.testing.assert_allclose(codes.heterogeneous, view.private, rtol=1e-6)
    np.testing.assert_allclose(codes.fused, view.fused[0], rtol=1e-6)
    assert codes.noise is None
    absent = np.asarray(view.available) == 0
    assert absent.any()
    assert not np.any(np.asarray(codes.homogeneous)[absent])
    assert not np.any(np.asarray(codes.heterogeneous)[absent])


def test_the_shared_encoder_is_one_and_the_private_ones_are_three():
    inference = PARAMETERS["inference"]
    width = SETTING.model.width
    assert inference["shared"]["Dense_0"]["kernel"].shape == (width, 2 * width)
    assert inference["private"]["Dense_0"]["kernel"].shape == (3, width, 2 * width)


def test_the_prediction_is_read_from_all_six_codes():
    """It changes with each of them."""

    def prediction(parameters):
        return METHOD.predict(SETTING, parameters, given(BATCH.valid))

    gradient = jax.grad(lambda p: jnp.sum(prediction(p)))(PARAMETERS["inference"])
    assert np.all(np.abs(gradient["private"]["Dense_1"]["bias"]).max(axis=1) > 0)
    assert np.abs(gradient["shared"]["Dense_1"]["bias"]).max() > 0
