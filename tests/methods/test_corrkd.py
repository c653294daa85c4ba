"""CorrKD: every term from the codes and responses of both networks, in NumPy float64."""

from functools import partial

import jax
import jax.numpy as jnp
import methods_case as case
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import expit, softmax

from fsrf_jax.methods import Corrkd, Setting, Teacher
from fsrf_jax.methods.corrkd import TERMS, Network, Weights
from fsrf_jax.missing import random_view
from fsrf_jax.options import check
from fsrf_jax.types import View

reference = case.reference
METHOD = Corrkd(margin=1.4, cuts=(-0.7, 0.4), softness=0.5)
KINDS = ("l1", "cross_entropy", "binary_cross_entropy")


@pytest.fixture(scope="module", params=KINDS)
def example(request):
    setting = Setting(case.task_of(request.param), case.MODEL)
    batch = reference.example_batch(form=setting.task.form)
    parameters = case.parameters_of(METHOD, setting, batch)
    teacher = case.parameters_of(METHOD, setting, batch, seed=7)["inference"]
    return setting, batch, parameters, teacher, case.example_views(batch, METHOD)


@partial(jax.jit, static_argnums=0)
def compiled(setting, parameters, teacher, batch, views):
    return METHOD.loss(setting, parameters, teacher, case.step_of(batch, views))


def loss(example, parameters=None, teacher=None):
    setting, batch, usual, taught, views = example
    parameters = usual if parameters is None else parameters
    teacher = taught if teacher is None else teacher
    return compiled(setting, parameters, teacher, batch, views)


def seen(setting, inference, batch, view):
    """Fused codes and raw outputs in float64."""
    given = View(batch.features, batch.valid, view)
    found = Network(setting).apply({"params": inference}, given, train=False)
    return np.asarray(found.fused[0], np.float64), np.asarray(found.raw[0], np.float64)


def categories(task, labels):
    """[b, g]"""
    if task.form == "number":
        return np.digitize(labels, METHOD.cuts)[:, None]
    return labels.astype(int).reshape(len(labels), -1)


def probabilities(task, raw):
    """[b, g, c]"""
    if task.form == "number":
        below = expit((np.array(METHOD.cuts) - raw) / METHOD.softness)
        return np.diff(below, axis=1, prepend=0, append=1)[:, None]
    if task.form == "class":
        return softmax(raw, axis=1)[:, None]
    return np.stack([1 - expit(raw), expit(raw)], axis=2)


def perceptron(parameters, x):
    def dense(name, x):
        layer = {k: np.asarray(v, np.float64) for k, v in parameters[name].items()}
        return x @ layer["kernel"] + layer["bias"]

    hidden = dense("Dense_0", x)
    inner = np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)
    return dense("Dense_1", hidden * (1 + np.tanh(inner)) / 2)


def information(critic_ij, w):
    pairs = np.outer(w, w) * (1 - np.eye(len(w)))
    same = np.average(np.log1p(np.exp(-np.diag(critic_ij))), weights=w)
    return same + np.average(np.log1p(np.exp(critic_ij)), weights=pairs)


def expected_terms(example):
    """By view: the paper's three losses, as the module says they are read."""
    setting, batch, parameters, teacher, views = example
    weights, labels = (np.asarray(x, np.float64) for x in (batch.weights, batch.labels))
    category = categories(setting.task, labels)
    t_code, t_raw = seen(setting, teacher, batch, batch.present)
    found = {name: [] for name in TERMS}
    for view in views:
        s_code, s_raw = seen(setting, parameters["inference"], batch, view)
        w = weights * np.any([mask.any(axis=1) for mask in view.values()], axis=0)
        unit_s, unit_t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (s_code, t_code))
        distance, rows = cdist(unit_s, unit_t), []
        for i in range(len(w)):
            others = np.arange(len(w)) != i
            hinge = np.maximum(METHOD.margin - distance[i, others], 0) ** 2
            rows.append(distance[i, i] ** 2 + np.average(hinge, weights=w[others]))
        found["contrastive"].append(np.average(rows, weights=w))

        s, t = probabilities(setting.task, s_raw), probabilities(setting.task, t_raw)
        members = [category[:, g] == k for g in range(category.shape[1]) for k in range(s.shape[2])]
        present = [m for m in members if (w * m).sum() > 0]
        angles = [
            1 - cdist(x, [np.average(x, axis=0, weights=w * m) for m in present], "cosine")
            for x in (s_code, t_code)
        ]
        off = ((angles[0] - angles[1]) ** 2).mean(1)
        found["prototype"].append(np.average(off, weights=w))

        parts = []
        for name in ("right", "others"):
            responses = []
            for p, who in ((s, "student"), (t, "teacher")):
                chosen = [
                    [
                        p[b, g, k]
                        for g in range(p.shape[1])
                        for k in range(p.shape[2])
                        if (k == category[b, g]) == (name == "right")
                    ]
                    for b in range(len(w))
                ]
                responses.append(
                    perceptron(parameters["training"][f"{name}_{who}"], np.array(chosen))
                )
            critic = responses[0] @ responses[1].T / np.sqrt(setting.model.width)
            parts.append(information(critic, w))
        found["response"].append(np.mean(parts))
    return {name: np.mean(of_views) for name, of_views in found.items()}


def test_every_term_against_float64(example):
    terms = loss(example)
    expected = expected_terms(example)
    assert set(terms) == {"task", *expected}
    for name, value in expected.items():
        assert value > 1e-3, name
        np.testing.assert_allclose(terms[name], value, rtol=2e-5, err_msg=name)


def test_gradients_by_finite_differences(example):
    """Of the total, in a random direction of all parameters of the student and its critics."""
    _, _, parameters, _, _ = example

    @jax.jit
    def total(parameters):
        terms = loss(example, parameters)
        return sum(terms[name] for name in TERMS)

    gradient = jax.jit(jax.grad(total))(parameters)
    rng = np.random.default_rng(0)
    direction = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), parameters
    )
    step = 3e-3
    ends = [
        total(jax.tree.map(lambda x, d, sign=sign: x + sign * step * d, parameters, direction))
        for sign in (1, -1)
    ]
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    slope = sum(float(jnp.vdot(g, d)) for g, d in pairs)
    np.testing.assert_allclose(slope, float(ends[0] - ends[1]) / (2 * step), rtol=0.02)


def test_the_teacher_is_held_still(example):
    _, _, _, teacher, _ = example
    held = jax.jit(jax.grad(lambda t: sum(loss(example, teacher=t)[name] for name in TERMS)))
    assert not any(np.any(x) for x in jax.tree.leaves(held(teacher)))


def test_without_a_teacher_there_is_the_task_alone(example):
    setting, batch, parameters, _, views = example
    terms = compiled(setting, parameters, None, batch, views)
    assert {name: float(terms[name]) for name in TERMS} == dict.fromkeys(TERMS, 0.0)
    np.testing.assert_allclose(terms["task"], loss(example)["task"], rtol=1e-6)


def test_a_student_that_is_its_teacher(example):
    """On complete views the same network has the same codes and angles."""
    setting, batch, parameters, _, _ = example
    views = [batch.present, batch.present]
    terms = compiled(setting, parameters, parameters["inference"], batch, views)
    np.testing.assert_allclose(terms["prototype"], 0, atol=1e-9)
    assert terms["contrastive"] < METHOD.margin**2


def test_the_teacher_is_the_same_network_on_complete_samples():
    method = Corrkd(views=3, complete_view=True, margin=1.0)
    found = method.teacher_method()
    assert isinstance(found, Teacher)
    assert found.run is None
    # The same whatever the margin, so that an ablation of margins has one.
    assert found.method == Corrkd(views=1, weights=Weights(0.0, 0.0, 0.0))
    assert found == Corrkd().teacher_method()
    assert found.method.teacher_method() is None
    valid = {m: jnp.ones((50, t), bool) for m, t in {"audio": 4, "language": 3, "v": 2}.items()}
    valid["audio"] = valid["audio"].at[::2].set(False)  # samples that never had audio
    view = random_view(case.KEY, valid, found.missing)
    for m, mask in view.items():
        np.testing.assert_array_equal(mask, valid[m])
    assert Corrkd(teacher="runs/x").teacher_method().run == "runs/x"


@pytest.mark.parametrize("cuts", [(), (1.0, 1.0), (2.0, 1.0)])
def test_cuts_that_make_no_categories_are_refused(cuts):
    with pytest.raises(ValueError, match=r"^cuts: found \[.*expected one or more increasing"):
        check(Corrkd(cuts=cuts))


def test_codes_are_those_that_are_distilled(example):
    setting, batch, parameters, _, views = example
    inference = parameters["inference"]
    codes = METHOD.codes(setting, inference, View(batch.features, batch.valid, views[0]))
    fused, _ = seen(setting, inference, batch, views[0])
    np.testing.assert_allclose(codes.fused, fused, rtol=1e-5)
    assert codes.homogeneous is None
    assert codes.heterogeneous is None
    assert codes.noise is None


def test_who_sees_nothing_learns_from_nobody(example):
    """And has no gradient from it: neither codes nor response say anything of the sample."""
    setting, batch, parameters, teacher, _ = example
    nothing = {m: jnp.zeros_like(v) for m, v in batch.valid.items()}
    terms = compiled(setting, parameters, teacher, batch, [nothing, nothing])
    assert {name: float(terms[name]) for name in TERMS} == dict.fromkeys(TERMS, 0.0)
    one = compiled(setting, parameters, teacher, batch, [batch.present, nothing])
    two = compiled(setting, parameters, teacher, batch, [batch.present, batch.present])
    for name in TERMS:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-5)
