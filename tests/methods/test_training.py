"""Every method in `METHODS` trains alike alone, in a population, resumed, and on 8 devices."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_case as case
from command_case import with_flags

from fsrf_jax.methods import METHODS
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import split
from fsrf_jax.training import checkpoints, frozen, loop

SEEDS, RATES = (3, 5), (3e-3, 1e-2)


class Subject(NamedTuple):
    """A method as it is trained."""

    recipe: object
    hypers: list
    teacher: object

    def epoch(self, states, *hypers):
        states = loop.place(states, case.MESH)
        return case.epoch(states, *hypers, recipe=self.recipe, teacher=self.teacher)


# Bricks without attention compile fast.
SMALL = ModelOptions(width=8, heads=2, encoder_layers=0, fusion="concatenation")


def subject_of(name, **changed):
    recipe, hyper = split(case.make_recipe(METHODS[name](), model=SMALL, **changed))
    taught = METHODS[name]().teacher_method()
    teacher = None
    if taught is not None:
        key, example = jax.random.key(1), case.make_batch(1)
        init = jax.jit(lambda: taught.method.init(recipe.setting, example, key)["inference"])
        teacher = init()
    hypers = [hyper | {"optimizer.learning_rate": jnp.float32(rate)} for rate in RATES]
    return Subject(recipe, hypers, teacher)


@pytest.fixture(scope="module", params=METHODS)
def subject(request):
    return subject_of(request.param)


@pytest.fixture(scope="module")
def alone(subject):
    """Each member's own run: what two epochs gave, [member][epoch]."""
    runs = []
    for seed, hyper in zip(SEEDS, subject.hypers, strict=True):
        states, found = case.make_states(seed, recipe=subject.recipe), []
        for _ in range(2):
            states, terms, scores = subject.epoch(states, hyper)
            found.append(case.as_numpy((states, terms, scores)))
        runs.append(found)
    return runs


def test_a_member_of_a_population_trains_as_it_would_alone(subject, alone):
    states = case.make_states(*SEEDS, recipe=subject.recipe)
    for epoch in range(2):
        states, terms, scores = subject.epoch(states, *subject.hypers)
        for index in range(len(SEEDS)):
            _, own, score = alone[index][epoch]
            assert set(own) == set(terms)
            np.testing.assert_allclose(scores[index], score[0], rtol=1e-4)
            for name in own:
                np.testing.assert_allclose(
                    terms[name][index], own[name][0], rtol=2e-3, atol=1e-5, err_msg=name
                )
    assert not np.allclose(*np.asarray(scores))  # members differ


def test_a_resumed_run_is_the_same_bit_for_bit(subject, alone, tmp_path):
    first, last = (case.as_numpy(alone[0][epoch][0]) for epoch in range(2))
    states, _, _ = subject.epoch(
        case.make_states(SEEDS[0], recipe=subject.recipe), subject.hypers[0]
    )
    with checkpoints.open_manager(tmp_path) as manager:
        checkpoints.save(manager, 1, {"state": states})
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), states
    )
    del states
    with checkpoints.open_manager(tmp_path, read_only=True) as manager:
        restored = checkpoints.restore(manager, {"state": target})["state"]
    chex.assert_trees_all_equal(case.as_numpy(restored), first)
    again, _, _ = subject.epoch(restored, subject.hypers[0])
    chex.assert_trees_all_equal(case.as_numpy(again), last)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_frozen_does_not_move_and_all_else_does(name, tmp_path):
    """Bit for bit, of every member, in the moving average as well, and after a resume."""
    optimizer = dataclasses.replace(case.make_recipe().optimizer, average=0.9)
    subject = subject_of(name, freeze=("encoders.audio",), optimizer=optimizer)
    states = case.make_states(*SEEDS, recipe=subject.recipe)
    before = case.as_numpy(states)
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), states
    )
    states, _, _ = subject.epoch(states, *subject.hypers)
    with checkpoints.open_manager(tmp_path) as manager:
        checkpoints.save(manager, 1, {"state": states})
    del states
    with checkpoints.open_manager(tmp_path, read_only=True) as manager:
        states = checkpoints.restore(manager, {"state": target})["state"]
    states, _, _ = subject.epoch(states, *subject.hypers)
    after = case.as_numpy(states)
    for part in ("parameters", "average", "best"):
        old, new = (frozen.named_leaves(getattr(state, part)) for state in (before, after))
        for path, leaf in old.items():
            held = "encoders.audio." in path
            for index in range(len(SEEDS)):
                same = (leaf[index] == new[path][index]).all()
                assert same == held, (part, path, index)


PROGRAM = """
import sys, jax, numpy as np, training_case as case, test_training as tests
from fsrf_jax import sharding
from fsrf_jax.training import loop

eight = sharding.data_mesh()
assert eight.size == 8
one = sharding.training_mesh(1, jax.devices()[:1])
count = 0
for name in sys.argv[1:]:
    subject = tests.subject_of(name)
    start = case.new_states(3, recipe=subject.recipe)
    data = case.make_batch(), case.make_validation()
    rest = data, loop.stack(subject.hypers[:1]), subject.teacher
    start, rest = jax.device_get((start.replace(key=None), rest))
    found = []
    for mesh in (one, eight):
        states = start.replace(key=sharding.replicate(jax.random.key(5)[None], mesh))
        states = loop.place(states, mesh)
        inputs, hypers, teacher = sharding.replicate(rest, mesh)
        _, terms, score = loop.train_epoch(subject.recipe, mesh, states, *inputs, hypers, teacher)
        assert len(score.sharding.device_set) == mesh.size
        found.append(jax.device_get((terms, score)))
    (terms, score), (terms8, score8) = found
    np.testing.assert_allclose(score8, score, rtol=1e-5, err_msg=name)
    for term in terms:
        np.testing.assert_allclose(terms8[term], terms[term], rtol=1e-4, atol=1e-6, err_msg=term)
        count += 1
print(count)
"""


def test_1_and_8_devices_train_alike():
    """Those that no other test trains on 8 devices."""
    names = [name for name in METHODS if name != "fsrf"]
    here = Path(__file__).parent
    paths = [here, here.parent, here.parent / "training"]
    path = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    flags = "--xla_force_host_platform_device_count=8", "--xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        env=os.environ | {"XLA_FLAGS": with_flags(*flags), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) >= 4 * len(names)
