import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_case as case
from jax.flatten_util import ravel_pytree
from linear_method import Linear
from sklearn.metrics import log_loss

from fsrf_jax.inference import predict_rows
from fsrf_jax.losses import Task
from fsrf_jax.methods import Fsrf
from fsrf_jax.missing import random_view
from fsrf_jax.options import merge, split
from fsrf_jax.training import loop
from fsrf_jax.training.loop import train_epoch
from fsrf_jax.training.step import epoch_order, take, train_step, validation_error
from fsrf_jax.types import Step, View

TRACED = []


def traced_step(*arguments):
    TRACED.append(arguments[0])
    return train_step(*arguments)


step = jax.jit(traced_step, static_argnums=0)
BATCH = take(case.make_batch(), jnp.asarray([3, 5, 8, 2, 13, 21, -1, -1]))


def gradient_and_terms(batch, hyper):
    """The gradient without clipping: the first moments that Adam begins with are a tenth of it."""
    state = case.make_state()
    hyper = hyper | {"optimizer.clip_norm": jnp.float32(1e9)}
    after, terms = step(case.RECIPE, state, batch, hyper)
    assert after.step == 1
    _, unravel = ravel_pytree(state.parameters)
    gradient = unravel(10 * optax.tree.get(after.optimizer, "mu"))
    return case.as_numpy(gradient), case.as_numpy(terms)


def test_terms_and_gradient():
    gradient, terms = gradient_and_terms(BATCH, case.make_hyper())
    assert set(terms) == {"task", "total", "gradient_norm", *case.WEIGHTS}
    total = terms["task"] + sum(0.3 * terms[name] for name in case.WEIGHTS)
    np.testing.assert_allclose(terms["total"], total, rtol=1e-5)
    norm = np.sqrt(sum((leaf.astype(float) ** 2).sum() for leaf in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(terms["gradient_norm"], norm, rtol=1e-3)
    chex.assert_tree_all_finite(gradient)


def test_each_weight_multiplies_its_own_term():
    """The terms themselves are what is logged, whatever they weigh."""
    weights = {name: 0.1 * (i + 1) for i, name in enumerate(case.WEIGHTS)}
    _, terms = gradient_and_terms(BATCH, case.make_hyper(**weights))
    _, usual = gradient_and_terms(BATCH, case.make_hyper())
    for name in ("task", *case.WEIGHTS):
        np.testing.assert_allclose(terms[name], usual[name], rtol=1e-5, atol=1e-7)
    total = terms["task"] + sum(weights[name] * terms[name] for name in case.WEIGHTS)
    np.testing.assert_allclose(terms["total"], total, rtol=1e-5)


def test_rows_of_weight_0_have_no_influence():
    filler = (jnp.arange(8) >= 6)[:, None]
    other = BATCH.replace(
        features={m: jnp.where(filler[..., None], 50.0, x) for m, x in BATCH.features.items()},
        labels=jnp.where(filler[:, 0], 70.0, BATCH.labels),
        valid={m: v | filler for m, v in BATCH.valid.items()},
        present={m: p | filler for m, p in BATCH.present.items()},
    )
    assert (other.weights == BATCH.weights).all()
    gradient, terms = gradient_and_terms(BATCH, case.make_hyper())
    other_gradient, other_terms = gradient_and_terms(other, case.make_hyper())
    chex.assert_trees_all_close(other_terms, terms, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(other_gradient, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("term", "parameters"),
    [("heterogeneous", "heterogeneous"), ("noise", "adversary"), ("reconstruction", "decoder_")],
)
def test_a_weight_of_0_turns_a_term_off(term, parameters):
    gradient, _ = gradient_and_terms(BATCH, case.make_hyper(**{term: 0.0}))
    for name, head in gradient["training"].items():
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(head))
        assert (largest == 0) == name.startswith(parameters)


def test_without_its_terms_the_noise_code_learns_nothing():
    def change_of_noise(**changed):
        gradient, _ = gradient_and_terms(BATCH, case.make_hyper(**changed))
        leaves = jax.tree.leaves(gradient["inference"]["factorizer"]["noise"])
        return max(np.abs(leaf).max() for leaf in leaves)

    of_noise = ("noise", "variance_floor", "redundancy", "reconstruction")
    assert change_of_noise(**dict.fromkeys(of_noise, 0.0)) == 0
    for name in of_noise:
        others = dict.fromkeys(set(of_noise) - {name}, 0.0)
        assert change_of_noise(**others) > 0


def test_steps_draw_other_masks_and_keys_other_streams():
    state = case.make_state()
    totals = []
    for s, key in ((0, state.key), (0, state.key), (1, state.key), (0, jax.random.key(9))):
        before = state.replace(step=jnp.int32(s), key=key)
        totals.append(float(step(case.RECIPE, before, BATCH, case.make_hyper())[1]["total"]))
    assert totals[0] == totals[1]
    assert len(set(totals)) == 3


@pytest.mark.parametrize(("n", "steps"), [(22, 3), (8, 1), (7, 7), (9, 4), (100, 7)])
def test_epoch_order(n, steps):
    rows = -(-n // steps) + 2
    state = case.make_state()
    orders = []
    for epoch in range(3):
        now = state.replace(step=jnp.int32(epoch * steps))
        order = np.asarray(epoch_order(now, n, steps, rows))
        assert order.shape == (steps, rows)
        np.testing.assert_array_equal(np.sort(order[order >= 0]), np.arange(n))
        sizes = (order >= 0).sum(axis=1)
        assert sizes.max() - sizes.min() <= 1
        for row, size in zip(order, sizes, strict=True):
            assert (row[size:] == -1).all()
        orders.append(order)
    if n > steps:
        assert all((orders[i] != orders[j]).any() for i, j in ((0, 1), (0, 2), (1, 2)))
    np.testing.assert_array_equal(epoch_order(state, n, steps, rows), orders[0])
    other = epoch_order(case.make_state(1), n, steps, rows)
    assert (other != orders[0]).any()


def test_epoch_order_is_uniform():
    state = case.make_state()
    order = jax.jit(jax.vmap(lambda e: epoch_order(state.replace(step=3 * e), 22, 3, 8)))
    first = np.asarray(order(jnp.arange(2200)))[:, 0, 0]
    counts = np.bincount(first, minlength=22)
    assert np.abs(counts - 100).max() < 50


def test_take():
    data = case.make_batch()
    data = data.replace(weights=data.weights.at[2].set(0.5))
    batch = take(data, jnp.asarray([4, 2, -1]))
    np.testing.assert_array_equal(batch.weights, [1, 0.5, 0])
    np.testing.assert_array_equal(batch.labels[:2], data.labels[jnp.asarray([4, 2])])
    for m in case.FRAMES:
        np.testing.assert_array_equal(batch.features[m][:2], data.features[m][jnp.asarray([4, 2])])
        for masks, of_all in ((batch.valid, data.valid), (batch.present, data.present)):
            np.testing.assert_array_equal(masks[m][:2], of_all[m][jnp.asarray([4, 2])])
            assert not masks[m][2].any()


def run_epochs(states, count, **changed):
    """Every epoch's inference parameters, score and mean total, of a population of one."""
    history = []
    for _ in range(count):
        states = loop.place(states, case.MESH)
        states, terms, scores = case.epoch(states, case.make_hyper(**changed))
        inference = case.as_numpy(loop.member(states, 0).parameters["inference"])
        history.append((inference, float(scores[0]), float(terms["total"].mean())))
    return states, history


def test_training_lowers_the_loss_and_keeps_the_best_parameters():
    states, history = run_epochs(case.make_states(0), case.EPOCHS, learning_rate=2e-2)
    scores = [score for _, score, _ in history]
    totals = [total for *_, total in history]
    assert np.mean(totals[-2:]) < 0.8 * np.mean(totals[:2])
    assert np.mean(scores[-2:]) < np.mean(scores[:2])
    best = int(np.argmin(scores))
    state = loop.member(states, 0)
    assert state.best_score == np.float32(scores[best])
    assert state.best_epoch == best + 1
    chex.assert_trees_all_equal(case.as_numpy(state.best), history[best][0])
    assert state.step == case.EPOCHS * case.STEPS


def test_the_average_is_what_is_validated_and_kept():
    averaged = {"optimizer.average": 0.9}
    states, history = run_epochs(case.make_states(0), 2, others=averaged)
    plain, _ = run_epochs(case.make_states(0), 2)
    state, other = loop.member(states, 0), loop.member(plain, 0)
    # Nothing that is trained depends on the average.
    chex.assert_trees_all_equal(case.as_numpy(state.parameters), case.as_numpy(other.parameters))
    inference = case.as_numpy(other.parameters["inference"])
    chex.assert_trees_all_equal(case.as_numpy(other.average), inference)
    average = case.as_numpy(state.average)
    distances = jax.tree.map(lambda a, b: np.abs(a - b).max(), average, inference)
    assert max(jax.tree.leaves(distances)) > 1e-4
    scores = [score for _, score, _ in history]
    expected = validation_error(case.RECIPE, case.MESH, state.average, case.make_validation())
    np.testing.assert_allclose(scores[1], expected, rtol=1e-5)
    assert scores[1] < scores[0]
    chex.assert_trees_all_equal(case.as_numpy(state.best), average)


@pytest.mark.parametrize(("so_far", "better"), [(np.inf, True), (-1.0, False)])
def test_the_best_parameters_change_only_for_a_better_score(so_far, better):
    states = case.make_states(0)
    states = states.replace(best_score=jnp.full(1, so_far, jnp.float32))
    before = case.as_numpy(loop.member(states, 0).best)
    states, ((inference, score, _),) = run_epochs(states, 1)
    state = loop.member(states, 0)
    chex.assert_trees_all_equal(case.as_numpy(state.best), inference if better else before)
    assert state.best_score == (np.float32(score) if better else -1)
    assert state.best_epoch == (1 if better else 0)


def test_one_compilation_and_a_donated_state(monkeypatch):
    """Neither other numbers nor another, equal recipe make a program: nothing is traced again."""
    states, _ = run_epochs(case.make_states(0), 1)

    def traced_again(*_):
        raise AssertionError("traced again")

    monkeypatch.setattr(loop, "run_epoch", traced_again)
    data, validation = case.inputs()
    totals = []
    for weight in (0.0, 0.5, 1.0):
        previous = states = loop.place(states, case.MESH)
        recipe, hyper = split(case.make_recipe())
        assert recipe is not case.RECIPE
        hyper = case.make_hyper(
            redundancy=weight,
            others={
                "model.dropout": 0.1 * weight,
                "optimizer.weight_decay": weight,
                "optimizer.warmup": weight,
                "epochs": 8 + weight,
                "patience": weight,
            },
        )
        hypers = loop.place(loop.stack([hyper]), case.MESH)
        states, terms, _ = train_epoch(recipe, case.MESH, states, data, validation, hypers, None)
        totals.append(float(terms["total"][0, 0]))
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(previous.parameters))
    assert not case.weak((states, terms))
    assert not data.labels.is_deleted()
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(hypers))
    assert len(set(totals)) == 3
    other, _ = split(case.make_recipe(model=dataclasses.replace(case.RECIPE.model, heads=1)))
    with pytest.raises(AssertionError, match="traced again"):
        train_epoch(other, case.MESH, states, data, validation, hypers, None)


def test_a_step_compiles_once_for_all_numbers_and_equal_recipes():
    for changed in ({}, {"noise": 0.0}, {"learning_rate": 1.0}):
        recipe, _ = split(case.make_recipe())
        state, terms = step(recipe, case.make_state(), BATCH, case.make_hyper(**changed))
    assert TRACED.count(case.RECIPE) == 1
    assert not case.weak((state, terms))


@jax.jit
def predictions(inference, batch, observed):
    view = View(batch.features, batch.valid, observed)
    return case.RECIPE.method.predict(case.RECIPE.setting, inference, view)


def test_validation_error_against_a_plain_mean():
    validation, inference = case.make_validation(), case.make_state().parameters["inference"]
    errors = []
    for k in range(2):
        observed = jax.tree.map(lambda masks, k=k: masks[k], validation.observed)
        prediction = np.asarray(predictions(inference, validation.batch, observed), np.float64)
        errors += list(np.abs(prediction - np.asarray(validation.batch.labels, np.float64)))
    score = jax.jit(partial(validation_error, case.RECIPE, case.MESH))(inference, validation)
    np.testing.assert_allclose(score, np.mean(errors), rtol=1e-5)
    assert len(errors) == 2 * case.VALIDATION


def test_prediction_errors():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=20)
    probabilities[0] = [1, 0, 0]
    classes, tasks = rng.integers(0, 3, 20), rng.integers(0, 2, (20, 3))
    classes[0] = 0
    arrays = [jnp.asarray(a, jnp.float32) for a in (probabilities, classes, tasks)]
    error = Task("cross_entropy", 3).prediction_error(arrays[0], arrays[1]).mean()
    np.testing.assert_allclose(error, log_loss(classes, probabilities, labels=range(3)), rtol=1e-5)
    error = Task("binary_cross_entropy", 3).prediction_error(arrays[0][1:], arrays[2][1:]).mean()
    each = [log_loss(tasks[1:, i], probabilities[1:, i], labels=[0, 1]) for i in range(3)]
    np.testing.assert_allclose(error, np.mean(each), rtol=1e-5)
    pair = jnp.stack([arrays[1] + 0.5, arrays[1] - 9], axis=1)  # mean and log-variance
    error = Task("gaussian").prediction_error(pair, arrays[1])
    np.testing.assert_allclose(error, 0.5, rtol=1e-5)
    wrong = Task("cross_entropy", 3).prediction_error(arrays[0][:1], jnp.ones(1))
    np.testing.assert_allclose(wrong, -np.log(1e-7), rtol=1e-5)


def test_distillation_warms_up():
    """Over a share of the training; the terms that are logged are not warmed up."""
    steps = case.EPOCHS * case.STEPS
    hyper = case.make_hyper(others={"method.distillation.warmup": 6 / steps})
    shares = []
    for number in (0, 2, 5, steps - 1):
        _, terms = step(
            case.RECIPE, case.make_state().replace(step=jnp.int32(number)), BATCH, hyper
        )
        plain = {name: terms[name] for name in case.WEIGHTS}
        das = sum(value for name, value in plain.items() if "distillation" in name)
        others = sum(value for name, value in plain.items() if "distillation" not in name)
        shares.append((terms["total"] - terms["task"] - 0.3 * others) / (0.3 * das))
    np.testing.assert_allclose(shares, [1 / 6, 3 / 6, 1, 1], rtol=1e-3)
    _, terms = step(case.RECIPE, case.make_state(), BATCH, hyper)
    _, usual = step(case.RECIPE, case.make_state(), BATCH, case.make_hyper())
    for name in case.WEIGHTS:
        np.testing.assert_allclose(terms[name], usual[name], rtol=1e-5)
    assert terms["total"] < usual["total"]


def text_of(recipe, state, hyper):
    return str(jax.make_jaxpr(partial(train_step, recipe))(state, BATCH, hyper))


def test_a_complete_view_stands_beside_the_two():
    recipe, _ = split(case.make_recipe(Fsrf(complete_view=True)))
    state = case.make_state()
    _, terms = step(recipe, state, BATCH, case.make_hyper())
    _, without = step(case.RECIPE, state, BATCH, case.make_hyper())
    assert terms["task"] != without["task"]
    assert "bool[24,4]" in text_of(recipe, state, case.make_hyper())  # three views of eight rows


@dataclasses.dataclass(frozen=True)
class Views(Fsrf):
    """FSRF with another number of views."""

    number: int = 2

    @property
    def views(self):
        return self.number


def test_one_view_has_nobody_to_learn_from():
    recipe, _ = split(case.make_recipe(Views(number=1)))
    state, hyper = case.make_state(), case.make_hyper()
    after, terms = step(recipe, state, BATCH, hyper)
    chex.assert_tree_all_finite(after.parameters)
    assert all(terms[name] == 0 for name in case.WEIGHTS if "distillation" in name)
    assert all(terms[name] > 0 for name in ("task", "heterogeneous", "noise", "reconstruction"))


def test_three_views_are_as_good_as_two():
    recipe, _ = split(case.make_recipe(Views(number=3)))
    assert "bool[24,4]" in text_of(recipe, case.make_state(), case.make_hyper())


@pytest.mark.parametrize("batch_size", [3, 16, 22, 512])
def test_predictions_do_not_depend_on_the_batch_size(batch_size):
    data, inference = case.make_batch(), case.make_state().parameters["inference"]
    expected = predictions(inference, data, data.valid)
    rows = jax.jit(
        partial(predict_rows, case.RECIPE.method, case.RECIPE.setting, case.MESH),
        static_argnums=3,
    )
    found = rows(inference, data, data.valid, batch_size)
    assert found.shape == (case.SAMPLES,)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_learning_rate_multiplies_the_updates():
    changes = {}
    for rate in (0.0, 0.5, 1.0):
        state, hyper = case.make_state(), case.make_hyper(learning_rate=rate)
        first, _ = step(case.RECIPE, state, BATCH, hyper)
        chex.assert_trees_all_equal(first.parameters, state.parameters)  # warm-up begins at 0
        second, _ = step(case.RECIPE, first, BATCH, hyper)
        trees = first.parameters, second.parameters
        changes[rate] = jax.tree.map(lambda old, new: old - new, *trees)
    largest = {r: max(np.abs(x).max() for x in jax.tree.leaves(c)) for r, c in changes.items()}
    assert largest[0.0] == 0
    assert largest[1.0] > 0.01
    half = jax.tree.map(lambda x: x / 2, changes[1.0])
    chex.assert_trees_all_close(changes[0.5], half, rtol=1e-3, atol=1e-6)


def test_arrays_of_numbers_equal_numbers():
    """The terms of a step are those of the method with its numbers as they are written."""
    state = case.make_state()
    recipe = case.make_recipe()
    _, terms = step(case.RECIPE, state, BATCH, split(recipe)[1])
    step_key = jax.random.fold_in(jax.random.split(state.key)[0], 0)
    *view_keys, loss_key = jax.random.split(step_key, 3)

    @jax.jit
    def loss(parameters, batch):
        views = [random_view(key, batch.present, recipe.missing) for key in view_keys]
        progress = 1 / recipe.steps
        given = Step(batch, views, progress, loss_key)
        return recipe.method.loss(recipe.setting, parameters, None, given)

    expected = loss(state.parameters, BATCH)
    # The gradient's norm stands for all gradients: at step 0 the schedule still moves nothing.
    del terms["total"], terms["gradient_norm"]
    chex.assert_trees_all_close(terms, expected, rtol=1e-5, atol=1e-7)
    without = split(recipe)[1] | {"model.dropout": jnp.float32(0)}
    _, without = step(case.RECIPE, state, BATCH, without)
    assert without["task"] != terms["task"]


def linear(**changed):
    """A linear method's static recipe, numbers and first state."""
    recipe, hyper = split(case.make_recipe(Linear(**changed)))
    return recipe, hyper, case.make_state(recipe=recipe)


def test_progress_goes_from_the_first_step_to_1():
    """`clock` is the progress that the loss is given, and its weight that of `term_weights`."""
    recipe, hyper, state = linear()
    found = []
    steps = int(merge(recipe, hyper).steps)
    for _ in range(steps):
        state, terms = step(recipe, state, BATCH, hyper)
        np.testing.assert_allclose(terms["total"] - terms["task"], terms["clock"] ** 2, atol=1e-5)
        found.append(float(terms["clock"]))
    expected = np.arange(1, steps + 1) / steps
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[-1] == 1


@pytest.mark.parametrize("forgotten", ["clock", "views"])
def test_terms_and_weights_of_other_names_are_refused(forgotten):
    recipe, hyper, state = linear(forgotten=forgotten)
    message = (
        r"linear: found the terms \['clock', 'task', 'views'\] and weights of .*, expected a weight"
    )
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(train_step, recipe), state, BATCH, hyper)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("views", [1, 2, 3])
def test_any_number_of_views(views, complete):
    recipe, hyper, state = linear(views=views, complete_view=complete)
    after, terms = step(recipe, state, BATCH, hyper)
    assert terms["views"] == views + complete
    moments = optax.tree.get(after.optimizer, "mu")
    assert np.abs(moments).max() > 0
    chex.assert_tree_all_finite(after.parameters)


def test_views_are_drawn_apart_and_the_complete_one_comes_last(monkeypatch):
    seen = []

    def loss(self, setting, parameters, teacher, step):
        seen.extend(step.views)
        return {"task": 0.0 * parameters["inference"]["kernel"].sum(), "clock": 0.0, "views": 0.0}

    monkeypatch.setattr(Linear, "loss", loss)
    recipe, hyper, state = linear(views=3, complete_view=True)

    @jax.jit
    def views_of(state):
        train_step(recipe, state, BATCH, hyper)
        return list(seen)

    views = views_of(state)
    masks = [np.concatenate([np.asarray(view[m]) for m in case.FRAMES], axis=1) for view in views]
    assert len(masks) == 4
    present = np.concatenate([np.asarray(BATCH.present[m]) for m in case.FRAMES], axis=1)
    np.testing.assert_array_equal(masks[3], present)
    assert not any((mask & ~present).any() for mask in masks)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (masks[i] != masks[j]).any()
        assert not (masks[i] & ~present).any()


def test_a_teacher_is_held_still_and_learnt_from():
    recipe, hyper, state = linear(with_teacher=True)
    teacher = {"kernel": jnp.ones_like(state.parameters["inference"]["kernel"])}
    hyper |= {"method.taught": jnp.float32(2.0)}
    after, terms = step(recipe, state, BATCH, hyper, teacher)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert terms["teaching"] > 0
    total = terms["task"] + terms["clock"] ** 2 + 2.0 * terms["teaching"]
    np.testing.assert_allclose(terms["total"], total, rtol=1e-5)
    np.testing.assert_array_equal(teacher["kernel"], 1)
    # The optimizer knows the learner's parameters and no others.
    assert optax.tree.get(after.optimizer, "mu").size == teacher["kernel"].size

    def moments(kernel, taught):
        other, _ = step(
            recipe,
            state,
            BATCH,
            hyper | {"method.taught": jnp.float32(taught)},
            {"kernel": jnp.asarray(kernel)},
        )
        return np.asarray(optax.tree.get(other.optimizer, "mu"))

    kernel = np.ones(teacher["kernel"].shape, np.float32)
    assert np.abs(moments(kernel, 2.0) - moments(2 * kernel, 2.0)).max() > 1e-3
    np.testing.assert_allclose(moments(kernel, 0.0), moments(2 * kernel, 0.0), rtol=1e-5)
