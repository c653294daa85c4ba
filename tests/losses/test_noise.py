"""What is special to each term; what all terms keep is in `test_terms.py`."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from fsrf_jax.losses import Task, noise
from fsrf_jax.losses.dependence import DEPENDENCE

WEIGHTS = np.asarray(reference.example_batch().weights)
ALL = np.tile(WEIGHTS, (3, 1))
jit = partial(jax.jit, compiler_options=reference.QUICK)


def heads(form="number"):
    """Raw output of three heads."""
    return reference.example_view(width=reference.OUTPUTS[form]).noise_mbo


@pytest.mark.parametrize(
    ("form", "limit"), [("number", 2.0), ("class", np.log(3)), ("binary", np.log(2))]
)
def test_adversary_error_is_bounded_and_then_has_no_gradient(form, limit):
    labels = reference.example_labels(form)
    task = reference.TASKS[form]

    @jit
    @jax.value_and_grad
    def value(raw_mbo):
        return noise.adversarial(raw_mbo, labels, ALL, task, bound=2.0).value

    wrong_mbo = np.tile(-100 * (2 * np.asarray(task.label_codes(labels)) - 1), (3, 1, 1))
    result, gradient = value(wrong_mbo)
    np.testing.assert_allclose(result, limit, rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0 * wrong_mbo)
    # A head without information is at chance; one that is right has no error.
    right, _ = value(-wrong_mbo)
    if form != "number":
        ignorant, _ = value(0 * wrong_mbo)
        np.testing.assert_allclose(ignorant, limit, rtol=1e-6)
        np.testing.assert_allclose(right, 0, atol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "huber", "mse"])
def test_the_error_of_a_number_is_always_the_absolute_one(kind):
    """A Gaussian head's log-variance has no part: it could make the error small, or negative."""
    labels = reference.example_labels()

    @partial(jit, static_argnames="task")
    def both(raw_mbo, task):
        return (
            noise.adversarial(raw_mbo, labels, ALL, task, bound=3.0),
            noise.uniform(raw_mbo, raw_mbo, labels, ALL, task),
        )

    raw_mbo = heads()
    wide_mbo = np.concatenate([raw_mbo, raw_mbo + 5], axis=2) if kind == "gaussian" else raw_mbo
    chex.assert_trees_all_close(both(wide_mbo, Task(kind)), both(raw_mbo, Task("l1")))


def test_heads_of_another_width_are_refused():
    labels, wide_mbo = reference.example_labels(), np.ones((3, 16, 2), np.float32)
    with pytest.raises(AssertionError):
        noise.adversarial(wide_mbo, labels, ALL, Task("cross_entropy", 3), bound=3.0)
    with pytest.raises(AssertionError):
        noise.uniform(wide_mbo, wide_mbo, labels, ALL, Task("cross_entropy", 3))
    with pytest.raises(AssertionError):
        noise.uniform(wide_mbo, wide_mbo[:, :, :1], labels, ALL, Task("gaussian"))


def test_bottleneck_is_the_divergence_of_two_gaussians():
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(size=(2, 2)).astype(np.float32)

    def integrand(x, mean, std):
        p = norm(mean, std)
        return p.pdf(x) * (p.logpdf(x) - norm.logpdf(x))

    rates = [
        quad(integrand, -20, 20, args=(m, np.exp(v / 2)))[0]
        for m, v in zip(mean, log_variance, strict=True)
    ]
    term = noise.bottleneck(*(np.tile(x, (3, 16, 1)) for x in (mean, log_variance)), ALL)
    np.testing.assert_allclose(term, (np.mean(rates), 3 * WEIGHTS.sum()), rtol=1e-5)


def test_bottleneck_is_0_at_the_standard_normal_distribution():
    def value(moments):
        return noise.bottleneck(*moments, ALL).value

    zeros = jnp.zeros((2, 3, 16, 6))
    result, gradient = jax.value_and_grad(value)(zeros)
    assert result == 0
    np.testing.assert_array_equal(gradient, zeros)


@pytest.mark.parametrize("measure", ["cross_correlation", "hsic", "orthogonality"])
def test_dependence_sees_a_label_inside_the_code(measure):
    n_mbd = reference.example_view(available=dict.fromkeys(reference.NAMES, 1)).n_mbd
    label_codes_be = np.asarray(reference.example_labels())[:, None]
    copied_mbd = n_mbd.copy()
    copied_mbd[:, :, :3] = label_codes_be
    term = jit(lambda n_mbd: noise.dependence(n_mbd, label_codes_be, ALL, DEPENDENCE[measure]))
    assert term(copied_mbd).value > 2 * term(n_mbd).value > 0
    of_each = [DEPENDENCE[measure](n_bd, label_codes_be, WEIGHTS) for n_bd in n_mbd]
    np.testing.assert_allclose(term(n_mbd).value, np.mean(of_each), rtol=1e-5)


@pytest.mark.parametrize("form", sorted(reference.KINDS))
def test_uniform_costs_a_code_nothing_at_the_best_constant(form):
    """The part that N_m pays for: what is left once the learning head's error is taken away."""
    raw_mbo = heads(form)
    labels = np.asarray(reference.example_labels(form))
    best = np.average(labels, weights=WEIGHTS) if form == "number" else 0

    @jit
    @jax.value_and_grad
    def value(held_mbo):
        return noise.uniform(raw_mbo, held_mbo, labels, ALL, reference.TASKS[form]).value

    errors = [reference.task_errors(raw_bo, labels, form) for raw_bo in raw_mbo]
    result, gradient = value(np.full_like(raw_mbo, best))
    np.testing.assert_allclose(result, np.average(np.mean(errors, 0), weights=WEIGHTS), rtol=1e-5)
    np.testing.assert_allclose(gradient, 0 * raw_mbo, atol=1e-6)
    result_of_any, _ = value(raw_mbo)
    assert result_of_any > result


def test_uniform_teaches_the_head_by_its_error_and_the_codes_by_the_head_held_still():
    """With a linear head c: the codes feel `2 p (c(N) - mean) c'`, the head its absolute error."""
    n_mbd = reference.example_view(available=dict.fromkeys(reference.NAMES, 1)).n_mbd
    labels = np.asarray(reference.example_labels())
    head_d1 = np.linspace(-1, 1, 6, dtype=np.float32)[:, None]
    held = jax.lax.stop_gradient

    def value(n_mbd, head_d1):
        return noise.uniform(
            held(n_mbd) @ head_d1, n_mbd @ held(head_d1), labels, ALL, Task("l1")
        ).value

    of_codes, of_head = jit(jax.grad(value, argnums=(0, 1)))(n_mbd, head_d1)
    p_b = WEIGHTS / WEIGHTS.sum()
    expected_head = 0
    for n_bd, of_code in zip(n_mbd, of_codes, strict=True):
        output_b = (n_bd @ head_d1)[:, 0]
        slope_b = 2 * p_b * (output_b - p_b @ labels) / 3
        np.testing.assert_allclose(of_code, slope_b[:, None] * head_d1.T, rtol=1e-4, atol=1e-7)
        expected_head += n_bd.T @ (p_b * np.sign(output_b - labels))[:, None] / 3
    np.testing.assert_allclose(of_head, expected_head, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("floor", [0.0, 0.5, 1.0])
def test_variance_floor(floor):
    x_bd, _, w_b = reference.codes_and_weights(0)
    value = noise.variance_floor(x_bd, w_b, floor=floor)
    hinge = np.maximum(0, floor - reference.std(x_bd, w_b)).mean()
    np.testing.assert_allclose(value, hinge, rtol=1e-5, atol=1e-7)


def test_variance_floor_of_nothing_and_of_zeros():
    zeros, ones = jnp.zeros((5, 3)), jnp.ones(5)
    floor = partial(noise.variance_floor, floor=1.0)
    for weights_b, expected_value in ((ones, 1), (0 * ones, 0)):
        value, gradient = jax.value_and_grad(floor)(zeros, weights_b)
        assert value == expected_value
        np.testing.assert_array_equal(gradient, zeros)
