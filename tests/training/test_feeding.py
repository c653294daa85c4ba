"""Batches that come from the host: the same training as with all samples on the device."""

import sys

import chex
import jax
import numpy as np
import pytest
import training_case as case
from lazy_case import staying
from linear_method import Linear
from test_loop import fit, restore

from fsrf_jax.data.dataset import Split
from fsrf_jax.errors import ConfigError, DataError, RunError
from fsrf_jax.methods import LateFusion
from fsrf_jax.options import split as static_part
from fsrf_jax.training import feeding, loop
from fsrf_jax.training.feeding import Feed, HeldOut
from fsrf_jax.training.step import epoch_order, take, validation_error


def as_split(batch):
    """The samples of a batch."""
    of = jax.tree.map(np.asarray, batch)
    ids = np.arange(len(of.labels)).astype(str)
    return Split(ids, of.features, of.valid, of.labels, present=of.present)


TRAIN = as_split(case.make_batch())
VALIDATION = case.make_validation()
MASKS = [{m: np.asarray(x[i]) for m, x in VALIDATION.observed.items()} for i in (0, 1)]
HELD_OUT = HeldOut(Feed(as_split(VALIDATION.batch)), MASKS)
STAYING = HeldOut(Feed(staying(as_split(VALIDATION.batch)), 2), MASKS)


def linear(**changed):
    return static_part(case.make_recipe(Linear(), **changed))


def in_memory():
    return {"data": Feed(TRAIN), "validation": HELD_OUT, "epoch": feeding.train_epoch}


def in_a_file(readers=2):
    feed = Feed(staying(TRAIN), readers)
    return {"data": feed, "validation": STAYING, "epoch": feeding.train_epoch}


@pytest.mark.parametrize("given", [in_memory, in_a_file])
def test_batches_are_those_of_the_step(given):
    """Of every sample, in the order of the epoch, filled up with rows of no weight."""
    state = case.make_state().replace(step=np.int32(2 * case.STEPS))
    order = epoch_order(state, case.SAMPLES, case.STEPS, 8)
    assert (np.asarray(order) < 0).any()
    batches = list(given()["data"].batches(np.asarray(order)))
    assert len(batches) == case.STEPS
    for index, batch in zip(order, batches, strict=True):
        expected = jax.tree.map(np.asarray, take(case.make_batch(), index))
        chex.assert_trees_all_equal(batch, expected)
        chex.assert_trees_all_equal_dtypes(batch, expected)


@pytest.mark.parametrize("held_out", [HELD_OUT, STAYING])
def test_the_validation_error_is_that_of_all_samples_at_once(held_out, monkeypatch):
    recipe, _ = linear()
    state = case.make_state(recipe=recipe)
    expected = validation_error(recipe, case.MESH, state.average, VALIDATION)
    monkeypatch.setattr(feeding, "VALIDATION_ROWS", 8)  # the last part is filled up
    found = held_out.error(recipe, case.MESH, state.average)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.fixture(scope="module")
def on_the_device(tmp_path_factory):
    recipe, hyper = linear()
    states = case.make_states(0, recipe=recipe)
    states, records = fit(tmp_path_factory.mktemp("device"), states, [hyper], recipe=recipe)
    return case.as_numpy(states), records


@pytest.mark.parametrize("given", [in_memory(), in_a_file(1), in_a_file(3)])
def test_parameters_are_those_of_training_on_the_device(on_the_device, tmp_path, given):
    """Whatever the number of readers, and across a checkpoint."""
    recipe, hyper = linear()
    expected, expected_records = on_the_device
    states = case.make_states(0, recipe=recipe)

    def stop(_, record):
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, states, [hyper], stop, recipe=recipe, every=1, **given)
    begun = restore(tmp_path, case.make_states(0, recipe=recipe))
    assert loop.epochs_done(recipe, begun) == 1
    found, records = fit(tmp_path, begun, [hyper], recipe=recipe, **given)
    assert not case.weak(found)
    chex.assert_trees_all_close(case.as_numpy(found), expected, rtol=1e-5, atol=1e-7)
    assert [record.epoch for _, record in records] == list(range(2, case.EPOCHS + 1))
    for (_, one), (_, other) in zip(records, expected_records[1:], strict=True):
        assert one.best_epoch == other.best_epoch
        np.testing.assert_allclose(one.validation_error, other.validation_error, rtol=1e-5)
        assert one.terms == pytest.approx(other.terms, rel=1e-5)


def test_a_method_with_dropout_draws_alike():
    """And with attention, views and a moving average."""
    recipe, hyper = static_part(case.make_recipe(LateFusion()))
    expected, expected_terms, expected_score = jax.device_get(
        case.epoch(case.make_states(1, recipe=recipe), hyper, recipe=recipe)
    )
    given = in_a_file()
    hypers = loop.place(loop.stack([hyper]), case.MESH)
    states, terms, score = feeding.train_epoch(
        recipe,
        case.MESH,
        case.make_states(1, recipe=recipe),
        given["data"],
        given["validation"],
        hypers,
    )
    np.testing.assert_allclose(score, expected_score, rtol=1e-5)
    chex.assert_trees_all_close(terms, expected_terms, rtol=1e-4, atol=1e-6)
    found = case.without_key_biases(member(states).average)
    expected = case.without_key_biases(member(expected).average)
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-5)


def member(states):
    return jax.tree.map(np.asarray, loop.member(states.replace(key=None), 0))


def test_the_device_has_few_batches_at_a_time(monkeypatch):
    """One is given to it when all but the last are done."""
    recipe, hyper = linear()
    given, waits = [], []
    step, wait = feeding._step, jax.block_until_ready

    def stepped(*args):
        state, terms = step(*args)
        given.append(terms)
        return state, terms

    def waited(x):
        waits.append((len(given), [i for i, terms in enumerate(given, 1) if terms is x]))
        return wait(x)

    monkeypatch.setattr(feeding, "_step", stepped)
    monkeypatch.setattr(jax, "block_until_ready", waited)
    hypers = loop.place(loop.stack([hyper]), case.MESH)
    states = case.make_states(0, recipe=recipe)
    feeding.train_epoch(recipe, case.MESH, states, Feed(TRAIN), HELD_OUT, hypers)
    assert waits[: case.STEPS] == [(1, [1]), (2, [1]), (3, [2])]


def test_several_members_are_refused():
    recipe, hyper = linear()
    hypers = loop.stack([hyper] * 2)
    states = case.make_states(0, 1, recipe=recipe)
    with pytest.raises(RunError, match=r"2 members began to train together.*placement device"):
        feeding.train_epoch(recipe, case.MESH, states, Feed(TRAIN), HELD_OUT, hypers)


def test_grain_is_needed_for_a_file_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    order = np.arange(8).reshape(1, 8)
    assert len(list(Feed(TRAIN).batches(order))) == 1
    with pytest.raises(ConfigError, match=r"placement stream reads ahead by the package grain"):
        list(Feed(staying(TRAIN)).batches(order))


def test_what_cannot_be_read_ends_the_epoch():
    def damaged(*_):
        raise DataError("x.h5: cannot be read as HDF5")

    split = staying(TRAIN)
    split.features["audio"]._read = damaged
    with pytest.raises(DataError, match=r"^x.h5: cannot be read as HDF5$"):
        list(Feed(split, 2).batches(np.arange(16).reshape(2, 8)))
