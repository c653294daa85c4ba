"""What is special to each term; what all terms keep is in `test_losses_terms.py`."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from fsrf_jax.losses import noise
from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.task import label_codes

WEIGHTS = reference.example_batch().weights
jit = partial(jax.jit, compiler_options=reference.QUICK)


def view(form="number", kind="adversarial"):
    """One view of which everything is available."""
    outputs = reference.example_outputs(
        available=dict.fromkeys(reference.MODALITIES, 1),
        outputs=reference.OUTPUTS[form],
        noise=kind,
    )
    return jax.tree.map(lambda x: np.asarray(x)[0], (outputs.codes, outputs.auxiliary))


@pytest.mark.parametrize(
    ("form", "limit"), [("number", 2.0), ("class", np.log(3)), ("binary", np.log(2))]
)
def test_adversary_error_is_bounded_and_then_has_no_gradient(form, limit):
    codes, auxiliary = view(form)
    labels = reference.example_labels(form)
    kind = reference.KINDS[form]

    @jit
    @jax.value_and_grad
    def value(raw):
        heads = auxiliary.replace(noise=raw)
        return noise.adversarial(codes, heads, labels, WEIGHTS, task_kind=kind, bound=2.0).value

    wrong_bo = -100 * (2 * np.asarray(label_codes(labels, reference.OUTPUTS[form], kind=kind)) - 1)
    result, gradient = value(dict.fromkeys(reference.MODALITIES, wrong_bo))
    np.testing.assert_allclose(result, limit, rtol=1e-6)
    chex.assert_trees_all_equal(gradient, jax.tree.map(jnp.zeros_like, gradient))
    # A head that says nothing is at chance; one that is right has no error.
    right, _ = value(dict.fromkeys(reference.MODALITIES, -wrong_bo))
    if form != "number":
        silent, _ = value(dict.fromkeys(reference.MODALITIES, 0 * wrong_bo))
        np.testing.assert_allclose(silent, limit, rtol=1e-6)
        np.testing.assert_allclose(right, 0, atol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "huber", "mse"])
def test_the_error_of_a_number_is_always_the_absolute_one(kind):
    """A Gaussian head's log-variance has no say: it could make the error small, or negative."""
    codes, auxiliary = view(kind="uniform")
    labels = reference.example_labels()
    terms = partial(noise.adversarial, bound=3.0), noise.uniform

    def values(auxiliary, kind):
        return [term(codes, auxiliary, labels, WEIGHTS, task_kind=kind) for term in terms]

    both = jit(values, static_argnames="kind")
    heads = auxiliary
    if kind == "gaussian":
        wide = {m: np.hstack([x, x + 5]) for m, x in auxiliary.noise.items()}
        heads = auxiliary.replace(noise=wide, frozen_noise=wide)
    chex.assert_trees_all_close(both(heads, kind), both(auxiliary, "l1"))


def test_bottleneck_is_the_divergence_of_two_gaussians():
    codes, _ = view(kind="bottleneck")
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(size=2), rng.normal(size=2)

    def integrand(x, mean, std):
        p = norm(mean, std)
        return p.pdf(x) * (p.logpdf(x) - norm.logpdf(x))

    rates = [
        quad(integrand, -20, 20, args=(m, np.exp(v / 2)))[0]
        for m, v in zip(mean, log_variance, strict=True)
    ]
    moments = np.tile(np.stack([mean, log_variance])[None], (16, 1, 1)).astype(np.float32)
    codes = codes.replace(noise_moments=dict.fromkeys(reference.MODALITIES, moments))
    term = noise.bottleneck(codes, WEIGHTS)
    np.testing.assert_allclose(term, (np.mean(rates), 3 * WEIGHTS.sum()), rtol=1e-5)


def test_bottleneck_is_0_at_the_standard_normal_distribution():
    codes, _ = view(kind="bottleneck")

    def value(moments):
        return noise.bottleneck(codes.replace(noise_moments=moments), WEIGHTS).value

    zeros = jax.tree.map(np.zeros_like, codes.noise_moments)
    result, gradient = jax.value_and_grad(value)(zeros)
    assert result == 0
    chex.assert_trees_all_equal(gradient, zeros)


@pytest.mark.parametrize("measure", ["cross_correlation", "hsic", "orthogonality"])
def test_dependence_sees_a_label_inside_the_code(measure):
    codes, _ = view()
    label_codes_be = np.asarray(reference.example_labels())[:, None]
    copied = codes.replace(noise={m: x.copy() for m, x in codes.noise.items()})
    for n_bd in copied.noise.values():
        n_bd[:, :3] = label_codes_be
    term = jit(lambda codes: noise.dependence(codes, label_codes_be, WEIGHTS, DEPENDENCE[measure]))
    assert term(copied).value > 2 * term(codes).value > 0
    of_each = [DEPENDENCE[measure](n, label_codes_be, WEIGHTS) for n in codes.noise.values()]
    np.testing.assert_allclose(term(codes).value, np.mean(of_each), rtol=1e-5)


@pytest.mark.parametrize("form", sorted(reference.KINDS))
def test_uniform_says_nothing_at_the_best_constant(form):
    """The part that N_m pays for: what is left once the learning head's error is taken away."""
    codes, auxiliary = view(form, "uniform")
    labels = reference.example_labels(form)
    best = np.average(labels, weights=WEIGHTS) if form == "number" else 0

    @jit
    @jax.value_and_grad
    def value(frozen):
        heads = auxiliary.replace(frozen_noise=frozen)
        kind = reference.KINDS[form]
        return noise.uniform(codes, heads, labels, WEIGHTS, task_kind=kind).value

    silent = {m: np.full_like(x, best) for m, x in auxiliary.noise.items()}
    errors = [reference.task_errors(x, np.asarray(labels), form) for x in auxiliary.noise.values()]
    result, gradient = value(silent)
    np.testing.assert_allclose(result, np.average(np.mean(errors, 0), weights=WEIGHTS), rtol=1e-5)
    chex.assert_trees_all_close(gradient, jax.tree.map(jnp.zeros_like, gradient), atol=1e-6)
    result_of_any, _ = value(auxiliary.frozen_noise)
    assert result_of_any > result


def test_uniform_teaches_the_head_by_its_error_and_the_codes_by_the_head_held_still():
    """With a linear head c: the codes feel `2 p (c(N) - mean) c'`, the head its absolute error."""
    codes, auxiliary = view(kind="uniform")
    labels = np.asarray(reference.example_labels())
    head_d1 = np.linspace(-1, 1, 6, dtype=np.float32)[:, None]
    held = jax.lax.stop_gradient

    def value(noise_codes, head_d1):
        heads = auxiliary.replace(
            noise={m: held(n_bd) @ head_d1 for m, n_bd in noise_codes.items()},
            frozen_noise={m: n_bd @ held(head_d1) for m, n_bd in noise_codes.items()},
        )
        return noise.uniform(codes, heads, labels, WEIGHTS, task_kind="l1").value

    of_codes, of_head = jit(jax.grad(value, argnums=(0, 1)))(codes.noise, head_d1)
    p_b = np.asarray(WEIGHTS / WEIGHTS.sum())
    expected_head = 0
    for m, n_bd in codes.noise.items():
        said_b1 = n_bd @ head_d1
        slope_b = 2 * p_b * (said_b1[:, 0] - p_b @ labels) / 3
        np.testing.assert_allclose(of_codes[m], slope_b[:, None] * head_d1.T, rtol=1e-4, atol=1e-7)
        expected_head += n_bd.T @ (p_b * np.sign(said_b1[:, 0] - labels))[:, None] / 3
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
