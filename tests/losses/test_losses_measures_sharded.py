import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
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


def test_a_batch_split_over_8_devices_gives_the_same_values_and_gradients():
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles faster
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        ),
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert int(run.stdout) == 14
