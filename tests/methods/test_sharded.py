"""A batch that is split over 8 devices gives the loss and gradients of one device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_case import with_flags

# Slow: the default loss on 8 devices is in tests/training, its terms are in tests/losses.
pytestmark = pytest.mark.slow

OTHER = {
    "complete_view": True,
    "homogeneous.divergence": "gaussian_kl",
    "heterogeneous.kind": "contrastive",
    "noise.kind": "uniform",
    "redundancy.dependence": "hsic",
    "reconstruction.target": "complete",
    "reconstruction.crossed": True,
    "distillation.direction": "to_less_complete",
    "distillation.weigh_teacher": True,
    "weights.feature_distillation": {},
}
CASES = {"defaults": ("l1", {}), "others": ("binary_cross_entropy", OTHER)}
PROGRAM = """
import sys, jax, numpy as np
from functools import partial
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import methods_case as case
from test_sharded import CASES

assert len(jax.devices()) == 8
method, setting, parameters, batch, views = case.case_of(*CASES[sys.argv[1]])

@jax.jit
@partial(jax.value_and_grad, has_aux=True)
def loss(parameters, batch, views):
    terms = method.loss(setting, parameters, None, case.Step(batch, views, case.PROGRESS, case.KEY))
    weights = method.term_weights(case.PROGRESS)
    return terms["task"] + sum(weights[name] * terms[name] for name in weights), terms

mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
one = jax.device_get(loss(parameters, batch, views))
rows, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
spread = jax.device_put((batch, views), rows)
assert len(spread[0].labels.sharding.device_set) == 8
eight = loss(jax.device_put(parameters, whole), *spread)
assert len(eight[0][0].sharding.device_set) == 8
leaves = zip(jax.tree.leaves(one), jax.tree.leaves(jax.device_get(eight)), strict=True)
count = 0
for x, y in leaves:
    np.testing.assert_allclose(y, x, rtol=1e-4, atol=1e-6)
    count += 1
print(count, float(one[0][0]))
"""


@pytest.mark.parametrize("name", CASES)
def test_8_devices_agree_with_1(name):
    here = Path(__file__).parent
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles faster
        "XLA_FLAGS": with_flags(
            "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
        ),
        "PYTHONPATH": os.pathsep.join(
            [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
        ),
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    leaves, total = run.stdout.split()
    assert int(leaves) > 50
    assert float(total) > 0
