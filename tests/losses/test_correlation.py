"""Distillation of relations, against NumPy in float64 and by finite differences."""

from functools import partial

import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import expit

from fsrf_jax.losses import Task, correlation

jit = partial(jax.jit, compiler_options=reference.QUICK)
MARGIN = 1.3
STUDENT, TEACHER, WEIGHTS = reference.codes_and_weights(5)
B = len(WEIGHTS)
MEMBERS = np.eye(4, dtype=np.float32)[np.arange(B) % 3]  # the last category is empty


def contrastive(s, t, w):
    s, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (s, t))
    distance = cdist(s, t)
    loss = []
    for i in range(B):
        others = [j for j in range(B) if j != i and w[j] > 0]
        hinge = np.maximum(MARGIN - distance[i, others], 0) ** 2
        loss.append(distance[i, i] ** 2 + np.average(hinge, weights=w[others]))
    return reference.mean(loss, w)


def prototype(s, t, w):
    def cosines(x):
        centres = [
            np.average(x, axis=0, weights=w * MEMBERS[:, k])
            for k in range(MEMBERS.shape[1])
            if np.any(w * MEMBERS[:, k] > 0)
        ]
        return 1 - cdist(x, centres, "cosine")

    return reference.mean(((cosines(s) - cosines(t)) ** 2).mean(1), w)


def information(s, t, w):
    critic = s @ t.T / np.sqrt(s.shape[1])
    same = reference.mean(-np.log(expit(np.diag(critic))), w)
    pairs = np.outer(w, w) * (1 - np.eye(B))
    return same + np.average(-np.log(expit(-critic)), weights=pairs)


TERMS = {
    "contrastive": (partial(correlation.contrastive, margin=MARGIN), contrastive),
    "prototype": (lambda s, t, w: correlation.prototype(s, t, MEMBERS, w), prototype),
    "information": (correlation.information_loss, information),
}


@pytest.fixture(params=TERMS)
def term(request):
    function, expected = TERMS[request.param]
    return jit(jax.value_and_grad(function, argnums=(0, 1))), expected


def test_against_the_formula(term):
    function, expected = term
    value, _ = function(STUDENT, TEACHER, WEIGHTS)
    wanted = expected(*(x.astype(np.float64) for x in (STUDENT, TEACHER, WEIGHTS)))
    np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_gradient_by_finite_differences_of_the_formula(term):
    function, expected = term
    _, gradients = function(STUDENT, TEACHER, WEIGHTS)
    arrays = [x.astype(np.float64) for x in (STUDENT, TEACHER, WEIGHTS)]
    rng = np.random.default_rng(0)
    for side, gradient in enumerate(gradients):
        for _ in range(4):
            direction, step = rng.normal(size=gradient.shape), 1e-6
            ends = []
            for sign in (1, -1):
                moved = list(arrays)
                moved[side] = arrays[side] + sign * step * direction
                ends.append(expected(*moved))
            slope = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("garbage", [np.nan, 1e30])
def test_a_sample_without_weight_may_hold_anything(term, garbage):
    function, _ = term
    student, teacher = STUDENT.copy(), TEACHER.copy()
    student[WEIGHTS == 0] = teacher[WEIGHTS == 0] = garbage
    found, expected = function(student, teacher, WEIGHTS), function(STUDENT, TEACHER, WEIGHTS)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
        assert not np.any(one[WEIGHTS == 0])


def test_a_common_factor_of_the_weights_cancels(term):
    function, _ = term
    found = function(STUDENT, TEACHER, 10 * WEIGHTS)
    np.testing.assert_allclose(found[0], function(STUDENT, TEACHER, WEIGHTS)[0], rtol=1e-5)


def test_without_weight_a_term_is_0_with_zero_gradient(term):
    function, _ = term
    value, gradients = function(STUDENT, TEACHER, 0 * WEIGHTS)
    assert value == 0
    assert not any(np.any(gradient) for gradient in gradients)


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e10])
def test_huge_and_tiny_codes_are_finite(term, size):
    function, _ = term
    if size == 1e10 and function(STUDENT, TEACHER, WEIGHTS)[0] > 1.4:
        size = 1e3  # a critic's output is a sum of its codes' products
    value, gradients = function(size * STUDENT, size * TEACHER, WEIGHTS)
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def one_sample():
    return (np.arange(B) == 3).astype(np.float32)


def test_contrastive_of_one_sample_is_its_distance():
    value = correlation.contrastive(STUDENT, TEACHER, one_sample(), margin=MARGIN)
    s, t = (x[3] / np.linalg.norm(x[3]) for x in (STUDENT, TEACHER))
    np.testing.assert_allclose(value, np.sum((s - t) ** 2), rtol=1e-6)


def test_contrastive_by_hand():
    """Equal codes of opposite directions: 0; the same direction for all: the margin squared."""
    opposite = np.array([[2.0, 0], [-1, 0]], np.float32)
    assert correlation.contrastive(opposite, opposite, np.ones(2), margin=2.0) == 0
    alike = np.ones((5, 2), np.float32)
    value, gradient = jax.value_and_grad(correlation.contrastive)(alike, alike, jnp.ones(5))
    np.testing.assert_allclose(value, 1.2**2, rtol=1e-5)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)  # no direction is better than another


def test_prototype_is_0_for_the_same_angles():
    """Turned and scaled codes lie to their prototypes as before."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    turned = (3 * STUDENT @ turn).astype(np.float32)
    np.testing.assert_allclose(
        correlation.prototype(turned, STUDENT, MEMBERS, WEIGHTS), 0, atol=1e-10
    )


def test_prototype_of_one_sample_is_0():
    """It is its own prototype, for student and teacher."""
    value = correlation.prototype(STUDENT, TEACHER, MEMBERS, one_sample())
    np.testing.assert_allclose(value, 0, atol=1e-10)


def test_information_of_a_critic_that_knows_nothing_is_twice_log_2():
    value = correlation.information_loss(0 * STUDENT, TEACHER, WEIGHTS)
    np.testing.assert_allclose(value, 2 * np.log(2), rtol=1e-6)


def test_information_of_fewer_than_two_samples_is_0():
    value, gradient = jax.value_and_grad(correlation.information_loss)(
        STUDENT, TEACHER, one_sample()
    )
    assert value == 0
    assert not np.any(gradient)


def test_information_falls_where_a_response_is_known():
    """Codes of the same sample that match, and no others, against codes that are shuffled."""
    known = 3 * (np.eye(B, dtype=np.float32) - 1 / B)
    equal = correlation.information_loss(known, known, np.ones(B))
    shuffled = correlation.information_loss(known, np.roll(known, 1, 0), np.ones(B))
    assert equal < 2 * np.log(2) < shuffled


def test_disentangled():
    """The right one is taken out, and the others keep their order."""
    probabilities = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    right, others = correlation.disentangled(probabilities, np.array([[0, 3, 1], [2, 2, 0]]))
    np.testing.assert_array_equal(right, [[0, 7, 9], [14, 18, 20]])
    np.testing.assert_array_equal(
        others,
        [[1, 2, 3, 4, 5, 6, 8, 10, 11], [12, 13, 15, 16, 17, 19, 21, 22, 23]],
    )


def test_members():
    found = correlation.members(np.array([[0, 1], [2, 1]]), 3)
    np.testing.assert_array_equal(found, [[1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 1, 0]])


CUTS = (-1.0, 0.5)


@pytest.mark.parametrize("kind", ["l1", "gaussian"])
def test_numbers_become_categories(kind):
    task = Task(kind)
    labels = jnp.array([-3.0, -1.0, 0.0, 0.49, 0.5, 9.0])
    np.testing.assert_array_equal(task.categories(labels, CUTS)[:, 0], [0, 1, 1, 1, 2, 2])
    raw = np.zeros((6, task.head_width), np.float32)
    raw[:, 0] = labels
    found = task.category_probabilities(raw, CUTS, 0.25)
    below = expit((np.array(CUTS)[None] - np.asarray(labels)[:, None]) / 0.25)
    expected = np.diff(below, axis=1, prepend=0.0, append=1.0)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-6)
    sharp = task.category_probabilities(raw, CUTS, 1e-3)[:, 0]
    certain = np.array([0, 2, 3, 5])  # not on a cut
    np.testing.assert_array_equal(
        np.argmax(sharp, axis=1)[certain], task.categories(labels, CUTS)[certain, 0]
    )


def test_huge_numbers_are_in_the_last_category():
    raw = jnp.array([[1e6], [-1e6]])
    found, gradient = jax.value_and_grad(
        lambda x: jnp.sum(Task("l1").category_probabilities(x, CUTS, 0.1)[:, 0, 0])
    )(raw)
    assert found == 1
    assert np.isfinite(gradient).all()


def test_classes_and_binary_tasks_are_categories():
    classes = Task("cross_entropy", 3)
    raw = jnp.array([[0.0, 1, 2], [3, 0, 0]])
    np.testing.assert_array_equal(classes.categories(jnp.array([2.0, 0]), ()), [[2], [0]])
    np.testing.assert_allclose(
        classes.category_probabilities(raw, (), 1.0)[:, 0], jax.nn.softmax(raw), rtol=1e-6
    )
    tasks = Task("binary_cross_entropy", 3)
    labels = jnp.array([[1.0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(tasks.categories(labels, ()), labels)
    found = tasks.category_probabilities(raw, (), 1.0)
    np.testing.assert_allclose(found[..., 1], expit(raw), rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-6)
