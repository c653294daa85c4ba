"""How two predictions differ: `Task.disagreement` and the functions behind it."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from losses_reference import as_float64, disagreement

from fsrf_jax.losses import Task, task
from fsrf_jax.losses.task import ERRORS, PREDICTION

DISAGREEMENTS = {
    "squared": (task.squared, 1),
    "kl": (partial(task.kl, temperature=2.0), 3),
    "binary_kl": (partial(task.binary_kl, temperature=2.0), 2),
    "gaussian_kl": (task.gaussian_kl, 2),
}
jit = partial(jax.jit, compiler_options=reference.QUICK)
every_disagreement = pytest.mark.parametrize("name", sorted(DISAGREEMENTS))


def heads(width):
    """Raw outputs of two views."""
    return tuple(reference.example_view(seed, width=width).prediction_bo for seed in (0, 1))


@every_disagreement
def test_value(name):
    function, outputs = DISAGREEMENTS[name]
    learner, teacher = heads(outputs)
    expected = disagreement(name, *as_float64((learner, teacher)))
    np.testing.assert_allclose(jit(function)(learner, teacher), expected, rtol=1e-4, atol=1e-7)


@every_disagreement
def test_equal_and_huge_heads(name):
    function, outputs = DISAGREEMENTS[name]
    learner, teacher = heads(outputs)
    slope = jit(jax.value_and_grad(lambda x, y: jnp.sum(function(x, y))))
    value, gradient = slope(learner, learner)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0 * learner, atol=1e-6)
    chex.assert_tree_all_finite(slope(1e4 * learner, 1e4 * teacher))


def test_a_high_temperature_makes_kl_a_squared_difference_of_logits():
    """Hinton et al.: `1/2 mean_o (x - y)^2` of logits about their mean, thanks to the square."""
    learner, teacher = heads(3)
    difference = learner - teacher
    difference = difference - difference.mean(1, keepdims=True)
    value = task.kl(learner, teacher, temperature=100.0)
    np.testing.assert_allclose(value, (difference**2).mean(1) / 2, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "chosen", "name"),
    [
        ("l1", "auto", "squared"),
        ("huber", "squared", "squared"),
        ("gaussian", "auto", "squared"),
        ("gaussian", "squared", "squared"),
        ("gaussian", "gaussian_kl", "gaussian_kl"),
        ("cross_entropy", "auto", "kl"),
        ("cross_entropy", "kl", "kl"),
        ("binary_cross_entropy", "auto", "binary_kl"),
        ("binary_cross_entropy", "kl", "binary_kl"),
    ],
)
def test_predictions_disagree_as_the_labels_ask(kind, chosen, name):
    of = Task(kind, 3)
    learner, teacher = heads(of.head_width)
    value = jit(partial(of.disagreement, kind=chosen, temperature=2.0))(learner, teacher)
    expected = disagreement(name, *as_float64((learner, teacher)))
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-7)
    of.check_disagreement(chosen)


def test_defaults_are_auto_and_temperature_1():
    learner, teacher = heads(3)
    value = Task("cross_entropy", 3).disagreement(learner, teacher)
    np.testing.assert_array_equal(value, task.kl(learner, teacher, temperature=1.0))


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_auto_fits_every_task(kind):
    Task(kind).check_disagreement("auto")


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [
        ("l1", "kl"),
        ("gaussian", "kl"),
        ("mse", "gaussian_kl"),
        ("cross_entropy", "gaussian_kl"),
        ("cross_entropy", "squared"),
        ("binary_cross_entropy", "squared"),
        ("l1", "cosine"),
    ],
)
def test_what_does_not_fit_is_refused(kind, chosen):
    with pytest.raises(ValueError, match=r"^prediction: found") as error:
        Task(kind).check_disagreement(chosen)
    assert str(error.value) == (
        f"prediction: found {chosen!r}, expected auto, or one that fits task.kind {kind}."
    )


def test_every_kind_fits_some_task():
    def fits(kind, chosen):
        try:
            Task(kind).check_disagreement(chosen)
        except ValueError:
            return False
        return True

    assert all(any(fits(kind, chosen) for kind in ERRORS) for chosen in PREDICTION)
