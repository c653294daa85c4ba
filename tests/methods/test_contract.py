"""What every method in `METHODS` keeps, whatever it is: a later one is tested without a line here.

See `fsrf_jax.methods.method.Method`. A method runs with its defaults on a tiny network without
dropout: one program for its loss and gradient, and one for predictions and codes.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsrf_jax.losses import Task
from fsrf_jax.methods import METHODS, Setting
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import check, merge, split
from fsrf_jax.types import Batch, Step, View

FRAMES, FEATURES = {"language": 3, "audio": 4}, {"language": 4, "audio": 3}
MODEL = ModelOptions(width=4, heads=2, expansion=1, dropout=0.0)
SETTING = Setting(Task("l1"), MODEL)
KEY, PROGRESS = jax.random.key(0), jnp.float32(1)
B = 12
ALL = ("audio", "language")
PATTERNS = (ALL, ("audio",), ("language",), ())
# By method: leaves of the parameters that no term teaches, by their path, each with a reason.
UNTAUGHT: dict[str, dict[str, str]] = {}


def make_batch():
    """Some frames are padding, some inside are gaps, and the last row only fills the batch up."""
    rng = np.random.default_rng(0)
    valid = {m: np.ones((B, t), bool) for m, t in FRAMES.items()}
    for m in FRAMES:
        valid[m][1::3, -1] = False
    present = {m: v.copy() for m, v in valid.items()}
    for m in FRAMES:
        present[m][2::3, 0] = False
    return Batch(
        features={
            m: jnp.asarray(rng.normal(size=(B, t, FEATURES[m])), jnp.float32)
            * jnp.asarray(present[m])[..., None]
            for m, t in FRAMES.items()
        },
        valid={m: jnp.asarray(x) for m, x in valid.items()},
        present={m: jnp.asarray(x) for m, x in present.items()},
        labels=jnp.asarray(rng.uniform(-3, 3, size=B), jnp.float32),
        weights=jnp.ones(B).at[-1].set(0),
    )


def view_of(batch, patterns, seed=None):
    """Sample i observes the modalities of pattern i; with a seed, only some of their frames."""
    view = {}
    rng = np.random.default_rng(seed)
    for m, present in batch.present.items():
        kept = np.asarray([m in patterns[i % len(patterns)] for i in range(len(present))])[:, None]
        if seed is not None:
            kept = kept & (rng.uniform(size=present.shape) < 0.7)
        view[m] = present & jnp.asarray(kept)
    return view


BATCH = make_batch()


class Subject(NamedTuple):
    """A method with parameters, and its compiled functions."""

    method: object
    hyper: dict
    parameters: dict
    views: list
    loss: object
    predict: object
    codes: object
    traced: list


def make_views(method, batch, patterns=None):
    """As many as the method takes; by default all patterns, another one in each view."""
    views = []
    for k in range(method.views):
        turned = [PATTERNS[(i + k + i // 4 * k) % 4] for i in range(len(batch.labels))]
        views.append(view_of(batch, patterns or turned, seed=k))
    return views + [batch.present] * method.complete_view


def init(method):
    return jax.jit(lambda key: method.init(SETTING, BATCH, key))(KEY)


@pytest.fixture(scope="module", params=METHODS)
def subject(request):
    method = METHODS[request.param]()
    static, hyper = split(method)
    traced = []
    taught = method.teacher_method()
    teacher = None if taught is None else init(taught.method)["inference"]

    @jax.jit
    def loss(hyper, parameters, batch, views, key):
        """Raw terms, and the gradient of their weighted sum in parameters and features."""
        traced.append(1)
        merged = merge(static, hyper)

        def total(parameters, features):
            changed = dataclasses.replace(batch, features=features)
            terms = merged.loss(SETTING, parameters, teacher, Step(changed, views, PROGRESS, key))
            weights = merged.term_weights(PROGRESS)
            return terms["task"] + sum(weights[name] * terms[name] for name in weights), terms

        return jax.grad(total, (0, 1), has_aux=True)(parameters, batch.features)

    @jax.jit
    def predict(inference, *inputs):
        return static.predict(SETTING, inference, View(*inputs))

    @jax.jit
    def codes(inference, *inputs):
        return static.codes(SETTING, inference, View(*inputs))

    made = init(method)
    # As after some steps: no bias is 0, so that one in front of another has a gradient.
    rng = np.random.default_rng(1)
    parameters = jax.tree.map(
        lambda x: x + jnp.asarray(0.1 * rng.normal(size=x.shape), x.dtype), made
    )
    return Subject(
        method, hyper, parameters, make_views(method, BATCH), loss, predict, codes, traced
    )


def run(subject, batch=BATCH, views=None, hyper=None, parameters=None):
    """Gradient in parameters and features, and terms."""
    given = subject.views if views is None else views
    hyper = subject.hyper if hyper is None else hyper
    parameters = subject.parameters if parameters is None else parameters
    return jax.device_get(subject.loss(hyper, parameters, batch, given, KEY))


@pytest.fixture(scope="module")
def usual(subject):
    return run(subject)


def assert_zero(tree):
    for leaf in jax.tree.leaves(tree):
        np.testing.assert_array_equal(leaf, 0)


def test_its_name_and_its_checks(subject):
    assert METHODS[subject.method.name] is type(subject.method)
    check(subject.method)
    for kind in ("l1", "gaussian", "cross_entropy", "binary_cross_entropy"):
        subject.method.check_task(Task(kind, 1 if kind in ("l1", "gaussian") else 3))
    assert subject.method.views >= 1


def test_terms_and_their_weights_have_the_same_names(subject, usual):
    _, terms = usual
    for progress in (0.01, 1.0):
        weights = subject.method.term_weights(jnp.float32(progress))
        assert set(terms) == {"task", *weights}
        assert all(weight >= 0 for weight in weights.values())
    for name, term in terms.items():
        assert term.shape == (), name
        assert term.dtype == jnp.float32, name
    chex.assert_tree_all_finite(usual)


def test_numbers_never_compile_anew(subject, usual):
    """Methods that differ in numbers alone are one static part, and one program."""
    one, two = type(subject.method)(), type(subject.method)()
    static, hyper = split(one)
    assert hash(static) == hash(split(two)[0])
    moved = {name: value + 0.25 for name, value in hyper.items()}
    other = merge(static, {name: float(value) for name, value in moved.items()})
    assert split(other)[0] == static
    assert hash(split(other)[0]) == hash(static)
    assert {name: float(x) for name, x in split(other)[1].items()} == pytest.approx(
        {name: float(x) for name, x in moved.items()}
    )
    run(subject, hyper=moved)
    assert len(subject.traced) == 1


def test_without_weights_only_the_task_is_learnt(subject, usual):
    """A term whose weight is 0 has no gradient, whatever it is."""
    none = {
        name: jnp.zeros_like(value) if name.startswith("weights.") else value
        for name, value in subject.hyper.items()
    }
    weights = merge(split(subject.method)[0], none).term_weights(PROGRESS)
    assert not any(weights.values())  # every weight is an option
    (of_parameters, _), terms = run(subject, hyper=none)
    chex.assert_trees_all_equal(terms, usual[1])  # raw terms know nothing of weights
    assert_zero(of_parameters["training"])
    assert max(np.abs(x).max() for x in jax.tree.leaves(of_parameters["inference"])) > 0


def test_a_weight_of_0_turns_a_term_off(subject, usual):
    """The gradient is what the other terms give: each term's own times its weight, added up."""
    weights = [name for name in subject.hyper if name.startswith("weights.")]
    doubled = {}
    for name in weights:
        assert float(subject.hyper[name]) > 0, name  # or its default would be no term at all
        off = run(subject, hyper=subject.hyper | {name: jnp.zeros(())})
        assert usual[1] == off[1]  # raw terms know nothing of weights
        twice = run(subject, hyper=subject.hyper | {name: 2 * subject.hyper[name]})
        own = jax.tree.map(lambda full, without: full - without, usual[0], off[0])
        again = jax.tree.map(lambda twice, full: twice - full, twice[0], usual[0])
        chex.assert_trees_all_close(own, again, rtol=1e-2, atol=1e-5)
        doubled[name] = max(np.abs(x).max() for x in jax.tree.leaves(own))
    assert all(size > 0 for size in doubled.values()), doubled


@pytest.mark.parametrize("padding", [True, False])
def test_what_a_sample_never_had_is_neither_input_nor_target(subject, padding):
    """Whole modalities that are padding, or a gap, throughout, with all terms at work."""
    never = {m: np.arange(B) % 3 == i for i, m in enumerate(ALL)}  # the other third has both
    valid, present = (
        {m: x & ~jnp.asarray(never[m])[:, None] for m, x in masks.items()}
        for masks in (BATCH.valid, BATCH.present)
    )
    valid = valid if padding else BATCH.valid
    batch = dataclasses.replace(BATCH, valid=valid, present=present)
    views = [{m: v & present[m] for m, v in view.items()} for view in subject.views]
    (of_parameters, of_features), terms = run(subject, batch, views)
    changed = {m: jnp.where(never[m][:, None, None], 1e3, x) for m, x in BATCH.features.items()}
    again = run(subject, dataclasses.replace(batch, features=changed), views)
    assert again[1] == terms
    chex.assert_trees_all_equal(again[0][0], of_parameters)
    chex.assert_tree_all_finite((of_parameters, terms))
    for m in ALL:
        assert_zero(of_features[m][never[m]])
        assert np.abs(of_features[m][~never[m]]).max() > 0


@pytest.mark.parametrize("pattern", PATTERNS, ids="+".join)
def test_finite_with_anything_missing(subject, pattern):
    gradient, terms = run(subject, views=make_views(subject.method, BATCH, (pattern,)))
    chex.assert_tree_all_finite((gradient, terms))
    assert terms["task"] > 0


@pytest.mark.parametrize("row", range(4))
def test_finite_with_one_sample(subject, row):
    """The only one with weight, under each pattern of view 0."""
    weights = jnp.zeros(B).at[row].set(1)
    gradient, terms = run(subject, dataclasses.replace(BATCH, weights=weights))
    chex.assert_tree_all_finite((gradient, terms))
    for x in gradient[1].values():
        assert_zero(np.delete(x, row, axis=0))


def test_a_batch_without_weight_is_silent(subject):
    gradient, terms = run(subject, dataclasses.replace(BATCH, weights=jnp.zeros(B)))
    assert_zero((gradient, terms))


def test_a_modality_that_is_absent_everywhere_has_no_gradient(subject):
    """Of its features, but where the complete ones are a target: those have no modality missing."""
    views = make_views(subject.method, BATCH, (("audio",),))
    unseen = {m: ~np.any([view[m] for view in views], axis=0) for m in FRAMES}
    changed = {m: jnp.where(unseen[m][..., None], 1e3, x) for m, x in BATCH.features.items()}
    batch = dataclasses.replace(BATCH, features=changed)
    task = {
        name: jnp.zeros_like(x) if name.startswith("weights.") else x
        for name, x in subject.hyper.items()
    }
    (_, of_features), terms = run(subject, batch, views=views, hyper=task)
    (_, same), again = run(subject, views=views, hyper=task)
    assert terms["task"] == again["task"]
    chex.assert_trees_all_equal(of_features, same)
    for m in FRAMES:
        assert_zero(of_features[m][unseen[m]])


@pytest.mark.parametrize("garbage", [1e3, -1e6])
def test_rows_without_weight_change_nothing(subject, usual, garbage):
    fills = B - 1
    batch = dataclasses.replace(
        BATCH,
        features={m: x.at[fills].set(garbage) for m, x in BATCH.features.items()},
        labels=BATCH.labels.at[fills].set(7),
    )
    gradient, terms = run(subject, batch)
    chex.assert_trees_all_close(terms, usual[1], rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(gradient[0], usual[0][0], rtol=1e-3, atol=1e-5)
    for x in gradient[1].values():
        assert_zero(x[fills])


def test_the_order_of_the_samples_changes_nothing(subject, usual):
    order = np.random.default_rng(0).permutation(B)
    batch, views = jax.tree.map(lambda x: x[order], (BATCH, subject.views))
    gradient, terms = run(subject, batch, views)
    chex.assert_trees_all_close(terms, usual[1], rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(gradient[0], usual[0][0], rtol=1e-3, atol=1e-5)
    inference = subject.parameters["inference"]
    inputs = BATCH.features, BATCH.valid, subject.views[0]
    moved = subject.predict(inference, *jax.tree.map(lambda x: x[order], inputs))
    alone = subject.predict(inference, *inputs)
    np.testing.assert_allclose(moved, alone[order], rtol=1e-5, atol=1e-6)


def test_every_parameter_is_taught(subject, usual):
    """By more than rounding, on a batch with every pattern of missing modalities in each view."""
    of_parameters = usual[0][0]
    chex.assert_trees_all_equal_shapes_and_dtypes(of_parameters, subject.parameters)
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.abs(leaf).max()
        for path, leaf in jax.tree_util.tree_leaves_with_path(of_parameters)
    }
    untaught = {name for name, x in leaves.items() if x <= 1e-8 * max(leaves.values())}
    assert untaught == set(UNTAUGHT.get(subject.method.name, {}))


@pytest.mark.parametrize("k", [0, -1])
def test_predictions_look_at_neither_padding_nor_missing_frames(subject, k):
    """Predictions and codes are the same, bit by bit, whatever stands there."""
    inference, view = subject.parameters["inference"], subject.views[k]
    seen = {m: BATCH.valid[m] & view[m] for m in FRAMES}
    changed = {m: jnp.where(seen[m][..., None], x, 1e6) for m, x in BATCH.features.items()}
    first, second = (
        (subject.predict(inference, *inputs), subject.codes(inference, *inputs))
        for inputs in ((f, BATCH.valid, view) for f in (BATCH.features, changed))
    )
    chex.assert_trees_all_equal(first, second)
    chex.assert_tree_all_finite(first)
    assert first[0].shape == (B,)


@pytest.mark.parametrize(
    "patterns", [((),), (("audio",),), PATTERNS], ids=["nothing", "audio", "every pattern"]
)
def test_codes(subject, patterns):
    """Shapes, the sorted modalities, and zeros where a modality is absent."""
    view = view_of(BATCH, patterns)
    found = subject.codes(subject.parameters["inference"], BATCH.features, BATCH.valid, view)
    if found is None:
        return
    assert found.modalities == tuple(sorted(FRAMES))
    available = np.stack([view[m].any(axis=1) for m in sorted(FRAMES)])
    np.testing.assert_array_equal(found.available, available)
    assert found.available.dtype == jnp.float32
    for name in ("pooled", "homogeneous", "heterogeneous", "noise"):
        code = getattr(found, name)
        if code is not None:
            assert code.shape[:2] == (len(FRAMES), B), name
            assert code.ndim == 3, name
            assert_zero(code[~available])
            assert np.isfinite(code).all(), name
            if available.any():
                assert np.abs(code[available]).max() > 0, name
    if found.fused is not None:
        assert found.fused.shape[0] == B
        assert found.fused.ndim == 2
        assert np.isfinite(found.fused).all()


@pytest.mark.parametrize(
    ("kind", "outputs", "width"),
    [
        ("l1", 1, None),
        ("gaussian", 1, 2),
        ("cross_entropy", 4, 4),
        ("binary_cross_entropy", 3, 3),
    ],
)
def test_every_task(subject, kind, outputs, width):
    """Shapes alone, which takes no program: of parameters, loss and prediction."""
    method, setting = subject.method, Setting(Task(kind, outputs), MODEL)
    binary = kind == "binary_cross_entropy"
    labels = jnp.zeros((B, outputs)) if binary else jnp.zeros(B)
    batch = dataclasses.replace(BATCH, labels=labels)

    def everything(key):
        parameters = method.init(setting, batch, key)
        taught = method.teacher_method()
        teacher = None if taught is None else taught.method.init(setting, batch, key)["inference"]
        terms = method.loss(setting, parameters, teacher, Step(batch, subject.views, PROGRESS, key))
        view = View(batch.features, batch.valid, subject.views[0])
        return parameters, terms, method.predict(setting, parameters["inference"], view)

    parameters, terms, prediction = jax.eval_shape(everything, KEY)
    assert set(parameters) == {"inference", "training"}
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(parameters))
    assert all(term.shape == () for term in terms.values())
    assert prediction.shape == ((B,) if width is None else (B, width))


def test_parameters_do_not_depend_on_the_number_of_rows(subject):
    few = jax.tree.map(lambda x: x[:1], BATCH)
    shapes = jax.eval_shape(lambda: subject.method.init(SETTING, few, KEY))
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes, subject.parameters)


def test_one_row_and_no_more(subject):
    """A batch of one sample, not only of one with weight: a program of its own."""
    batch, views = jax.tree.map(lambda x: x[1:2], (BATCH, subject.views))
    gradient, terms = run(subject, batch, views)
    chex.assert_tree_all_finite((gradient, terms))
    assert terms["task"] > 0
