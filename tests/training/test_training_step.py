import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_case as case
from sklearn.metrics import log_loss

from fsrf_jax import models
from fsrf_jax.losses import LossOptions
from fsrf_jax.losses.options import DistillationOptions
from fsrf_jax.training.step import (
    epoch_order,
    predict_rows,
    prediction_errors,
    take,
    train_epoch,
    train_step,
    validation_error,
)

# With this optimizer and a learning rate of 1 the change of the parameters is the gradient.
PLAIN = dataclasses.replace(case.METHOD, optimizer=optax.sgd(1.0))
step = jax.jit(train_step, static_argnums=0)


def plain_hyper(learning_rate=1.0, **changed):
    return case.make_hyper(learning_rate=learning_rate, **changed)


BATCH = take(case.make_batch(), jnp.asarray([3, 5, 8, 2, 13, 21, -1, -1]))


def gradient_and_terms(batch, hyper):
    state = case.make_state()
    state = state.replace(optimizer=PLAIN.optimizer.init(state.parameters))
    after, terms = step(PLAIN, state, batch, hyper)
    assert after.step == 1
    change = jax.tree.map(lambda old, new: old - new, state.parameters, after.parameters)
    return case.as_numpy(change), case.as_numpy(terms)


def test_terms_and_gradient():
    gradient, terms = gradient_and_terms(BATCH, plain_hyper())
    names = {"task", "total", "gradient_norm", *case.make_hyper().weights.by_name()}
    assert set(terms) == names
    total = terms["task"] + sum(0.3 * terms[name] for name in case.make_hyper().weights.by_name())
    np.testing.assert_allclose(terms["total"], total, rtol=1e-5)
    norm = np.sqrt(sum((leaf.astype(float) ** 2).sum() for leaf in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(terms["gradient_norm"], norm, rtol=1e-3)
    chex.assert_tree_all_finite(gradient)


def test_rows_of_weight_0_have_no_influence():
    filler = (jnp.arange(8) >= 6)[:, None]
    other = BATCH.replace(
        features={m: jnp.where(filler[..., None], 50.0, x) for m, x in BATCH.features.items()},
        labels=jnp.where(filler[:, 0], 70.0, BATCH.labels),
        valid={m: v | filler for m, v in BATCH.valid.items()},
    )
    assert (other.weights == BATCH.weights).all()
    gradient, terms = gradient_and_terms(BATCH, plain_hyper())
    other_gradient, other_terms = gradient_and_terms(other, plain_hyper())
    chex.assert_trees_all_close(other_terms, terms, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(other_gradient, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("term", "parameters"),
    [("heterogeneous", "heterogeneous"), ("noise", "adversary"), ("reconstruction", "decoder_")],
)
def test_a_weight_of_0_turns_a_term_off(term, parameters):
    gradient, _ = gradient_and_terms(BATCH, plain_hyper(**{term: 0.0}))
    for name, head in gradient["auxiliary"].items():
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(head))
        assert (largest == 0) == name.startswith(parameters)


def test_without_its_terms_the_noise_code_learns_nothing():
    def change_of_noise(**changed):
        gradient, _ = gradient_and_terms(BATCH, plain_hyper(**changed))
        leaves = jax.tree.leaves(gradient["network"]["Factorizer_0"]["noise"])
        return max(np.abs(leaf).max() for leaf in leaves)

    of_noise = ("noise", "variance_floor", "redundancy", "reconstruction")
    assert change_of_noise(**dict.fromkeys(of_noise, 0.0)) == 0
    for name in of_noise:
        others = dict.fromkeys(set(of_noise) - {name}, 0.0)
        assert change_of_noise(**others) > 0


def test_steps_draw_other_masks_and_keys_other_streams():
    state = case.make_state()
    state = state.replace(optimizer=PLAIN.optimizer.init(state.parameters))
    totals = [
        float(
            step(PLAIN, state.replace(step=jnp.int32(s), key=key), BATCH, plain_hyper())[1]["total"]
        )
        for s, key in ((0, state.key), (0, state.key), (1, state.key), (0, jax.random.key(9)))
    ]
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
        np.testing.assert_array_equal(batch.valid[m][:2], data.valid[m][jnp.asarray([4, 2])])
        assert not batch.valid[m][2].any()


def run_epochs(state, count):
    """Every epoch's network, score and mean total."""
    history = []
    for _ in range(count):
        state, terms, score = train_epoch(case.METHOD, case.MESH, state, *case.inputs())
        network = case.as_numpy(state.parameters["network"])
        history.append((network, float(score), float(terms["total"].mean())))
    return state, history


def test_training_lowers_the_loss_and_keeps_the_best_network():
    state, history = run_epochs(case.make_state(), 40)
    scores = [score for _, score, _ in history]
    totals = [total for *_, total in history]
    assert np.mean(totals[-5:]) < 0.8 * np.mean(totals[:5])
    assert np.mean(scores[-5:]) < np.mean(scores[:5])
    best = int(np.argmin(scores))
    assert state.best_score == np.float32(scores[best])
    assert state.best_epoch == best + 1
    chex.assert_trees_all_equal(case.as_numpy(state.best_network), history[best][0])
    assert state.step == 40 * case.STEPS


@pytest.mark.parametrize(("so_far", "better"), [(np.inf, True), (-1.0, False)])
def test_the_best_network_changes_only_for_a_better_score(so_far, better):
    state = case.make_state()
    place = state.best_score.sharding
    state = state.replace(best_score=jax.device_put(jnp.float32(so_far), place))
    before = case.as_numpy(state.best_network)
    state, ((network, score, _),) = run_epochs(state, 1)
    chex.assert_trees_all_equal(case.as_numpy(state.best_network), network if better else before)
    assert state.best_score == (np.float32(score) if better else -1)
    assert state.best_epoch == (1 if better else 0)


def test_one_compilation_and_a_donated_state():
    state, _ = run_epochs(case.make_state(), 1)
    compiled = train_epoch._cache_size()
    data, validation, _ = case.inputs()
    totals = []
    for weight in (0.0, 0.5, 1.0):
        previous = state
        hyper = jax.device_put(case.make_hyper(redundancy=weight), state.step.sharding)
        state, terms, _ = train_epoch(case.METHOD, case.MESH, state, data, validation, hyper)
        totals.append(float(terms["total"][0]))
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(previous.parameters))
    assert train_epoch._cache_size() == compiled
    assert not data.labels.is_deleted()
    assert len(set(totals)) == 3


def predictions(network_parameters, batch, observed):
    variables = {"network": network_parameters}
    predict = jax.jit(models.predict, static_argnums=0)
    return predict(case.METHOD.network, variables, batch.features, batch.valid, observed)


def test_validation_error_against_a_plain_mean():
    validation, network = case.make_validation(), case.make_state().parameters["network"]
    errors = []
    for k in range(2):
        observed = jax.tree.map(lambda masks, k=k: masks[k], validation.observed)
        prediction = np.asarray(predictions(network, validation.batch, observed), np.float64)
        errors += list(np.abs(prediction - np.asarray(validation.batch.labels, np.float64)))
    score = jax.jit(partial(validation_error, case.METHOD.network, case.MESH))(network, validation)
    np.testing.assert_allclose(score, np.mean(errors), rtol=1e-5)
    assert len(errors) == 2 * case.VALIDATION


def test_prediction_errors():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=20)
    probabilities[0] = [1, 0, 0]
    classes, tasks = rng.integers(0, 3, 20), rng.integers(0, 2, (20, 3))
    classes[0] = 0
    arrays = [jnp.asarray(a, jnp.float32) for a in (probabilities, classes, tasks)]
    error = prediction_errors("class", arrays[0], arrays[1]).mean()
    np.testing.assert_allclose(error, log_loss(classes, probabilities, labels=range(3)), rtol=1e-5)
    error = prediction_errors("binary", arrays[0][1:], arrays[2][1:]).mean()
    each = [log_loss(tasks[1:, i], probabilities[1:, i], labels=[0, 1]) for i in range(3)]
    np.testing.assert_allclose(error, np.mean(each), rtol=1e-5)
    pair = jnp.stack([arrays[1] + 0.5, arrays[1] - 9], axis=1)  # mean and log-variance
    np.testing.assert_allclose(prediction_errors("gaussian", pair, arrays[1]), 0.5, rtol=1e-5)
    wrong = prediction_errors("class", arrays[0][:1], jnp.ones(1))
    np.testing.assert_allclose(wrong, -np.log(1e-7), rtol=1e-5)


def test_distillation_warms_up():
    options = dataclasses.replace(LossOptions(), distillation=DistillationOptions(warmup=2.0))
    method = dataclasses.replace(PLAIN, losses=options)
    hyper = plain_hyper()
    shares = []
    for number in (0, 2, 5, 50):
        state = case.make_state()
        state = state.replace(
            step=jnp.int32(number), optimizer=PLAIN.optimizer.init(state.parameters)
        )
        _, terms = step(method, state, BATCH, hyper)
        plain = {name: terms[name] for name in hyper.weights.by_name()}
        das = sum(value for name, value in plain.items() if "distillation" in name)
        others = sum(value for name, value in plain.items() if "distillation" not in name)
        shares.append((terms["total"] - terms["task"] - 0.3 * others) / (0.3 * das))
    np.testing.assert_allclose(shares, [1 / 6, 3 / 6, 1, 1], rtol=1e-3)


def test_a_clean_view_stands_beside_the_two():
    method = dataclasses.replace(PLAIN, clean_view=True)
    state = case.make_state()
    state = state.replace(optimizer=PLAIN.optimizer.init(state.parameters))
    _, terms = step(method, state, BATCH, plain_hyper())
    _, without = step(PLAIN, state, BATCH, plain_hyper())
    assert terms["task"] != without["task"]
    text = str(jax.make_jaxpr(partial(train_step, method))(state, BATCH, plain_hyper()))
    assert "f32[24,4,3]" in text  # three views of eight rows


@pytest.mark.parametrize("batch_size", [3, 16, 22, 512])
def test_predictions_do_not_depend_on_the_batch_size(batch_size):
    data, network = case.make_batch(), case.make_state().parameters["network"]
    expected = predictions(network, data, data.valid)
    rows = jax.jit(partial(predict_rows, case.METHOD.network, case.MESH), static_argnums=3)
    found = rows(network, data, data.valid, batch_size)
    assert found.shape == (case.SAMPLES,)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_learning_rate_multiplies_the_updates():
    changes = {
        rate: gradient_and_terms(BATCH, plain_hyper(learning_rate=rate))[0]
        for rate in (0.0, 0.5, 1.0)
    }
    largest = {r: max(np.abs(x).max() for x in jax.tree.leaves(c)) for r, c in changes.items()}
    assert largest[0.0] == 0
    assert largest[1.0] > 0.01
    half = jax.tree.map(lambda x: x / 2, changes[1.0])
    chex.assert_trees_all_close(changes[0.5], half, rtol=1e-3, atol=1e-6)


def test_an_array_of_dropout_equals_the_networks_own():
    hyper = case.make_hyper(dropout=jnp.float32(case.METHOD.network.dropout))
    state = case.make_state()
    _, terms = step(case.METHOD, state, BATCH, case.make_hyper())
    _, other_terms = step(case.METHOD, state, BATCH, hyper)
    # The gradient's norm stands for all gradients: at step 0 the schedule still moves nothing.
    chex.assert_trees_all_close(terms, other_terms, rtol=1e-5)
    _, without = step(case.METHOD, state, BATCH, case.make_hyper(dropout=jnp.float32(0)))
    assert without["task"] != terms["task"]
