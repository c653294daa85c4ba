from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import expit, huber, softmax
from scipy.stats import norm
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error

from fsrf_jax.losses.task import (
    ERRORS,
    FORMS,
    LARGEST_LOG_VARIANCE,
    gaussian_moments,
    label_codes,
    task_loss,
)


def gaussian(raw, y, w):
    log_variance = 6 * np.tanh(raw[:, 1] / 6)
    likelihood = norm.logpdf(y, raw[:, 0], np.exp(log_variance / 2))
    return np.average(-likelihood - np.log(2 * np.pi) / 2, weights=w)


def binary_cross_entropy(raw, y, w):
    tasks = zip(expit(raw).T, y.T, strict=True)
    return np.mean([log_loss(y_b, p_b, sample_weight=w, labels=[0, 1]) for p_b, y_b in tasks])


REFERENCES = {
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": lambda r, y, w: log_loss(
        y, softmax(r, axis=1), sample_weight=w, labels=[0, 1, 2]
    ),
    "gaussian": gaussian,
    "huber": lambda r, y, w: np.average(huber(1.0, r[:, 0] - y), weights=w),
    "l1": lambda r, y, w: mean_absolute_error(y, r[:, 0], sample_weight=w),
    "mse": lambda r, y, w: mean_squared_error(y, r[:, 0], sample_weight=w),
}
every = pytest.mark.parametrize("kind", sorted(ERRORS))


def example(kind, b=11):
    rng = np.random.default_rng(0)
    outputs = 2 if kind == "gaussian" else reference.OUTPUTS[FORMS[kind]]
    weights_b = rng.uniform(0, 2, b).astype(np.float32)
    weights_b[0] = 0
    raw_bo = rng.uniform(-3, 3, (b, outputs)).astype(np.float32)
    return raw_bo, np.asarray(reference.example_labels(FORMS[kind], b=b)), weights_b


@cache
def compiled(kind):
    loss = jax.value_and_grad(partial(task_loss, kind=kind))
    return jax.jit(loss, compiler_options=reference.QUICK)


def test_every_kind_has_a_form_and_a_reference():
    assert set(ERRORS) == set(FORMS) == set(REFERENCES)


@every
def test_value(kind):
    arrays = example(kind)
    value, _ = compiled(kind)(*arrays)
    expected = REFERENCES[kind](*(a.astype(np.float64) for a in arrays))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(task_loss(*arrays, kind=kind), value, rtol=1e-6)


@every
def test_gradients(kind):
    with jax.enable_x64(True):
        raw, labels, weights = (jnp.asarray(a, jnp.float64) for a in example(kind))
        loss = jax.jit(partial(task_loss, kind=kind))
        check_grads(lambda r: loss(r, labels, weights), (raw,), 1, ["rev"])


@every
def test_all_weights_zero(kind):
    raw, labels, weights = example(kind)
    value, gradient = compiled(kind)(raw, labels, 0 * weights)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0 * raw)


@every
def test_weights_of_0_and_1_equal_dropping_rows(kind):
    raw, labels, _ = example(kind)
    kept = np.arange(11) % 3 > 0
    value, _ = compiled(kind)(raw, labels, kept.astype(np.float32))
    ones = np.ones(kept.sum())
    np.testing.assert_allclose(value, REFERENCES[kind](raw[kept], labels[kept], ones), rtol=1e-5)


@every
def test_a_label_without_weight_may_be_anything(kind):
    raw, labels, weights = example(kind)
    other = labels.copy()
    other[0] = 0 if FORMS[kind] == "binary" else -7
    value, gradient = compiled(kind)(raw, labels, weights)
    other_value, other_gradient = compiled(kind)(raw, other, weights)
    assert other_value == value
    np.testing.assert_array_equal(other_gradient, gradient)
    np.testing.assert_array_equal(gradient[0], 0)


@pytest.mark.parametrize("kind", ["huber", "l1", "mse"])
def test_a_right_number(kind):
    _, labels, weights = example(kind)
    value, gradient = compiled(kind)(labels[:, None], labels, weights)
    assert value == 0
    # At the corner of l1 any slope of [-1, 1] is right.
    assert np.abs(gradient).sum() <= (1 + 1e-6 if kind == "l1" else 0)


@every
@pytest.mark.parametrize("size", [1e4, 1e15])
def test_huge_values_stay_finite(kind, size):
    raw, labels, weights = example(kind)
    chex.assert_tree_all_finite(compiled(kind)(np.float32(size) * raw, labels, weights))


@pytest.mark.parametrize("kind", ["binary_cross_entropy", "cross_entropy"])
def test_a_huge_wrong_logit_costs_itself(kind):
    raw, labels, weights = example(kind)
    wrong = -1e4 * label_codes(labels, raw.shape[1], kind=kind)
    if kind == "binary_cross_entropy":
        wrong += 1e4 * (1 - labels)
    value, _ = compiled(kind)(wrong, labels, weights)
    np.testing.assert_allclose(value, 1e4, rtol=1e-4)


def test_the_log_variance_is_softly_limited():
    log_variance = np.array([-1e6, -0.1, 0, 0.1, 1e6], np.float32)
    raw = np.stack([np.arange(5, dtype=np.float32), log_variance], axis=1)
    mean_b, limited_b = gaussian_moments(raw)
    np.testing.assert_array_equal(mean_b, np.arange(5))
    np.testing.assert_allclose(limited_b[1:4], log_variance[1:4], rtol=1e-3)
    np.testing.assert_allclose(np.abs(limited_b)[[0, 4]], LARGEST_LOG_VARIANCE, rtol=1e-6)
    # Sure and wrong by 3: the slope in the mean is bounded by 3 exp(6) whatever the head says.
    sure = np.array([[3.0, -1e6]], np.float32)
    loss = jax.grad(partial(task_loss, kind="gaussian"))
    slope = loss(sure, np.zeros(1, np.float32), np.ones(1, np.float32))
    np.testing.assert_allclose(slope, [[3 * np.exp(6), 0]], rtol=1e-5)


def test_a_gaussian_is_best_at_the_size_of_its_error():
    raw = np.stack([np.full(41, 2.0), np.linspace(0, 4, 41)], axis=1).astype(np.float32)
    errors = ERRORS["gaussian"](raw, np.zeros(41, np.float32))
    best = 6 * np.tanh(raw[np.argmin(errors), 1] / 6)
    np.testing.assert_allclose(best, np.log(4), atol=0.1)


def test_label_codes():
    numbers, classes = np.array([0.5, -2], np.float32), np.array([2, 0], np.float32)
    tasks = np.array([[0, 1, 1], [1, 0, 0]], np.float32)
    np.testing.assert_array_equal(label_codes(numbers, 1, kind="huber"), numbers[:, None])
    np.testing.assert_array_equal(label_codes(numbers, 2, kind="gaussian"), numbers[:, None])
    one_hot = label_codes(classes, 3, kind="cross_entropy")
    np.testing.assert_array_equal(one_hot, [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(label_codes(tasks, 3, kind="binary_cross_entropy"), tasks)


@pytest.mark.parametrize(
    ("raw", "labels", "kind"),
    [
        ((3,), (3,), "l1"),
        ((3, 1), (3, 1), "l1"),
        ((3, 4), (3, 4), "cross_entropy"),
        ((3, 2), (3,), "binary_cross_entropy"),
        ((3, 2), (3, 1), "binary_cross_entropy"),
        ((3, 1), (4,), "mse"),
    ],
)
def test_shapes_are_checked(raw, labels, kind):
    with pytest.raises(AssertionError):
        task_loss(np.ones(raw), np.ones(labels), np.ones(3), kind=kind)
