import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_case as case

from fsrf_jax.training import checkpoints
from fsrf_jax.training.loop import InterruptedTraining, is_complete
from fsrf_jax.training.population import (
    fit_population,
    member,
    split_members,
    stack,
    train_population,
)
from fsrf_jax.training.step import train_epoch

EPOCHS = 3
# Members differ in seed, weights, learning rate and dropout rate.
SEEDS = (0, 1, 1)
HYPERS = [
    case.make_hyper(dropout=jnp.float32(0.1)),
    case.make_hyper(redundancy=0.0, mmd=1.0, dropout=jnp.float32(0.1)),
    case.make_hyper(learning_rate=1e-2, dropout=jnp.float32(0.3)),
]


def start():
    return stack([case.make_state(seed) for seed in SEEDS]), stack(HYPERS)


def epoch(states, hypers, epochs=EPOCHS, patience=0):
    data, validation, _ = case.inputs()
    return train_population(
        case.METHOD, case.MESH, states, data, validation, hypers, epochs=epochs, patience=patience
    )


@pytest.fixture(scope="module")
def trained():
    """States after every epoch, and all terms and scores."""
    states, hypers = start()
    history = []
    for _ in range(EPOCHS):
        states, terms, scores = epoch(states, hypers)
        history.append(case.as_numpy((states, terms, scores)))
    return history


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_a_member_trains_as_it_would_alone(trained, index):
    state = case.make_state(SEEDS[index])
    data, validation, _ = case.inputs()
    for states, terms, scores in trained:
        state, alone, score = train_epoch(
            case.METHOD, case.MESH, state, data, validation, HYPERS[index]
        )
        np.testing.assert_allclose(scores[index], score, rtol=1e-4)
        for name in alone:
            np.testing.assert_allclose(terms[name][index], alone[name], rtol=2e-3, atol=1e-5)
        found = member(states, index)
        np.testing.assert_array_equal(found.key, jax.random.key_data(state.key))
        assert (found.step, found.best_epoch) == (state.step, state.best_epoch)
        # Adam divides a gradient by its size, so rounding near 0 moves a parameter.
        chex.assert_trees_all_close(found.best_network, state.best_network, atol=2e-3)


def test_members_differ(trained):
    _, terms, scores = trained[-1]
    assert len(set(scores.tolist())) == len(SEEDS)
    assert len(set(terms["total"][:, -1].tolist())) == len(SEEDS)


def test_a_complete_member_stays_as_it_is():
    states, hypers = start()
    steps = jnp.asarray([0, EPOCHS * case.STEPS, 2 * case.STEPS], jnp.int32)
    states = states.replace(step=steps, best_epoch=jnp.asarray([0, 3, 2], jnp.int32))
    before = case.as_numpy(states)
    after, *_ = epoch(states, hypers)
    after = case.as_numpy(after)
    chex.assert_trees_all_equal(member(after, 1), member(before, 1))
    assert (after.step == np.asarray([3, 9, 9])).all()


@pytest.mark.parametrize(
    ("patience", "complete"), [(0, [False, True, False]), (2, [False, True, True])]
)
def test_which_members_are_complete(patience, complete):
    states, _ = start()
    states = states.replace(
        step=case.STEPS * jnp.asarray([1, 5, 4]), best_epoch=jnp.asarray([0, 5, 2])
    )
    found = is_complete(case.METHOD, states, 5, patience)
    assert found.tolist() == complete


def fit(folder, states, report, epochs=EPOCHS):
    _, hypers = start()
    data, validation, _ = case.inputs()
    with checkpoints.open_manager(folder) as manager:
        if manager.latest_step() is not None:
            target = {"state": states, "preparation": case.PREPARATION}
            states = checkpoints.restore(manager, target)["state"]
        return fit_population(
            case.METHOD,
            case.MESH,
            states,
            data,
            validation,
            hypers,
            epochs=epochs,
            patience=0,
            manager=manager,
            checkpoint_every=1,
            preparation=case.PREPARATION,
            report=report,
        )


def test_interrupted_and_resumed_as_if_never_stopped(tmp_path, trained):
    reports = []

    def stop_in_epoch_2(index, record):
        reports.append((record.epoch, index))
        if record.epoch == 2 and index == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedTraining, match="SIGTERM after epoch 2"):
        fit(tmp_path, start()[0], stop_in_epoch_2)
    assert reports == [(e, i) for e in (1, 2) for i in range(3)]
    states = fit(tmp_path, start()[0], lambda index, record: reports.append((record.epoch, index)))
    assert reports[6:] == [(3, i) for i in range(3)]
    chex.assert_trees_all_equal(case.as_numpy(states), trained[-1][0])


def test_members_are_spread_over_devices_that_divide_them():
    states, _ = start()
    spread = split_members(states, case.MESH)
    chex.assert_trees_all_equal(case.as_numpy(spread), case.as_numpy(states))
    assert spread.step.sharding.mesh == case.MESH


DEVICES = """
import re, sys, jax, numpy as np, training_case as case, test_training_population as population
from fsrf_jax.training.population import split_members, train_population
from fsrf_jax.training.sharding import replicate

states, hypers = (split_members(tree, case.MESH) for tree in population.start())
assert case.MESH.size == 3
data, validation, _ = case.inputs()
arguments = case.METHOD, case.MESH, states, data, validation, hypers
program = train_population.lower(*arguments, epochs=3, patience=0).compile()
assert not re.search("all-reduce|all-gather|all-to-all|collective-permute", program.as_text())
states, terms, scores = program(states, data, validation, hypers)
assert {shard.data.shape for shard in states.step.addressable_shards} == {(1,)}
np.savez(sys.argv[1], scores=scores, **terms)
"""


def test_devices_train_their_own_members_without_waiting_for_each_other(tmp_path, trained):
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=3",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    file = str(tmp_path / "found.npz")
    command = [sys.executable, "-c", DEVICES, file]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    _, terms, scores = trained[0]
    with np.load(file) as found:
        np.testing.assert_allclose(found["scores"], scores, rtol=1e-4)
        for name, values in terms.items():
            np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=1e-5)


def test_methods_are_compared_by_value_but_for_the_optimizer():
    """The same objects compile once; this is what grouping relies on."""
    same = dataclasses.replace(case.METHOD)
    assert same == case.METHOD
    assert hash(same) == hash(case.METHOD)
