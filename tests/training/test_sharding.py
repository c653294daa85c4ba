"""The same training on 1, 2, 3, 4, 6 and 8 simulated devices, of one run and of populations."""

import os
import subprocess
import sys
from pathlib import Path

from command_case import with_flags

PROGRAM = """
import contextlib, functools, jax, numpy as np, training_case as case
from unittest import mock
from fsrf_jax import sharding
from fsrf_jax.methods import LateFusion
from fsrf_jax.models.layers import Dropout
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import split
from fsrf_jax.training import feeding, loop
from fsrf_jax.training.step import epoch_order, rows_of_step, step_views, take
from test_feeding import HELD_OUT, TRAIN

COUNTS = 1, 2, 3, 4, 6, 8
assert jax.device_count() == 8
# 8, 7 and 7 samples in a step: neither they nor the 8 rows divide over 3 and 6 devices.
ROWS = rows_of_step(case.RECIPE, case.SAMPLES)
assert ROWS == 8
batch, validation = jax.device_get((case.make_batch(), case.make_validation()))


def meshes(members, counts=COUNTS):
    return {n: sharding.training_mesh(members, jax.devices()[:n]) for n in counts}


def started(recipe, *seeds):
    '''States that can be put on any devices, without their keys, which NumPy does not hold.'''
    states = jax.device_get(case.new_states(*seeds, recipe=recipe).replace(key=None))

    def on(mesh):
        keys = loop.place(jax.random.split(jax.random.key(5), len(seeds)), mesh)
        return loop.place(states.replace(key=keys), mesh)

    return on


@contextlib.contextmanager
def no_transfers(mesh):
    '''On a CPU the guard is silent about what is fetched, and NumPy reads one device's memory.'''
    there = sharding.replicate(np.zeros(1), mesh)
    forbidden = mock.Mock(side_effect=AssertionError("fetched from a device"))
    with (
        jax.transfer_guard("disallow"),
        mock.patch.object(type(there), "__array__", forbidden),
        mock.patch.object(jax, "device_get", forbidden),
    ):
        noticed = mesh.size == 1
        try:
            np.asarray(there)
        except AssertionError:
            noticed = True
        assert noticed
        yield


def trained(mesh, recipe, states, hypers, epochs):
    '''Terms and scores of some epochs, and the states after them.'''
    found = []
    data = sharding.replicate((batch, validation), mesh)
    hypers = loop.place(hypers, mesh)
    with case.Compilations() as compiled:
        for number in range(epochs):
            states = loop.place(states, mesh)
            with no_transfers(mesh) if number else contextlib.nullcontext():
                ended = loop.train_epoch(recipe, mesh, states, *data, hypers)
                states = jax.block_until_ready(ended)[0]
            found.append(jax.device_get(ended[1:]))
    assert compiled.count == 1
    assert len(states.step.sharding.device_set) == mesh.size
    return found, states


def close(found, expected, what, rtol=1e-5):
    for (terms, scores), (terms1, scores1) in zip(found, expected, strict=True):
        np.testing.assert_allclose(scores, scores1, rtol=rtol, err_msg=what)
        for name in terms1:
            np.testing.assert_allclose(
                terms[name], terms1[name], rtol=10 * rtol, atol=1e-6, err_msg=f"{what} {name}"
            )


# Order, masks and dropout, bit for bit.
@functools.partial(jax.jit, static_argnames="mesh")
def drawn(mesh, state, data):
    order = epoch_order(state, case.SAMPLES, case.STEPS, ROWS)
    views, key = step_views(case.RECIPE, state, sharding.split_rows(take(data, order[0]), mesh))
    stacked = jax.numpy.concatenate([next(iter(view.values())) for view in views])
    ones = jax.numpy.ones((2, *stacked.shape, 5))
    return order, views, Dropout(0.5).apply({}, ones, train=True, rngs={"dropout": key})


draws = {}
for n, mesh in meshes(1).items():
    state = loop.member(started(case.RECIPE, 1)(mesh), 0)
    draws[n] = jax.device_get(drawn(mesh, state, sharding.replicate(batch, mesh)))
    jax.tree.map(np.testing.assert_array_equal, draws[n], draws[1])
assert 0.4 < (draws[1][2] == 0).mean() < 0.6

# One run of the whole method; what adds up over devices is not the same to the last bit.
begin = started(case.RECIPE, 1)
hypers = jax.device_get(loop.stack([case.make_hyper()]))
apart = []
for n, mesh in meshes(1, (1, 3)).items():
    found, states = trained(mesh, case.RECIPE, begin(mesh), hypers, 2)
    parameters = case.without_key_biases(jax.device_get(loop.member(states, 0).parameters))
    if n == 1:
        expected = found, parameters
    close(found, expected[0], f"one run on {n}")
    far = jax.tree.map(lambda a, b: np.abs(a - b).max(), parameters, expected[1])
    apart.append(max(jax.tree.leaves(far)))
# The rows of a batch are spread: the program for 3 devices adds up over them.
data, hypers = sharding.replicate((batch, validation), mesh), loop.place(hypers, mesh)
program = loop.train_epoch.lower(case.RECIPE, mesh, begin(mesh), *data, hypers)
assert "all-reduce" in program.compile().as_text()

# A method that compiles sooner, on the others. Populations: members and rows are spread, and each
# trains as it does on one device; the meshes of 3 are 1 x 1 and 3 x 2, that of 4 is 2 x 3.
small = ModelOptions(width=8, heads=2, dropout=0.3, encoder_layers=0)
recipe, hyper = split(case.make_recipe(LateFusion(), model=small))
begin = started(recipe, *range(4))
counts = {3: (1, 6), 4: (6,), 1: (2, 4, 8)}
for p in counts:
    for n, mesh in meshes(p, counts[p]).items():
        states = jax.tree.map(lambda x: x[:p], begin(meshes(4, [1])[1]))
        found, _ = trained(mesh, recipe, states, jax.device_get(loop.stack([hyper] * p)), 2)
        if (p, n) == (3, 1):
            expected = found
        both = jax.tree.map(lambda x: x[: min(p, 3)], (found, expected))
        close(*both, f"{p} members on {n}", 1e-4)

# Batches from the host, which has to give every device equally many rows.
one = loop.stack([hyper])
for n, mesh in meshes(1, (3,)).items():
    states = jax.tree.map(lambda x: x[:1], begin(meshes(4, [1])[1]))
    states, hypers = loop.place((states, one), mesh)
    _, *found = feeding.train_epoch(recipe, mesh, states, feeding.Feed(TRAIN), HELD_OUT, hypers)
    first = jax.tree.map(lambda x: x[:1], expected[0])
    close([jax.device_get(tuple(found))], [first], f"from the host on {n}", 1e-4)
print(max(apart))
"""


def test_any_number_of_devices_trains_alike():
    """6 steps of a run on batches of 8, 7 and 7 samples: losses, scores and parameters.

    Adam divides a gradient by its own size, so rounding in a gradient near 0 moves a parameter by
    a share of the learning rate. The bias of the attention's keys, whose gradient is 0 but for
    rounding, is left out: it has no influence on anything.
    """
    here = Path(__file__).parent
    environment = os.environ | {
        "XLA_FLAGS": with_flags(
            "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
        ),
        "PYTHONPATH": os.pathsep.join(
            [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
        ),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout) < 3e-5
