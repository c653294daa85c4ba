import os
import subprocess
import sys
from pathlib import Path

from command_case import with_flags

PROGRAM = """
import jax, numpy as np, training_case as case
from jax.sharding import AxisType
from fsrf_jax import sharding
from fsrf_jax.training import loop
from fsrf_jax.training.state import init_states

eight = sharding.data_mesh()
assert eight.size == 8
one = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
results = []
start = init_states(case.RECIPE, case.make_batch(1), jax.random.key(0)[None])
start = jax.device_get(start.replace(key=None))
inputs = jax.device_get((case.make_batch(), case.make_validation()))
hypers = jax.device_get(loop.stack([case.make_hyper()]))
for mesh in (one, eight):
    states = start.replace(key=sharding.replicate(jax.random.key(5)[None], mesh))
    data, validation = sharding.replicate(inputs, mesh)
    terms, scores = [], []
    with case.Compilations() as compiled:
        for _ in range(7):
            states = loop.place(states, mesh)
            states, term, score = loop.train_epoch(
                case.RECIPE, mesh, states, data, validation, loop.place(hypers, mesh)
            )
            terms.append(jax.device_get(loop.member(term, 0)))
            scores.append(float(score[0]))
    assert compiled.count == 1
    assert len(states.step.sharding.device_set) == mesh.size
    results.append((terms, scores, jax.device_get(loop.member(states, 0).parameters)))
(terms, scores, parameters), (terms8, scores8, parameters8) = results
for name in terms[0]:
    a, b = (np.concatenate([term[name] for term in run])[:20] for run in (terms, terms8))
    np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6, err_msg=name)
np.testing.assert_allclose(scores8[:6], scores[:6], rtol=1e-5)
both = case.without_key_biases(parameters), case.without_key_biases(parameters8)
apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), *both)
# The rows of a batch are spread: the program for 8 devices adds up over them.
states, hypers = loop.place((states, hypers), mesh)
program = loop.train_epoch.lower(case.RECIPE, mesh, states, data, validation, hypers)
assert "all-reduce" in program.compile().as_text()
print(max(jax.tree.leaves(apart)))
"""


def test_1_and_8_devices_train_alike():
    """21 steps on batches of 8, 7 and 7 samples: losses, scores and parameters.

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
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout) < 3e-5
