"""What `Fsrf.loss` does through its gradient: who learns from what, and what counts nothing."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import methods_case as case
import numpy as np
import pytest

from fsrf_jax.methods import Setting
from fsrf_jax.methods.fsrf import Constraints, Factors
from fsrf_jax.options import merge, split

TERMS = (
    *("homogeneous", "heterogeneous", "noise", "variance_floor", "redundancy", "reconstruction"),
    *("feature_distillation.mmd", "feature_distillation.mse", "prediction_distillation"),
)
DHF, DISTILLATION = TERMS[:6], TERMS[6:]
METHOD, SETTING, PARAMETERS, BATCH, VIEWS = case.case_of("l1", {}, case.BLOCKS)
STATIC, HYPER = split(METHOD)
MIXED = {
    "complete_view": True,
    "noise.kind": "uniform",
    "redundancy.held": "none",
    "reconstruction.target": "complete",
    "reconstruction.crossed": True,
    "distillation.direction": "to_less_complete",
}
traced = []


@partial(case.jit, static_argnums=(0, 1))
def compiled(static, setting, hyper, parameters, batch, views, key):
    """Raw terms, total, and the total's gradient in parameters and features, as in a step."""
    traced.append(static)  # not when the program runs
    method = merge(static, hyper)
    model = dataclasses.replace(setting.model, dropout=hyper["dropout"])
    setting = dataclasses.replace(setting, model=model)
    weights = method.term_weights(hyper["progress"])

    def objective(parameters, features):
        changed = dataclasses.replace(batch, features=features)
        step = case.Step(changed, views, hyper["progress"], key)
        terms = method.loss(setting, parameters, None, step)
        total = hyper["task"] * terms["task"]
        return total + sum(weights[name] * terms[name] for name in weights), terms

    of_both = jax.value_and_grad(objective, (0, 1), has_aux=True)
    (total, terms), gradient = of_both(parameters, batch.features)
    return terms, gradient, total


def run(weights, parameters=PARAMETERS, batch=BATCH, views=VIEWS, key=case.KEY, **given):
    """Terms and gradient where only these terms have a weight; `task` is one of them."""
    case_of = given.pop("of", (STATIC, HYPER, SETTING))
    static, hyper, setting = case_of
    none = {f"weights.{name}": jnp.float32(0) for name in TERMS}
    given = {"task": 0.0, "dropout": 0.0, "progress": 1.0} | given
    numbers = hyper | none | {k.replace("__", "."): jnp.float32(v) for k, v in given.items()}
    for name, weight in weights.items():
        numbers["task" if name == "task" else f"weights.{name}"] = jnp.float32(weight)
    return jax.device_get(compiled(static, setting, numbers, parameters, batch, views, key))


ALL = dict.fromkeys(TERMS, 0.3) | {"task": 1.0}


@pytest.fixture(scope="module")
def usual():
    return run(ALL)


def gradient_of(term, **changes):
    """In parameters and features, of one term."""
    return run({term: 1}, **changes)[1]


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


# ---- the sum


def test_the_total_and_its_gradient_are_sums_of_those_of_the_terms(usual):
    terms, gradient, total = usual
    assert set(terms) == {"task", *TERMS}
    assert all(terms[name] > 0 for name in terms)
    np.testing.assert_allclose(total, sum(ALL[name] * terms[name] for name in ALL), rtol=1e-5)
    alone = {name: flat(gradient_of(name)) for name in ALL}
    expected = sum(ALL[name] * alone[name] for name in ALL)
    np.testing.assert_allclose(flat(gradient), expected, rtol=1e-3, atol=1e-5)
    assert all(np.abs(of_term).max() > 1e-4 for of_term in alone.values())


@pytest.mark.parametrize("name", TERMS)
def test_a_weight_of_zero_takes_the_gradient_of_its_term_away(name, usual):
    terms, gradient, _ = run(ALL | {name: 0})
    chex.assert_trees_all_equal(terms, usual[0])  # raw terms know nothing of weights
    expected = flat(usual[1]) - ALL[name] * flat(gradient_of(name))
    np.testing.assert_allclose(flat(gradient), expected, rtol=1e-3, atol=1e-5)
    of_heads = {
        "heterogeneous": {"heterogeneous"},
        "noise": {"adversary"},
        "reconstruction": {f"decoder_{m}" for m in case.NAMES},
    }
    for head, of_head in gradient[0]["training"].items():
        assert (case.largest(of_head) == 0) == (head in of_heads.get(name, ()))


def test_without_weights_only_the_task_is_learnt(usual):
    terms, (gradient, _), total = run({"task": 1})
    assert total == terms["task"] == usual[0]["task"]
    case.assert_zero(gradient["training"])
    case.assert_zero(gradient["inference"]["factorizer"]["noise"])
    for name in ("homogeneous", "heterogeneous"):
        assert case.largest(gradient["inference"]["factorizer"][name]) > 0
    assert (run({})[2], case.largest(run({})[1])) == (0, 0)


def test_changing_a_number_does_not_trace_again(usual):
    before = len(traced)
    assert before > 0
    for value in (0.0, 0.5, 3.0):
        # Equal but separate objects: static parts are hashed by value.
        static, hyper = split(case.method_with({"weights.noise": value, "noise.bound": value + 1}))
        assert static is not STATIC
        given = {name: hyper[f"weights.{name}"] for name in TERMS}
        run(given, of=(static, hyper, Setting(case.task_of("l1"), case.BLOCKS)))
    assert len(traced) == before


def test_a_grid_of_weights_is_one_vmap(usual):
    members = [{f"weights.{name}": jnp.float32(x) for name in TERMS} for x in (0.0, 0.5)]
    grid = {name: jnp.stack([member[name] for member in members]) for name in members[0]}
    terms, _, _ = usual

    @jax.jit
    @jax.vmap
    def totals(weights):
        of_terms = merge(STATIC, HYPER | weights).term_weights(jnp.float32(1))
        return terms["task"] + sum(of_terms[name] * terms[name] for name in of_terms)

    for total, x in zip(totals(grid), (0.0, 0.5), strict=True):
        np.testing.assert_allclose(total, run(dict.fromkeys(TERMS, x) | {"task": 1})[2], rtol=1e-5)


def test_weights_of_terms_and_their_warm_up(usual):
    method = case.method_with({"distillation.warmup": 0.4})
    weights = split(method.weights)[1]
    assert set(weights) == set(TERMS)
    for progress, share in ((0.1, 0.25), (0.3, 0.75), (0.4, 1), (1.0, 1)):
        found = method.term_weights(jnp.float32(progress))
        assert list(found) == list(weights)
        for name in TERMS:
            expected = weights[name] * (share if name in DISTILLATION else 1)
            np.testing.assert_allclose(found[name], expected, rtol=1e-6)
    terms, gradient, total = run(ALL, progress=0.1, distillation__warmup=0.4)
    chex.assert_trees_all_equal(terms, usual[0])  # what is logged does not warm up
    warming = ALL | {name: 0.25 * ALL[name] for name in DISTILLATION}
    expected = run(warming)
    np.testing.assert_allclose(total, expected[2], rtol=1e-6)
    chex.assert_trees_all_close(gradient, expected[1], rtol=1e-4, atol=1e-6)


# ---- what is missing, and what only fills up


def nothing(*modalities):
    """The same views without these modalities."""
    return [v | {m: jnp.zeros_like(v[m]) for m in modalities} for v in VIEWS]


@pytest.mark.parametrize("views", [VIEWS, nothing(*case.NAMES)], ids=["some", "nothing"])
def test_batch_without_weight(views):
    empty = dataclasses.replace(BATCH, weights=jnp.zeros_like(BATCH.weights))
    terms, gradient, total = run(ALL, batch=empty, views=views)
    assert total == 0
    assert all(value == 0 for value in terms.values())
    case.assert_zero(gradient)


@pytest.mark.parametrize("present", [(), ("audio",), ("language", "vision")], ids="+".join)
def test_missing_modalities(present):
    absent = set(case.NAMES) - set(present)
    terms, gradient, _ = run(ALL, views=nothing(*absent))
    chex.assert_tree_all_finite((terms, gradient))
    for name in DHF[1:]:
        assert (terms[name] > 0) == (len(present) > 0)
    assert (terms["homogeneous"] > 0) == (len(present) > 1)
    # With nothing at all both views are the same.
    assert all((terms[name] > 0) == (len(present) > 0) for name in DISTILLATION)
    assert terms["task"] > 0
    for m in absent:
        case.assert_zero(gradient[0]["inference"]["encoders"][m])
        case.assert_zero(gradient[0]["training"][f"decoder_{m}"])
    for m in present:
        assert case.largest(gradient[0]["inference"]["encoders"][m]) > 0


@pytest.mark.parametrize("term", DHF)
def test_a_term_without_available_samples_is_zero_without_gradient(term):
    views = nothing("audio", "vision") if term == "homogeneous" else nothing(*case.NAMES)
    terms, gradient, _ = run({term: 1}, views=views)
    assert terms[term] == 0
    case.assert_zero(gradient)


def test_views_without_a_term_are_left_out_of_its_mean():
    """Audio alone in view 0, everything in view 1: pairs of modalities exist in view 1 only."""
    audio = nothing("language", "vision")[0]
    mixed = run({"homogeneous": 1}, views=[audio, VIEWS[1]])[0]
    twice = run({"homogeneous": 1}, views=[VIEWS[1], VIEWS[1]])[0]
    np.testing.assert_allclose(mixed["homogeneous"], twice["homogeneous"], rtol=1e-5)
    for name in DISTILLATION:  # of equal views
        np.testing.assert_allclose(twice[name], 0, atol=1e-6)


def assert_rows_do_not_matter(usual, real_b, garbage):
    """Features and labels of the other rows are whatever they are, and have no gradient."""
    fills_b = ~np.asarray(real_b)
    features = {m: jnp.where(fills_b[:, None, None], garbage, x) for m, x in BATCH.features.items()}
    labels = jnp.where(fills_b, 7.0, BATCH.labels)
    weights = jnp.where(fills_b, 0.0, BATCH.weights)
    batch = dataclasses.replace(BATCH, features=features, labels=labels, weights=weights)
    terms, gradient, _ = run(ALL, batch=batch)
    chex.assert_trees_all_close(terms, usual[0], rtol=1e-5)
    chex.assert_trees_all_close(gradient[0], usual[1][0], rtol=1e-3, atol=1e-5)
    for x in gradient[1].values():
        case.assert_zero(x[fills_b])


@pytest.mark.parametrize("garbage", [0.0, 1e3, -1e6])
def test_rows_that_only_fill_the_batch_up_change_nothing(garbage, usual):
    assert_rows_do_not_matter(usual, np.asarray(BATCH.weights) > 0, garbage)


def test_the_order_of_the_samples_changes_nothing(usual):
    order = np.random.default_rng(0).permutation(len(BATCH.labels))
    batch, views = jax.tree.map(lambda x: x[order], (BATCH, VIEWS))
    terms, gradient, _ = run(ALL, batch=batch, views=views)
    chex.assert_trees_all_close(terms, usual[0], rtol=1e-5)
    chex.assert_trees_all_close(gradient[0], usual[1][0], rtol=1e-3, atol=1e-5)


def test_the_order_of_dictionaries_changes_nothing(usual):
    def turned(tree):
        return dict(reversed(tree.items()))

    batch = dataclasses.replace(
        BATCH,
        features=turned(BATCH.features),
        valid=turned(BATCH.valid),
        present=turned(BATCH.present),
    )
    chex.assert_trees_all_equal(
        run(ALL, batch=batch, views=[turned(v) for v in VIEWS])[0], usual[0]
    )


@pytest.mark.parametrize("row", [0, 1, 2])
def test_one_sample(row):
    """Row 0 misses everything in one view, row 1 nothing, row 2 has no vision."""
    weights = jnp.zeros_like(BATCH.weights).at[row].set(1)
    batch = dataclasses.replace(BATCH, weights=weights)
    terms, gradient, _ = run(ALL, batch=batch)
    chex.assert_tree_all_finite((terms, gradient))
    assert terms["task"] > 0
    assert terms["variance_floor"] == pytest.approx(1)  # one sample has no spread
    assert terms["redundancy"] == terms["homogeneous"] == 0


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-6, 1e6, 1e12])
def test_features_of_any_size(scale):
    features = {m: scale * x for m, x in BATCH.features.items()}
    terms, gradient, _ = run(ALL, batch=dataclasses.replace(BATCH, features=features))
    chex.assert_tree_all_finite((terms, gradient))
    assert all(value >= -1e-6 for value in terms.values())


# ---- who gives way to whom


def codes_of(gradient):
    """The largest gradient that reaches H, S and N: that of their encoders."""
    factorizer = gradient[0]["inference"]["factorizer"]
    names = ("homogeneous", "heterogeneous", "noise")
    return {name[:2]: case.largest(factorizer[name]) for name in names}


def test_which_codes_each_term_teaches():
    """sg(H) in `heterogeneous` and `redundancy`; noise takes no part in DAS and prediction."""
    taught = {
        "homogeneous": {"ho"},
        "heterogeneous": {"he"},
        "noise": {"no"},
        "variance_floor": {"no"},
        "redundancy": {"he", "no"},
        "reconstruction": {"ho", "he", "no"},
        "feature_distillation.mmd": {"ho", "he"},
        "feature_distillation.mse": {"ho", "he"},
        "prediction_distillation": {"ho", "he"},
        "task": {"ho", "he"},
    }
    for term, expected in taught.items():
        found = codes_of(gradient_of(term))
        assert {code for code, x in found.items() if x > 0} == expected, term


def test_the_heterogeneous_head_looks_at_h():
    """Though it gives H no gradient."""
    gradient = gradient_of("heterogeneous")[0]["training"]["heterogeneous"]
    kernel = gradient["Dense_0"]["kernel"]
    width = case.BLOCKS.width
    assert kernel.shape[1] == 2 * width
    assert np.abs(kernel[:, :width]).max(axis=(1, 2)).min() > 0
    assert np.abs(kernel[:, width:]).max(axis=(1, 2)).min() > 0


def random_direction(tree, seed=0):
    return case.fill(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree), seed)


def slopes(term, keep, step=2e-3):
    """Along a random direction in the parameters that `keep` leaves: by gradient, and in truth."""
    direction = jax.tree_util.tree_map_with_path(
        lambda path, x: x if keep(jax.tree_util.keystr(path)) else jnp.zeros_like(x),
        random_direction(PARAMETERS),
    )
    length = np.linalg.norm(flat(direction))
    ends = []
    for sign in (-1, 1):
        moved = jax.tree.map(lambda p, d, s=sign: p + s * step * d / length, PARAMETERS, direction)
        ends.append(float(run({}, parameters=moved)[0][term]))
    by_gradient = flat(gradient_of(term)[0]) @ flat(direction) / length
    return by_gradient, (ends[1] - ends[0]) / (2 * step)


@pytest.mark.parametrize("term", ["feature_distillation.mse", "prediction_distillation"])
def test_the_teacher_is_held_still(term):
    """Each view feels half of what both would: in both directions only the learner moves."""
    by_gradient, truth = slopes(term, lambda path: "inference" in path)
    assert abs(truth) > 1e-3
    np.testing.assert_allclose(by_gradient, truth / 2, rtol=3e-2)


@pytest.mark.parametrize("term", ["task", "heterogeneous", "variance_floor", "reconstruction"])
def test_gradients_against_finite_differences(term):
    """Where nothing is held still: all but H behind `heterogeneous`."""

    def keep(path):
        return "training" in path or ("factorizer" in path and "homogeneous" not in path)

    by_gradient, truth = slopes(term, keep if term == "heterogeneous" else lambda path: True)
    assert abs(truth) > 1e-3
    np.testing.assert_allclose(by_gradient, truth, rtol=3e-2)


# The constraints by themselves, on codes: what reaches which code and which head, in float64.


def codes_case(changes):
    method, setting, parameters, batch, _ = case.case_of("l1", changes)
    rng = np.random.default_rng(5)
    m, b, d = len(case.NAMES), len(batch.labels), case.MODEL.width
    available_mb = jnp.asarray(rng.uniform(size=(m, b)) < 0.7, jnp.float32)
    codes = [jnp.asarray(rng.normal(size=(m, b, d)), jnp.float32) for _ in range(4)]
    view = Factors(available_mb, *codes, None, jnp.zeros((1, b, d)), jnp.zeros((1, b, 1)))
    return method, setting, parameters["training"], view, batch


def constraint_gradient(changes, name):
    """Of one term in the heads' parameters and the view."""
    method, setting, training, view, batch = codes_case(changes)
    target = jax.tree.map(lambda x: x.mean(axis=1), batch.features)

    @case.jit
    @partial(jax.grad, argnums=(0, 1))
    def gradient(training, view):
        terms = Constraints(method, setting).apply({"params": training}, view, target, batch)
        return terms[name].value

    return jax.device_get(gradient(training, view))


def moved_slope(function, x, direction, step=1e-5):
    ends = [
        function(jax.tree.map(lambda a, d, s=sign: a + s * step * d, x, direction))
        for sign in (-1, 1)
    ]
    return (ends[1] - ends[0]) / (2 * step)


@pytest.mark.parametrize("kind", ["adversarial", "uniform"])
def test_the_adversary_learns_and_the_code_works_against_it(kind):
    """In float64. Adversarial: the head's own slope, and the code's with its sign turned.

    Uniform: the head learns the task from held codes, the codes pay a head held still.
    """
    method, _, training, view, batch = codes_case({"noise.kind": kind})
    of_heads, of_view = constraint_gradient({"noise.kind": kind}, "noise")
    heads, noise, available = case.reference.as_float64(
        (training["adversary"], view.noise, view.available)
    )
    labels, w_b = case.reference.as_float64((batch.labels, batch.weights))
    w_mb = available * w_b

    def learning(heads, noise):
        raw = case.perceptrons(heads, noise)
        if kind == "uniform":
            return case.reference.task_heads(raw, labels, w_mb, "number")[0]
        return case.reference.adversarial(raw, labels, w_mb, "number", method.noise.bound)[0]

    def paying(heads, noise):
        raw = case.perceptrons(heads, noise)
        whole = case.reference.uniform(raw, raw, labels, w_mb, "number")[0]
        return whole - case.reference.task_heads(raw, labels, w_mb, "number")[0]

    directions = case.reference.as_float64((random_direction(heads), random_direction(noise, 1)))
    to_heads = moved_slope(lambda x: learning(x, noise), heads, directions[0])
    to_noise = moved_slope(lambda x: learning(heads, x), noise, directions[1])
    if kind == "uniform":
        to_noise = -moved_slope(lambda x: paying(heads, x), noise, directions[1])
    assert min(abs(to_heads), abs(to_noise)) > 1e-3
    found = flat(of_heads["adversary"]) @ flat(directions[0])
    np.testing.assert_allclose(found, to_heads, rtol=1e-3)
    np.testing.assert_allclose(flat(of_view.noise) @ flat(directions[1]), -to_noise, rtol=1e-3)
    rest = of_view._replace(noise=0.0, available=0.0)  # availabilities are weights
    case.assert_zero(rest)
    case.assert_zero({name: x for name, x in of_heads.items() if name != "adversary"})


def test_crossed_decoders_read_the_other_modalities():
    """The decoder of audio reads every H but its own, the S of audio, and no N."""
    audio, language, vision = range(3)
    changes = {"reconstruction.crossed": True}
    method, setting, training, view, batch = codes_case(changes)
    # The other decoders say nothing: their last layer is 0.
    for m in ("language", "vision"):
        last = training[f"decoder_{m}"]["Dense_1"]
        training[f"decoder_{m}"]["Dense_1"] = jax.tree.map(jnp.zeros_like, last)
    target = jax.tree.map(lambda x: x.mean(axis=1), batch.features)

    @case.jit
    @jax.grad
    def gradient(view):
        terms = Constraints(method, setting).apply({"params": training}, view, target, batch)
        return terms["reconstruction"].value

    of_view = gradient(view)
    assert np.abs(of_view.homogeneous[language]).max() > 0
    assert np.abs(of_view.homogeneous[vision]).max() > 0
    assert np.abs(of_view.heterogeneous[audio]).max() > 0
    case.assert_zero(of_view.homogeneous[audio])
    case.assert_zero(of_view.heterogeneous[language:])
    case.assert_zero((of_view.noise, of_view.pooled))


# ---- the other options that hold something still


@pytest.fixture(scope="module")
def mixed():
    """The loss with many other options, as `run` takes it."""
    method, setting, parameters, batch, views = case.case_of("l1", MIXED)
    return partial(
        run, of=(*split(method), setting), parameters=parameters, batch=batch, views=views
    ), parameters


def test_redundancy_teaches_h_where_it_is_not_held(mixed):
    run_mixed, _ = mixed
    assert min(codes_of(run_mixed({"redundancy": 1})[1]).values()) > 1e-5


def test_targets_are_held_still(mixed):
    """With decoders that say nothing only the target depends on the encoders."""
    run_mixed, parameters = mixed
    silent = dict(parameters["training"])
    for name in (f"decoder_{m}" for m in case.NAMES):
        silent[name] = silent[name] | {
            "Dense_1": jax.tree.map(jnp.zeros_like, silent[name]["Dense_1"])
        }
    given = parameters | {"training": silent}
    terms, gradient, _ = run_mixed({"reconstruction": 1}, parameters=given)
    assert terms["reconstruction"] > 0
    case.assert_zero(gradient[0]["inference"])
    other = jax.tree.map(lambda x: 1.1 * x, parameters["inference"]["encoders"])
    inference = parameters["inference"] | {"encoders": other}
    changed, _, _ = run_mixed({}, parameters=given | {"inference": inference})
    assert abs(changed["reconstruction"] - terms["reconstruction"]) > 1e-3
    # Crossed decoders teach H and S, and nothing of N.
    assert {c: x > 0 for c, x in codes_of(run_mixed({"reconstruction": 1})[1]).items()} == {
        "ho": True,
        "he": True,
        "no": False,
    }


def test_only_the_more_complete_view_teaches(mixed):
    """A frame that the complete view alone sees is felt by the task, and by no lesson."""
    run_mixed, _ = mixed
    batch = case.case_of("l1", MIXED)[3]
    seen = {m: VIEWS[0][m] | VIEWS[1][m] for m in case.NAMES}
    for term in (*DISTILLATION, "task"):
        gradient = run_mixed({term: 1})[1][1]
        for m in case.NAMES:
            unseen = np.asarray(batch.valid[m] & ~seen[m] & (batch.weights > 0)[:, None])
            assert unseen.sum() > 5
            assert (np.abs(gradient[m][unseen]).max() > 0) == (term == "task")
            of_seen = gradient[m][np.asarray(seen[m])]
            assert np.abs(of_seen).max() > 0


def test_uniform_is_learnt_by_head_and_code(mixed):
    run_mixed, _ = mixed
    gradient = run_mixed({"noise": 1})[1]
    assert case.largest(gradient[0]["training"]["adversary"]) > 0
    assert {c for c, x in codes_of(gradient).items() if x > 0} == {"no"}


def test_other_options_are_finite_with_anything_missing(mixed):
    run_mixed, _ = mixed
    for absent in (case.NAMES, ["audio"], ["language", "vision"]):
        views = [*nothing(*absent), BATCH.present]
        terms, gradient, _ = run_mixed(ALL, views=views)
        chex.assert_tree_all_finite((terms, gradient))
    empty = dataclasses.replace(BATCH, weights=jnp.zeros_like(BATCH.weights))
    terms, gradient, _ = run_mixed(ALL, batch=empty)
    assert all(value == 0 for value in terms.values())
    case.assert_zero(gradient)


# ---- dropout


def test_dropout_differs_between_views_and_keys(usual):
    twice = [VIEWS[0], VIEWS[0]]
    one, again, other = (
        run({}, views=twice, key=jax.random.key(seed), dropout=0.25)[0] for seed in (0, 0, 1)
    )
    chex.assert_trees_all_equal(one, again)
    assert abs(one["task"] - other["task"]) > 1e-4
    assert one["prediction_distillation"] > 1e-4  # two networks, one input
    assert run({}, views=twice, key=jax.random.key(0))[0]["prediction_distillation"] < 1e-10
    chex.assert_trees_all_equal(run(ALL, key=jax.random.key(1))[0], usual[0])
