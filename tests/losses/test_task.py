from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import expit, huber, log_softmax, softmax
from scipy.stats import norm
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error
from sklearn.utils.class_weight import compute_class_weight

from fsrf_jax.losses import Task, TaskOptions
from fsrf_jax.losses.task import (
    ERRORS,
    FORMS,
    LARGEST_LOG_VARIANCE,
    balanced,
    gaussian_moments,
)
from fsrf_jax.options import check


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
TASKS = {kind: Task(kind, reference.OUTPUTS[FORMS[kind]]) for kind in ERRORS}


def example(kind, b=11):
    rng = np.random.default_rng(0)
    outputs = TASKS[kind].head_width
    weights_b = rng.uniform(0, 2, b).astype(np.float32)
    weights_b[0] = 0
    raw_bo = rng.uniform(-3, 3, (b, outputs)).astype(np.float32)
    return raw_bo, np.asarray(reference.example_labels(FORMS[kind], b=b)), weights_b


@cache
def compiled(kind):
    loss = jax.value_and_grad(TASKS[kind].loss)
    return jax.jit(loss, compiler_options=reference.QUICK)


def test_every_kind_has_a_form_and_a_reference():
    assert set(ERRORS) == set(FORMS) == set(REFERENCES)


@every
def test_value(kind):
    arrays = example(kind)
    value, _ = compiled(kind)(*arrays)
    expected = REFERENCES[kind](*(a.astype(np.float64) for a in arrays))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(TASKS[kind].loss(*arrays), value, rtol=1e-6)


@every
def test_gradients(kind):
    with jax.enable_x64(True):
        raw, labels, weights = (jnp.asarray(a, jnp.float64) for a in example(kind))
        loss = jax.jit(TASKS[kind].loss)
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
    chosen = np.arange(11) % 3 > 0
    value, _ = compiled(kind)(raw, labels, chosen.astype(np.float32))
    ones = np.ones(chosen.sum())
    np.testing.assert_allclose(
        value, REFERENCES[kind](raw[chosen], labels[chosen], ones), rtol=1e-5
    )


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
    _, labels, weights = example(kind)
    wrong = -1e4 * TASKS[kind].label_codes(labels)
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
    loss = jax.grad(Task("gaussian").loss)
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
    np.testing.assert_array_equal(Task("huber").label_codes(numbers), numbers[:, None])
    np.testing.assert_array_equal(Task("gaussian").label_codes(numbers), numbers[:, None])
    one_hot = Task("cross_entropy", 3).label_codes(classes)
    np.testing.assert_array_equal(one_hot, [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(Task("binary_cross_entropy", 3).label_codes(tasks), tasks)


def test_label_codes_are_comparable_in_float32():
    """One-hot classes are float32 whatever holds their numbers."""
    assert Task("cross_entropy", 3).label_codes(np.array([2, 0], np.float32)).dtype == jnp.float32


@pytest.mark.parametrize(
    ("kind", "outputs", "raw", "labels"),
    [
        ("l1", 1, (3,), (3,)),
        ("l1", 1, (3, 1), (3, 1)),
        ("cross_entropy", 4, (3, 4), (3, 4)),
        ("binary_cross_entropy", 2, (3, 2), (3,)),
        ("binary_cross_entropy", 2, (3, 2), (3, 1)),
        ("mse", 1, (3, 1), (4,)),
        ("mse", 1, (3, 2), (3,)),
        ("gaussian", 1, (3, 1), (3,)),
        ("cross_entropy", 4, (3, 3), (3,)),
        ("binary_cross_entropy", 3, (3, 2), (3, 2)),
    ],
)
def test_shapes_are_checked(kind, outputs, raw, labels):
    with pytest.raises(AssertionError):
        Task(kind, outputs).loss(np.ones(raw), np.ones(labels), np.ones(3))


@every
def test_form_of_the_labels(kind):
    assert TaskOptions(kind).form == Task(kind, 3).form == FORMS[kind]


def test_head_width():
    assert Task().head_width == 1
    assert Task("gaussian").head_width == 2
    assert Task("cross_entropy", 7).head_width == 7
    assert Task("binary_cross_entropy", 3).head_width == 3


def test_equal_tasks_are_one_program():
    traced = []

    @partial(jax.jit, static_argnames="task")
    def loss(raw, labels, weights, task):
        traced.append(task)
        return task.loss(raw, labels, weights)

    arrays = example("cross_entropy")
    values = [loss(*arrays, Task("cross_entropy", 3)) for _ in range(2)]
    assert values[0] == values[1]
    assert len(traced) == 1
    assert Task("cross_entropy", 3) != Task("cross_entropy", 4)


@every
def test_error_is_that_of_the_registry(kind):
    raw, labels, _ = example(kind)
    error = TASKS[kind].error(raw, labels)
    np.testing.assert_array_equal(error, ERRORS[kind](raw, labels))
    assert error.shape == (11,)


@every
def test_plain_error(kind):
    raw, labels, _ = example(kind)
    expected = reference.task_errors(raw.astype(np.float64), labels, FORMS[kind])
    np.testing.assert_allclose(TASKS[kind].plain_error(raw, labels), expected, rtol=1e-5)


def test_limit():
    assert Task("gaussian").limit(2.5) == 2.5
    np.testing.assert_allclose(Task("cross_entropy", 5).limit(2.5), np.log(5))
    np.testing.assert_allclose(Task("cross_entropy", 1).limit(2.5), np.log(2))
    np.testing.assert_allclose(Task("binary_cross_entropy", 5).limit(2.5), np.log(2))


@every
def test_limit_is_the_error_of_a_head_at_chance(kind):
    if FORMS[kind] == "number":
        return
    raw, labels, _ = example(kind)
    chance = TASKS[kind].plain_error(0 * raw, labels)
    np.testing.assert_allclose(chance, TASKS[kind].limit(1.0), rtol=1e-6)


@every
def test_information(kind):
    raw, labels, weights = example(kind)
    value = TASKS[kind].information(raw, labels, weights)
    arrays = (a.astype(np.float64) for a in (raw, labels, weights))
    expected = reference.information(*arrays, FORMS[kind])
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    assert (value > 0).all()


@every
def test_information_of_the_same_for_all_samples_is_0(kind):
    raw, labels, weights = example(kind)
    best = np.average(labels, weights=weights) if FORMS[kind] == "number" else 2.0
    if FORMS[kind] == "binary":
        best = 0.0
    value = TASKS[kind].information(np.full_like(raw, best), labels, weights)
    np.testing.assert_allclose(value, np.zeros(11), atol=1e-6)


def test_prediction_of_numbers():
    raw = example("gaussian")[0]
    np.testing.assert_array_equal(Task("l1").prediction(raw[:, :1]), raw[:, 0])
    moments = Task("gaussian").prediction(raw)
    np.testing.assert_array_equal(moments[:, 0], raw[:, 0])
    np.testing.assert_allclose(moments[:, 1], 6 * np.tanh(raw[:, 1] / 6), rtol=1e-5)


def test_prediction_of_probabilities():
    raw = example("cross_entropy")[0]
    classes = Task("cross_entropy", 3).prediction(raw)
    np.testing.assert_allclose(classes, softmax(raw, axis=1), rtol=1e-5)
    tasks = Task("binary_cross_entropy", 3).prediction(raw)
    np.testing.assert_allclose(tasks, expit(raw), rtol=1e-5)


@every
def test_prediction_error_is_the_plain_error_of_the_raw_output(kind):
    raw, labels, _ = example(kind)
    task = TASKS[kind]
    error = task.prediction_error(task.prediction(raw), labels)
    np.testing.assert_allclose(error, task.plain_error(raw, labels), rtol=1e-4)


@pytest.mark.parametrize("kind", ["binary_cross_entropy", "cross_entropy"])
def test_a_prediction_that_was_thought_impossible_costs_a_finite_error(kind):
    _, labels, _ = example(kind)
    task = TASKS[kind]
    wrong = 1 - task.label_codes(labels)
    np.testing.assert_allclose(task.prediction_error(wrong, labels), -np.log(1e-7), rtol=1e-5)
    np.testing.assert_allclose(task.prediction_error(1 - wrong, labels), np.zeros(11), atol=1e-6)


def test_the_loss_of_a_number_has_the_gradient_of_its_rows_by_weights():
    raw, labels, weights = example("l1")
    _, gradient = compiled("l1")(raw, labels, weights)
    slope = np.sign(raw[:, 0] - labels) * weights / weights.sum()
    np.testing.assert_allclose(gradient[:, 0], slope, rtol=1e-5)


COUNTS = {"cross_entropy": ((6, 0, 2),), "binary_cross_entropy": ((1, 7), (5, 3))}
classified = pytest.mark.parametrize("kind", sorted(COUNTS))


def weighed(kind, counts=None):
    outputs = reference.OUTPUTS[FORMS[kind]]
    return Task(kind, outputs, counts or COUNTS[kind], class_weights="balanced")


def test_balanced_class_weights_are_those_of_scikit_learn():
    for counts in ((6, 2, 4), (1, 7), (5, 3)):
        y = np.repeat(np.arange(len(counts)), counts)
        expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
        np.testing.assert_allclose(balanced([counts]), [expected], rtol=1e-6)
    # A class that training lacks is none.
    np.testing.assert_allclose(balanced([(6, 0, 2)]), [[8 / 12, 0, 8 / 4]], rtol=1e-6)
    np.testing.assert_array_equal(balanced([(0, 8), (4, 4)]), [[0, 1], [1, 1]])


def weighed_reference(kind, raw_bo, labels, weights_b):
    """As PyTorch's cross_entropy with `weight` and the reduction "mean", in float64."""
    total = scale = 0.0
    for raw_o, label, weight in zip(raw_bo.astype(float), labels, weights_b, strict=True):
        if kind == "cross_entropy":
            n, (of_class, occur) = 8, (COUNTS[kind][0][int(label)], 2)
            terms = [(-log_softmax(raw_o)[int(label)], n / (occur * of_class) if of_class else 0)]
        else:
            terms = [
                (-np.log(expit(raw if y else -raw)), 8 / (2 * count[int(y)]))
                for raw, y, count in zip(raw_o, label, COUNTS[kind], strict=True)
            ]
        total += sum(error * weight * of_class for error, of_class in terms)
        scale += sum(weight * of_class for _, of_class in terms)
    return total / scale


@classified
def test_weighed_value_and_gradient(kind):
    raw, labels, weights = example(kind)
    task = weighed(kind)
    value = task.loss(raw, labels, weights)
    np.testing.assert_allclose(value, weighed_reference(kind, raw, labels, weights), rtol=1e-5)
    assert abs(value - TASKS[kind].loss(raw, labels, weights)) > 0.01
    with jax.enable_x64(True):
        raw, labels, weights = (jnp.asarray(a, jnp.float64) for a in (raw, labels, weights))
        loss = jax.jit(task.loss)
        check_grads(lambda r: loss(r, labels, weights), (raw,), 1, ["rev"])
        np.testing.assert_array_equal(jax.grad(loss)(raw, labels, 0 * weights), 0 * raw)
        np.testing.assert_array_equal(jax.grad(loss)(raw, labels, weights)[0], 0)  # weight 0


@classified
def test_equal_counts_weigh_nothing(kind):
    raw, labels, weights = example(kind)
    equal = tuple((4,) * len(row) for row in COUNTS[kind])
    value = weighed(kind, equal).loss(raw, labels, weights)
    np.testing.assert_allclose(value, TASKS[kind].loss(raw, labels, weights), rtol=1e-6)


@classified
def test_only_the_loss_is_weighed(kind):
    raw, labels, _ = example(kind)
    one, other, prediction = weighed(kind), TASKS[kind], TASKS[kind].prediction(raw)
    np.testing.assert_array_equal(one.error(raw, labels), other.error(raw, labels))
    np.testing.assert_array_equal(
        one.prediction_error(prediction, labels), other.prediction_error(prediction, labels)
    )


@every
def test_numbers_have_no_class_weights(kind):
    options = TaskOptions(kind, class_weights="balanced")
    check(TaskOptions(kind))
    if FORMS[kind] != "number":
        check(options)
        return
    with pytest.raises(ValueError, match=rf"class_weights: .*task\.kind {kind} predicts numbers"):
        check(options)
