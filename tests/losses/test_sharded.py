"""A batch that is split over 8 devices gives the same values and gradients as on one."""

import os
import subprocess
import sys
from pathlib import Path

from command_case import with_flags

MEASURES = """
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from losses_reference import codes_and_weights
from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.divergences import DIVERGENCES

measures = DIVERGENCES | DEPENDENCE

@jax.jit
def every_measure(*arrays):
    return {name: jax.value_and_grad(f, (0, 1))(*arrays) for name, f in measures.items()}

assert len(jax.devices()) == 8
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
arrays = codes_and_weights(0, b=16)
one = jax.device_get(every_measure(*jax.device_put(arrays, jax.devices()[0])))
split = jax.device_put(arrays, NamedSharding(mesh, P("data")))
eight = every_measure(*split)
assert len(eight["mse"][1][0].sharding.device_set) == 8
for name, (value, gradients) in jax.device_get(eight).items():
    np.testing.assert_allclose(value, one[name][0], rtol=1e-5, atol=1e-6, err_msg=name)
    for gradient, expected in zip(gradients, one[name][1], strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6, err_msg=name)
print(len(measures))
"""


TERMS = """
import jax, numpy as np
from functools import partial
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import losses_reference as reference
from fsrf_jax.losses import Task, distillation, mmd, mse
from test_terms import BATCH, TARGET, TERMS, example

views = {name: example(name) for name in TERMS}
codes = [reference.codes_of(reference.example_view(seed)) for seed in (0, 1)]
heads = [reference.example_view(seed).prediction_bo for seed in (0, 1)]

@jax.jit
def every_term(views, target, weights_b, codes, heads):
    def features(codes):
        (first, first_has), (second, second_has) = codes
        terms = distillation.features(
            first, second, first_has * second_has, weights_b, weights_b, {"mmd": mmd, "mse": mse}
        )
        return terms["mmd"].value + terms["mse"].value

    def predictions(heads):
        return distillation.predictions(*heads, weights_b, weights_b, Task("l1").disagreement).value

    results = {
        name: jax.value_and_grad(lambda v: TERMS[name].run(v, labels, target, weights_b).value)(v)
        for name, (v, labels) in views.items()
    }
    results["features"] = jax.value_and_grad(features)(codes)
    results["predictions"] = jax.value_and_grad(predictions)(heads)
    return results

def rows(path, x):
    # The batch is the second axis of what is stacked, and the first of all else.
    stacked = jax.tree_util.keystr(path).find("_mb") >= 0
    return P(None, "data") if stacked else P("data")

assert len(jax.devices()) == 8
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
place = lambda tree, spec: jax.device_put(tree, NamedSharding(mesh, spec))
one = jax.device_get(every_term(views, TARGET, BATCH.weights, codes, heads))
eight = every_term(
    jax.tree_util.tree_map_with_path(lambda path, x: place(x, rows(path, x)), views),
    place(TARGET, P("data")),
    place(BATCH.weights, P("data")),
    place(codes, P(None, "data")),
    place(heads, P("data")),
)
assert len(eight["predictions"][1][0].sharding.device_set) == 8
for name, (value, gradient) in jax.device_get(eight).items():
    np.testing.assert_allclose(value, one[name][0], rtol=1e-4, atol=1e-6, err_msg=name)
    for x, expected in zip(jax.tree.leaves(gradient), jax.tree.leaves(one[name][1]), strict=True):
        np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-6, err_msg=name)
assert len(one) == len(TERMS) + 2
print(len(one))
"""


def printed_on_8_devices(program):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles faster
        "XLA_FLAGS": with_flags(
            "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
        ),
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        ),
    }
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return int(run.stdout)


def test_measures():
    assert printed_on_8_devices(MEASURES) == 14


def test_terms():
    assert printed_on_8_devices(TERMS) == 22
