"""What is special to each term; what all terms keep is in `test_terms.py`."""

from functools import partial

import jax
import losses_reference as reference
import numpy as np
import pytest
from scipy.special import logsumexp

from fsrf_jax.losses import Task, heterogeneous
from fsrf_jax.losses.heterogeneous import supervised_contrastive

WEIGHTS = np.asarray(reference.example_batch().weights)
ALL = np.tile(WEIGHTS, (3, 1))


def example(classes=False):
    """Codes, label rows and weights; one row is without weight."""
    x_bd, _, w_b = reference.codes_and_weights(3)
    numbers_b = np.random.default_rng(4).uniform(-3, 3, len(w_b)).astype(np.float32)
    one_hot_be = np.eye(3, dtype=np.float32)[np.arange(len(w_b)) % 3]
    return x_bd, one_hot_be if classes else numbers_b[:, None], w_b


jit = partial(jax.jit, compiler_options=reference.QUICK)
value_and_gradient = jit(jax.value_and_grad(supervised_contrastive))


def unit(x_bd):
    x_bd = np.asarray(x_bd, np.float64)
    return x_bd / np.linalg.norm(x_bd, axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("factor", [1, 10])
def test_contrastive_against_the_formula(classes, factor):
    x_bd, y_be, w_b = example(classes)
    value, _ = value_and_gradient(x_bd, y_be, factor * w_b)
    arrays = (a.astype(np.float64) for a in (x_bd, y_be, w_b))
    np.testing.assert_allclose(value, reference.supervised_contrastive(*arrays), rtol=1e-5)


def test_contrastive_of_classes_is_that_of_khosla():
    """The mean over anchors of `-1/|P| sum_p log softmax`, all others of the class being P."""
    x_bd, y_be, _ = example(classes=True)
    b, classes_b = len(x_bd), y_be.argmax(1)
    logits_bb = unit(x_bd) @ unit(x_bd).T / 0.1
    loss = []
    for i in range(b):
        others = [j for j in range(b) if j != i]
        positives = [j for j in others if classes_b[j] == classes_b[i]]
        loss.append(logsumexp(logits_bb[i, others]) - logits_bb[i, positives].mean())
    narrow = jit(partial(supervised_contrastive, bandwidth=0.05))
    value = narrow(x_bd, y_be, np.ones(b, np.float32))
    np.testing.assert_allclose(value, np.mean(loss), rtol=1e-5)


@pytest.mark.parametrize("rows", [2, 1, 0])
def test_contrastive_of_few_samples(rows):
    """Two samples have no other choice than each other, and one has none at all."""
    x_bd, y_be, _ = example()
    value, gradient = value_and_gradient(x_bd, y_be, (np.arange(9) < rows).astype(np.float32))
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0 * x_bd, atol=1e-6)
    assert rows == 2 or (value == 0 and not np.any(gradient))


def test_contrastive_of_samples_that_are_all_alike():
    """Like codes, or none, with like labels: every choice is as good, log of 7 others."""
    x_bd, y_be, w_b = example()
    weights_b = (w_b > 0).astype(np.float32)
    for codes_bd in (np.ones_like(x_bd), 0 * x_bd):
        value, gradient = value_and_gradient(codes_bd, np.ones_like(y_be), weights_b)
        np.testing.assert_allclose(value, np.log(7), rtol=1e-6)
        np.testing.assert_allclose(gradient, 0 * x_bd, atol=1e-6)


def test_contrastive_is_least_where_codes_are_alike_as_labels_are():
    numbers_be = np.array([-2.1, -2, -1.9, -0.1, 0, 0.1, 1.9, 2, 2.1], np.float32)[:, None]
    sorted_bd = np.repeat(np.eye(3, 4, dtype=np.float32), 3, axis=0)
    least, _ = value_and_gradient(sorted_bd, numbers_be, np.ones(9, np.float32))
    shuffled, _ = value_and_gradient(np.roll(sorted_bd, 1, 0), numbers_be, np.ones(9, np.float32))
    np.testing.assert_allclose(least, np.log(2), atol=0.05)  # two others are as near
    assert shuffled > 3


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e10])
def test_contrastive_of_huge_and_tiny_codes_is_finite(size):
    x_bd, y_be, w_b = example()
    value, gradient = value_and_gradient(np.float32(size) * x_bd, y_be, w_b)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_a_row_without_weight_may_hold_anything():
    x_bd, y_be, w_b = example()
    value, _ = value_and_gradient(x_bd, y_be, w_b)
    x_bd[1], y_be[1] = np.nan, np.nan
    other, gradient = value_and_gradient(x_bd, y_be, w_b)
    assert other == value
    np.testing.assert_array_equal(gradient[1], 0)


def test_a_constant_for_each_modality_solves_modality():
    logits_mbm = np.zeros((3, 16, 3), np.float32)
    term = jit(heterogeneous.modality)
    np.testing.assert_allclose(term(logits_mbm, ALL).value, np.log(3), rtol=1e-6)
    for i in range(3):
        logits_mbm[i, :, i] = 20
    np.testing.assert_allclose(term(logits_mbm, ALL).value, 0, atol=1e-6)


def test_modality_needs_one_logit_for_each():
    with pytest.raises(AssertionError):
        heterogeneous.modality(np.zeros((3, 16, 2), np.float32), ALL)


@pytest.mark.parametrize(("kind", "value"), [("mse", 4), ("gaussian", 2 * np.exp(-1) + 0.5)])
def test_task_is_the_task_loss_whatever_its_kind(kind, value):
    """Off by 2; the Gaussian head's log-variance is 1, but for its soft limit."""
    raw_mbo = np.ones((3, 16, Task(kind).head_width), np.float32)
    labels = np.full(16, 3, np.float32)
    term = jit(heterogeneous.task_heads, static_argnums=3)(raw_mbo, labels, ALL, Task(kind))
    np.testing.assert_allclose(term, (value, 3 * WEIGHTS.sum()), rtol=2e-2)


def test_task_heads_of_another_width_are_refused():
    with pytest.raises(AssertionError):
        heterogeneous.task_heads(
            np.ones((3, 16, 2), np.float32), np.ones(16), ALL, Task("cross_entropy", 3)
        )
