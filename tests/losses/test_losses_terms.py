"""What every term of DHF keeps, of whatever kind; each against a transcription in NumPy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations, permutations

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest

from fsrf_jax.losses import factorization, heterogeneous, noise, reconstruction
from fsrf_jax.losses.dependence import cross_correlation
from fsrf_jax.losses.divergences import infonce
from fsrf_jax.losses.task import label_codes

BATCH = reference.example_batch()
TARGET = {
    m: reconstruction.mean_valid_frame(BATCH.features[m], BATCH.valid[m])
    for m in reference.MODALITIES
}
BOUND, FLOOR = 3.0, 1.3
NAMES = sorted(reference.MODALITIES)


@dataclass(frozen=True)
class Case:
    """A term, called with codes, heads, labels and weights, and how to know better.

    `expected` gives the value of every modality or pair with its weights.
    """

    term: Callable
    expected: Callable
    form: str = "number"
    heads: dict = field(default_factory=dict)


def of_modalities(value):
    """Of `value(codes, auxiliary, labels, m, weights)` for every modality."""

    def expected(c, a, labels, w):
        return [(value(c, a, labels, m, c.available[m] * w), c.available[m] * w) for m in NAMES]

    return expected


def of_pairs(value, ways):
    """Of `value(codes, auxiliary, m, n, weights)` for every pair that `ways` gives."""

    def expected(c, a, labels, w):
        both = [(m, n, c.available[m] * c.available[n] * w) for m, n in ways(NAMES, 2)]
        return [(value(c, a, m, n, w_mn), w_mn) for m, n, w_mn in both]

    return expected


def expected_redundancy(c, a, labels, w):
    h, s, n = c.homogeneous, c.heterogeneous, c.noise
    triples = [(s[m], s[o], c.available[m] * c.available[o] * w) for m, o in combinations(NAMES, 2)]
    for m in NAMES:
        w_m = c.available[m] * w
        triples += [(h[m], s[m], w_m), (h[m], n[m], w_m), (s[m], n[m], w_m)]
    return [(reference.cross_correlation(*triple), triple[2]) for triple in triples]


def bottleneck(c, a, labels, m, w):
    mean_bd, log_bd = c.noise_moments[m][:, 0], c.noise_moments[m][:, 1]
    return reference.mean((mean_bd**2 + np.exp(log_bd) - 1 - log_bd).mean(1) / 2, w)


def modality(c, a, labels, m, w):
    classes = np.full(len(w), NAMES.index(m))
    return reference.mean(reference.task_errors(a.heterogeneous[m], classes, "class"), w)


def spread(c, a, labels, m, w):
    return np.maximum(0, FLOOR - reference.std(c.noise[m], w)).mean() if w.sum() else 0.0


def of_form(form):
    """The cases whose formula depends on what the labels are."""
    kind, outputs = reference.KINDS[form], reference.OUTPUTS[form]
    limit = {"number": BOUND, "class": np.log(3), "binary": np.log(2)}[form]

    def rows(labels):
        return label_codes(labels, outputs, kind=kind)

    def task_error(c, a, labels, m, w):
        return reference.mean(reference.task_errors(a.heterogeneous[m], labels, form), w)

    def adversary(c, a, labels, m, w):
        errors = reference.task_errors(a.noise[m], labels, form)
        return reference.mean(np.minimum(errors, limit), w)

    def uniform(c, a, labels, m, w):
        errors = reference.task_errors(a.noise[m], labels, form)
        return reference.mean(errors + reference.said(a.frozen_noise[m], labels, w, form), w)

    def contrast(c, a, labels, m, w):
        label_rows = reference.label_rows(labels, form)
        return reference.supervised_contrastive(c.heterogeneous[m], label_rows, w, 0.2, 0.8)

    def dependence(c, a, labels, m, w):
        label_rows = reference.label_rows(labels, form)
        return reference.cross_correlation(c.noise[m], label_rows, w)

    heads = {"outputs": outputs}
    return {
        f"task, {form}": Case(
            lambda c, a, y, w: heterogeneous.task(c, a, y, w, task_kind=kind),
            of_modalities(task_error),
            form,
            heads,
        ),
        f"contrastive, {form}": Case(
            lambda c, a, y, w: heterogeneous.contrastive(
                c, rows(y), w, temperature=0.2, bandwidth=0.8
            ),
            of_modalities(contrast),
            form,
            {"heterogeneous": "contrastive"},
        ),
        f"adversarial, {form}": Case(
            lambda c, a, y, w: noise.adversarial(c, a, y, w, task_kind=kind, bound=BOUND),
            of_modalities(adversary),
            form,
            heads,
        ),
        f"dependence, {form}": Case(
            lambda c, a, y, w: noise.dependence(c, rows(y), w, cross_correlation),
            of_modalities(dependence),
            form,
            {"noise": "dependence"},
        ),
        f"uniform, {form}": Case(
            lambda c, a, y, w: noise.uniform(c, a, y, w, task_kind=kind),
            of_modalities(uniform),
            form,
            heads | {"noise": "uniform"},
        ),
    }


TERMS = {
    "homogeneous": Case(
        lambda c, a, y, w: factorization.homogeneous(c, w, infonce),
        of_pairs(
            lambda c, a, m, n, w: reference.infonce(c.homogeneous[m], c.homogeneous[n], w),
            combinations,
        ),
    ),
    "redundancy": Case(
        lambda c, a, y, w: factorization.redundancy(
            c, w, cross_correlation, hold_homogeneous=False
        ),
        expected_redundancy,
    ),
    **of_form("number"),
    **of_form("class"),
    **of_form("binary"),
    "modality": Case(
        lambda c, a, y, w: heterogeneous.modality(c, a, w),
        of_modalities(modality),
        heads={"heterogeneous": "modality"},
    ),
    "bottleneck": Case(
        lambda c, a, y, w: noise.bottleneck(c, w),
        of_modalities(bottleneck),
        heads={"noise": "bottleneck"},
    ),
    "spread": Case(lambda c, a, y, w: noise.spread(c, w, floor=FLOOR), of_modalities(spread)),
    "own": Case(
        lambda c, a, y, w: reconstruction.own(c, a, TARGET, w),
        of_modalities(lambda c, a, y, m, w: reference.mse(a.reconstruction[m], TARGET[m], w)),
    ),
    "crossed": Case(
        lambda c, a, y, w: reconstruction.crossed(c, a, TARGET, w),
        of_pairs(
            lambda c, a, m, n, w: reference.mse(
                a.reconstruction[m][:, [o for o in NAMES if o != m].index(n)], TARGET[m], w
            ),
            permutations,
        ),
        heads={"crossed": True},
    ),
}
# To these measures a binary task is two more numbers.
del TERMS["contrastive, binary"], TERMS["dependence, binary"]
PAIRED = ("homogeneous", "crossed")
every = pytest.mark.parametrize("name", sorted(TERMS))


def example(name, available=None):
    """Codes and heads of one view, and labels."""
    outputs = reference.example_outputs(available=available, **TERMS[name].heads)
    view = jax.tree.map(lambda x: np.asarray(x)[0], (outputs.codes, outputs.auxiliary))
    return view, reference.example_labels(TERMS[name].form)


@cache
def compiled(name):
    """Term and gradient in float64: one program for all tests of a term."""

    def value(view, labels, weights_b):
        term = TERMS[name].term(*view, labels, weights_b)
        return term.value, term

    run = jax.jit(jax.value_and_grad(value, has_aux=True), compiler_options=reference.QUICK)

    def term_and_gradient(*arrays):
        with jax.enable_x64(True):
            (_, term), gradient = jax.device_get(run(*as_float64(arrays)))
        return term, gradient

    return term_and_gradient


def as_float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def expected(name, view, labels, weights_b):
    """The term in NumPy: its value and weight."""
    (codes, auxiliary), labels, w = as_float64((view, labels, weights_b))
    parts = TERMS[name].expected(codes, auxiliary, labels, w)
    active = [value for value, w_b in parts if w_b.sum() > 0]
    return np.mean(active) if active else 0.0, sum(w_b.sum() for _, w_b in parts)


def by_modality(view):
    """Every array that belongs to a modality, but for `available`."""
    codes, auxiliary = view
    trees = [codes.homogeneous, codes.heterogeneous, codes.noise, codes.noise_moments]
    trees += [auxiliary.heterogeneous, auxiliary.noise, auxiliary.frozen_noise]
    return [(m, tree[m]) for tree in [*trees, auxiliary.reconstruction] for m in tree]


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
    view, labels = example(name, {m: float(m in present) for m in reference.MODALITIES})
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
    chex.assert_trees_all_equal(gradient, jax.tree.map(jnp.zeros_like, gradient))


@every
def test_weights_of_0_and_1_equal_dropping_rows(name, monkeypatch):
    view, labels = example(name)
    kept = np.arange(16) % 3 > 0
    term, _ = compiled(name)(view, labels, kept.astype(np.float32))
    view, labels, target = jax.tree.map(lambda x: x[kept], (view, labels, TARGET))
    for m in NAMES:
        monkeypatch.setitem(TARGET, m, target[m])
    np.testing.assert_allclose(term, expected(name, view, labels, np.ones(kept.sum())), rtol=2e-5)


@every
def test_what_is_not_available_has_no_influence_and_no_gradient(name):
    view, labels = example(name)
    available = view[0].available

    def counts_b(m):
        return np.asarray(available[m] * BATCH.weights) > 0

    term, gradient = compiled(name)(view, labels, BATCH.weights)
    assert all(np.isfinite(x).all() for _, x in by_modality(gradient))
    assert all((np.asarray(x)[~counts_b(m)] == 0).all() for m, x in by_modality(gradient))
    assert sum(np.abs(x).sum() for _, x in by_modality(gradient)) > 0

    def disturb(tree):
        if not isinstance(tree, dict):
            return tree
        rows = {m: ~counts_b(m) for m in tree}
        return {m: x + 7 * rows[m].reshape(-1, *[1] * (x.ndim - 1)) for m, x in tree.items()}

    codes, auxiliary = jax.tree.map(disturb, view, is_leaf=lambda x: isinstance(x, dict))
    codes = codes.replace(available=available)
    other, _ = compiled(name)((codes, auxiliary), labels, BATCH.weights)
    np.testing.assert_allclose(other, term, rtol=1e-6)


@every
def test_gradient_against_finite_differences(name):
    view, labels = example(name)
    available, step = view[0].available, 1e-6
    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), view)
    direction = (
        direction[0].replace(available=as_float64(jax.tree.map(jnp.zeros_like, available))),
        direction[1],
    )
    view = as_float64(view)
    moved = [jax.tree.map(lambda x, v, s=s: x + s * v, view, direction) for s in (step, -step)]
    ahead, behind = (compiled(name)(x, labels, BATCH.weights)[0].value for x in moved)
    _, gradient = compiled(name)(view, labels, BATCH.weights)
    slope = sum(map(np.vdot, jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    assert abs(slope) > 1e-4
    np.testing.assert_allclose((ahead - behind) / (2 * step), slope, rtol=1e-5, atol=1e-8)


@every
def test_the_order_of_the_modalities_does_not_matter(name):
    view, labels = example(name)

    def program(names):
        def ordered(tree):
            return {m: tree[m] for m in names} if isinstance(tree, dict) and tree else tree

        def term(view, labels, weights_b):
            view = jax.tree.map(ordered, view, is_leaf=lambda x: isinstance(x, dict))
            return TERMS[name].term(*view, labels, weights_b)

        return str(jax.make_jaxpr(term)(view, labels, BATCH.weights))

    assert program(NAMES[::-1]) == program(NAMES)


@every
def test_shapes_are_checked(name):
    view, labels = example(name)
    with pytest.raises(AssertionError):
        TERMS[name].term(*view, labels, BATCH.weights[:, None])
