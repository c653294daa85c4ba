"""What every term of DHF keeps, of whatever kind; each against a transcription in NumPy."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from losses_reference import NAMES, as_float64

from fsrf_jax.losses import factorization, heterogeneous, noise, reconstruction
from fsrf_jax.losses.dependence import cross_correlation
from fsrf_jax.losses.divergences import infonce

BATCH = reference.example_batch()
TARGET = {
    m: np.asarray(reconstruction.mean_frame(BATCH.features[m], BATCH.present[m])) for m in NAMES
}
BOUND, FLOOR = 3.0, 1.3


@dataclass(frozen=True)
class Case:
    """A term and the arrays it takes, of a view, labels, targets and weights; and its reference.

    `arguments` gives both the same arrays: `weights_mb` are those of the modalities.
    """

    arguments: Callable
    term: Callable
    expected: Callable
    form: str = "number"

    def run(self, view, labels, target, weights_b):
        weights_mb = view.available_mb * weights_b[None]
        return self.term(*self.arguments(view, labels, target, weights_b, weights_mb))

    def reference(self, *arrays):
        view, labels, target, weights_b = as_float64(arrays)
        weights_mb = view.available_mb * weights_b[None]
        return self.expected(*self.arguments(view, labels, target, weights_b, weights_mb))


def of_form(form):
    """The cases whose formula depends on what the labels are."""
    task = reference.TASKS[form]
    return {
        f"task, {form}": Case(
            lambda v, y, t, w, w_mb: (v.task_mbo, y, w_mb),
            lambda *arrays: heterogeneous.task_heads(*arrays, task),
            lambda *arrays: reference.task_heads(*arrays, form),
            form,
        ),
        f"contrastive, {form}": Case(
            lambda v, y, t, w, w_mb: (v.s_mbd, y, w_mb),
            lambda s, y, w_mb: heterogeneous.contrastive(
                s, task.label_codes(y), w_mb, temperature=0.2, bandwidth=0.8
            ),
            lambda s, y, w_mb: reference.contrastive(
                s, reference.label_rows(y, form), w_mb, 0.2, 0.8
            ),
            form,
        ),
        f"adversarial, {form}": Case(
            lambda v, y, t, w, w_mb: (v.noise_mbo, y, w_mb),
            lambda *arrays: noise.adversarial(*arrays, task, bound=BOUND),
            lambda *arrays: reference.adversarial(*arrays, form, BOUND),
            form,
        ),
        f"dependence, {form}": Case(
            lambda v, y, t, w, w_mb: (v.n_mbd, y, w_mb),
            lambda n, y, w_mb: noise.dependence(n, task.label_codes(y), w_mb, cross_correlation),
            lambda n, y, w_mb: reference.noise_dependence(n, reference.label_rows(y, form), w_mb),
            form,
        ),
        f"uniform, {form}": Case(
            # The head held still gives what the learning one gives; only the gradient differs.
            lambda v, y, t, w, w_mb: (v.noise_mbo, v.noise_mbo, y, w_mb),
            lambda *arrays: noise.uniform(*arrays, task),
            lambda *arrays: reference.uniform(*arrays, form),
            form,
        ),
    }


TERMS = {
    "homogeneous": Case(
        lambda v, y, t, w, w_mb: (v.h_mbd, v.available_mb, w),
        lambda *arrays: factorization.homogeneous(*arrays, infonce),
        reference.homogeneous,
    ),
    "redundancy": Case(
        lambda v, y, t, w, w_mb: (v.h_mbd, v.s_mbd, v.n_mbd, v.available_mb, w),
        lambda *arrays: factorization.redundancy(
            *arrays, cross_correlation, hold_homogeneous=False
        ),
        reference.redundancy,
    ),
    **of_form("number"),
    **of_form("class"),
    **of_form("binary"),
    "modality": Case(
        lambda v, y, t, w, w_mb: (v.logits_mbm, w_mb), heterogeneous.modality, reference.modality
    ),
    "bottleneck": Case(
        lambda v, y, t, w, w_mb: (v.mean_mbd, v.log_variance_mbd, w_mb),
        noise.bottleneck,
        reference.bottleneck,
    ),
    "spread": Case(
        lambda v, y, t, w, w_mb: (v.n_mbd, w_mb),
        lambda *arrays: noise.spread(*arrays, floor=FLOOR),
        lambda *arrays: reference.spread(*arrays, FLOOR),
    ),
    "own": Case(
        lambda v, y, t, w, w_mb: (v.decoded, t, w_mb),
        reconstruction.direct,
        reference.reconstruction,
    ),
    "crossed": Case(
        lambda v, y, t, w, w_mb: (v.crossed, t, v.available_mb, w),
        reconstruction.crossed,
        reference.crossed,
    ),
}
# To these measures a binary task is two more numbers.
del TERMS["contrastive, binary"], TERMS["dependence, binary"]
PAIRED = ("homogeneous", "crossed")
STACKED = sorted(set(TERMS) - {"own", "crossed"})
every = pytest.mark.parametrize("name", sorted(TERMS))


def example(name, available=None):
    """A view, and labels."""
    form = TERMS[name].form
    view = reference.example_view(available=available, width=reference.OUTPUTS[form])
    return view, np.asarray(reference.example_labels(form))


@cache
def compiled(name):
    """Term and gradient in float64: one program for all tests of a term."""

    def value(view, labels, target, weights_b):
        term = TERMS[name].run(view, labels, target, weights_b)
        return term.value, term

    run = jax.jit(jax.value_and_grad(value, has_aux=True), compiler_options=reference.QUICK)

    def term_and_gradient(view, labels, weights_b, target=TARGET):
        with jax.enable_x64(True):
            arrays = as_float64((view, labels, target, weights_b))
            (_, term), gradient = jax.device_get(run(*arrays))
        return term, gradient

    return term_and_gradient


def expected(name, view, labels, weights_b, target=TARGET):
    """The term in NumPy: its value and weight."""
    return TERMS[name].reference(view, labels, target, weights_b)


def map_modalities(function, view):
    """The view with `function(i, x)` in place of every array x [b, ..] of modality i."""

    def of_field(x):
        if isinstance(x, dict):
            return {m: function(i, np.asarray(x[m])) for i, m in enumerate(NAMES)}
        return np.stack([function(i, x_i) for i, x_i in enumerate(np.asarray(x))])

    shared = ("available_mb", "fused_bd", "prediction_bo", "completeness_b")
    names = [f.name for f in dataclasses.fields(view) if f.name not in shared]
    return view.replace(**{name: of_field(getattr(view, name)) for name in names})


@every
@pytest.mark.parametrize("weighting", ["graded", "0 and 1"])
def test_value(name, weighting):
    view, labels = example(name)
    graded_b = np.random.default_rng(1).uniform(0.2, 2, 16).astype(np.float32)
    weights_b = BATCH.weights * (graded_b if weighting == "graded" else 1)
    term, _ = compiled(name)(view, labels, weights_b)
    np.testing.assert_allclose(term, expected(name, view, labels, weights_b), rtol=2e-5)


@every
@pytest.mark.parametrize("present", [("language", "vision"), ("audio",)])
def test_absent_modalities(name, present):
    view, labels = example(name, {m: float(m in present) for m in NAMES})
    term, _ = compiled(name)(view, labels, BATCH.weights)
    assert (term.weight > 0) == (len(present) > 1 or name not in PAIRED)
    np.testing.assert_allclose(term, expected(name, view, labels, BATCH.weights), rtol=2e-5)


@every
@pytest.mark.parametrize("nothing", ["all missing", "all weights zero"])
def test_without_weight_zero_and_zero_gradient(name, nothing):
    view, labels = example(name, dict.fromkeys(NAMES, float(nothing != "all missing")))
    weights_b = BATCH.weights * (nothing != "all weights zero")
    term, gradient = compiled(name)(view, labels, weights_b)
    assert term == (0, 0)
    chex.assert_trees_all_equal(gradient, jax.tree.map(np.zeros_like, gradient))


@every
def test_weights_of_0_and_1_equal_dropping_rows(name):
    view, labels = example(name)
    chosen = np.arange(16) % 3 > 0
    term, _ = compiled(name)(view, labels, chosen.astype(np.float32))
    rows = map_modalities(lambda i, x: x[chosen], view)
    rows = rows.replace(available_mb=view.available_mb[:, chosen])
    target = {m: x[chosen] for m, x in TARGET.items()}
    expected_term = expected(name, rows, labels[chosen], np.ones(chosen.sum()), target)
    np.testing.assert_allclose(term, expected_term, rtol=2e-5)


@every
def test_what_is_not_available_has_no_influence_and_no_gradient(name):
    """Nor have the labels and targets of rows without weight."""
    view, labels = example(name)
    counts_mb = np.asarray(view.available_mb * BATCH.weights[None]) > 0
    term, gradient = compiled(name)(view, labels, BATCH.weights)
    size = []

    def look(i, x):
        assert np.isfinite(x).all()
        assert (x[~counts_mb[i]] == 0).all()
        size.append(np.abs(x).sum())
        return x

    map_modalities(look, gradient)
    assert sum(size) > 0

    disturbed = map_modalities(
        lambda i, x: x + 7 * ~counts_mb[i].reshape(-1, *[1] * (x.ndim - 1)), view
    )
    without_b = np.asarray(BATCH.weights) == 0
    labels = np.where(without_b.reshape(-1, *[1] * (labels.ndim - 1)), 0, labels)
    target = {m: x + 7 * without_b[:, None] for m, x in TARGET.items()}
    other, _ = compiled(name)(disturbed, labels, BATCH.weights, target)
    np.testing.assert_allclose(other, term, rtol=1e-6)


@every
def test_gradient_against_finite_differences(name):
    view, labels = example(name)
    step = 1e-6
    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), view)
    direction = direction.replace(available_mb=np.zeros(view.available_mb.shape))
    view = as_float64(view)
    moved = [jax.tree.map(lambda x, v, s=s: x + s * v, view, direction) for s in (step, -step)]
    ahead, behind = (compiled(name)(x, labels, BATCH.weights)[0].value for x in moved)
    _, gradient = compiled(name)(view, labels, BATCH.weights)
    slope = sum(map(np.vdot, jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    assert abs(slope) > 1e-4
    np.testing.assert_allclose((ahead - behind) / (2 * step), slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", STACKED)
def test_the_order_of_the_modalities_does_not_matter(name):
    view, labels = example(name)
    term, gradient = compiled(name)(view, labels, BATCH.weights)
    order = np.array([2, 0, 1])

    def reorder(view):
        stacked = [f.name for f in dataclasses.fields(view) if "_mb" in f.name]
        view = view.replace(**{name: np.asarray(getattr(view, name))[order] for name in stacked})
        return view.replace(logits_mbm=view.logits_mbm[:, :, order])

    other, other_gradient = compiled(name)(reorder(view), labels, BATCH.weights)
    np.testing.assert_allclose(other, term, rtol=1e-12)
    chex.assert_trees_all_close(other_gradient, reorder(gradient), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["own", "crossed"])
def test_the_order_of_a_dictionary_does_not_matter(name):
    view, labels = example(name)

    def program(names):
        def term(view, target, weights_b):
            view, target = jax.tree.map(
                lambda tree: {m: tree[m] for m in names} if isinstance(tree, dict) else tree,
                (view, target),
                is_leaf=lambda x: isinstance(x, dict),
            )
            return TERMS[name].run(view, labels, target, weights_b)

        return str(jax.make_jaxpr(term)(view, TARGET, BATCH.weights))

    assert program(NAMES[::-1]) == program(NAMES)


@every
def test_views_are_mapped(name):
    """The terms of two views at once are those of each alone."""
    views = [example(name)[0], example(name, {"audio": 1, "language": 0, "vision": 1})[0]]
    labels = example(name)[1]
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), *views)
    run = jax.vmap(TERMS[name].run, in_axes=(0, None, None, None))
    terms = jax.jit(run, compiler_options=reference.QUICK)(both, labels, TARGET, BATCH.weights)
    for i, view in enumerate(views):
        alone, _ = compiled(name)(view, labels, BATCH.weights)
        np.testing.assert_allclose([x[i] for x in terms], alone, rtol=1e-4)


@every
@pytest.mark.parametrize("wrong", ["rank", "rows", "modalities"])
def test_shapes_are_checked(name, wrong):
    view, labels = example(name)
    available_mb, weights_b = view.available_mb, BATCH.weights
    weights_mb = available_mb * weights_b[None]
    if wrong == "rank":
        weights_b, weights_mb = weights_b[:, None], weights_mb[:, :, None]
    elif wrong == "rows":
        weights_b, weights_mb = weights_b[:8], weights_mb[:, :8]
    else:
        view, weights_mb = view.replace(available_mb=available_mb[:2]), weights_mb[:2]
    arrays = TERMS[name].arguments(view, labels, TARGET, weights_b, weights_mb)
    with pytest.raises(AssertionError):
        TERMS[name].term(*arrays)
