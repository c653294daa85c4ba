import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import training_case as case
from jax.sharding import AxisType

from fsrf_jax.training import sharding

PROGRAM = """
import jax, numpy as np, training_case as case
from jax.sharding import AxisType
from fsrf_jax.training import sharding
from fsrf_jax.training.step import train_epoch

eight = sharding.data_mesh()
assert eight.size == 8
one = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
results = []
for mesh in (one, eight):
    state = sharding.replicate(jax.device_get(case.make_state().replace(key=None)), mesh)
    state = state.replace(key=sharding.replicate(jax.random.key(5), mesh))
    inputs = (case.make_batch(), case.make_validation(), case.make_hyper())
    data, validation, hyper = sharding.replicate(jax.device_get(inputs), mesh)
    terms, scores = [], []
    for _ in range(7):
        state, term, score = train_epoch(case.METHOD, mesh, state, data, validation, hyper)
        terms.append(jax.device_get(term))
        scores.append(float(score))
    assert len(state.step.sharding.device_set) == mesh.size
    results.append((terms, scores, jax.device_get(state.parameters)))
(terms, scores, parameters), (terms8, scores8, parameters8) = results
for name in terms[0]:
    a, b = (np.concatenate([term[name] for term in run])[:20] for run in (terms, terms8))
    np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6, err_msg=name)
np.testing.assert_allclose(scores8[:6], scores[:6], rtol=1e-5)
for tree in (parameters, parameters8):
    encoders = [tree["network"][f"encoder_{m}"] for m in case.FRAMES]
    for module in (*encoders, tree["network"]["Fusion_0"]):
        bias = module["Block_0"]["SelfAttention_0"]["query_key_value"]["bias"]
        module["Block_0"]["SelfAttention_0"]["query_key_value"]["bias"] = np.delete(bias, 1, 0)
apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), parameters, parameters8)
print(max(jax.tree.leaves(apart)))
"""


def test_1_and_8_devices_train_alike():
    """21 steps on batches of 8, 7 and 7 samples: losses, scores and parameters.

    Adam divides a gradient by its own size, so rounding in a gradient near 0 moves a parameter by
    a share of the learning rate. The bias of the attention's keys, whose gradient is 0 but for
    rounding, is left out: it has no influence on anything.
    """
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout) < 3e-5


def test_mesh():
    mesh = sharding.data_mesh()
    assert mesh.axis_names == ("data",)
    assert mesh.axis_types == (AxisType.Auto,)
    assert mesh.size == jax.local_device_count()


@pytest.mark.parametrize(("n", "rows"), [(1, 8), (8, 8), (9, 16), (60, 64)])
def test_padded_rows(n, rows):
    assert sharding.padded_rows(n, case.MESH) == rows


def test_padded_rows_on_a_number_of_devices_that_does_not_divide_8():
    class Mesh:
        size = 3

    assert sharding.padded_rows(8, Mesh()) == 24
    assert sharding.padded_rows(25, Mesh()) == 48


def test_replicate_and_split_rows():
    tree = {"a": np.arange(16.0).reshape(8, 2)}
    whole = sharding.replicate(tree, case.MESH)
    assert whole["a"].sharding.is_fully_replicated
    split = jax.jit(lambda tree: sharding.split_rows(tree, case.MESH))(whole)
    np.testing.assert_array_equal(split["a"], tree["a"])
