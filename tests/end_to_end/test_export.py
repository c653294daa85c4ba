"""An export where this package is not: a new process, with JAX and NumPy alone."""

import os
import subprocess
import sys

import numpy as np
import pytest
from command_case import call
from export_case import network_of, raw_samples

import fsrf_jax
from fsrf_jax.experiments.export import write_export

SHAPES = ((1, 6), (3, 1), (64, 9))  # samples and frames

ELSEWHERE = """
import sys
from pathlib import Path

import jax
import numpy as np
from jax import export

for folder in map(Path, sys.argv[1:]):
    model = export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
    for case in sorted(folder.glob("*.npz")):
        with np.load(case) as given:
            features, lengths = (
                {name[2:]: given[name] for name in given.files if name[0] == kind} for kind in "xn"
            )
        found = model.call(features, lengths)
        np.savez(case.with_suffix(".found.npz"), **found)
assert "fsrf_jax" not in sys.modules and "flax" not in sys.modules
"""


def start_python(*argv):
    """Python outside the checkout, which compiles as it does for a user."""
    ours = ("PYTHONPATH", "XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")
    env = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, *map(str, argv)], env=env, capture_output=True, text=True, cwd="/"
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def models(trained, tmp_path_factory):
    """Exports by the kind of their task, with what predicts for each in this process."""
    place = tmp_path_factory.mktemp("exports")
    run = fsrf_jax.load(trained.folder)
    done = call("export", trained.folder, "--output", place / "l1")
    assert done.status == 0, done.err
    networks = {
        "gaussian": network_of({"task.kind": "gaussian", "method.name": "misa"}),
        "cross_entropy": network_of({"task.kind": "cross_entropy", "method.name": "corrkd"}, 3),
    }
    for kind, network in networks.items():
        write_export(network, place / kind, None)
    return place, {"l1": run.network} | networks


def test_it_predicts_the_same_in_a_process_without_this_package(models):
    place, networks = models
    given = {}
    for kind, network in networks.items():
        for n, frames in SHAPES:
            features, lengths = given[kind, n, frames] = raw_samples(network, n, frames, seed=n)
            named = {f"x_{m}": x for m, x in features.items()}
            named |= {f"n_{m}": count for m, count in lengths.items()}
            np.savez(place / kind / f"{n}x{frames}.npz", **named)
    status, _, err = start_python("-c", ELSEWHERE, *(place / kind for kind in networks))
    assert status == 0, err
    for (kind, n, frames), (features, lengths) in given.items():
        expected = networks[kind].predict(features, lengths)
        with np.load(place / kind / f"{n}x{frames}.found.npz") as found:
            assert set(found.files) == ({"values", "std"} if kind == "gaussian" else {"values"})
            np.testing.assert_allclose(found["values"], expected.values, atol=1e-5)
            assert found["values"].shape == ((n, 3) if kind == "cross_entropy" else (n,))
            if kind == "gaussian":
                np.testing.assert_allclose(found["std"], expected.std, rtol=1e-5)


def test_the_example_runs_alone(models):
    place, _ = models
    example = place / "l1" / "example.py"
    lines = example.read_text("utf-8").splitlines()
    assert len(lines) <= 30
    assert "fsrf_jax" not in "".join(line for line in lines if "import" in line)
    status, out, err = start_python(example, 3, 7)
    assert (status, err) == (0, "")
    assert out.startswith("{'values': Array([")
    assert out.count(",") == 3
    status, out, err = start_python(place / "cross_entropy" / "example.py")
    assert (status, err) == (0, "")
    assert "dtype=float32" in out


def test_the_example_says_what_to_do_about_a_program_that_is_not_read(models, tmp_path):
    place, _ = models
    for name in ("example.py", "model.stablehlo"):
        (tmp_path / name).write_bytes((place / "l1" / name).read_bytes())
    program = (tmp_path / "model.stablehlo").read_bytes()
    start = program.index(b"ML\xefR")  # how a module begins
    (tmp_path / "model.stablehlo").write_bytes(program[:start] + b"?" + program[start + 1 :])
    status, out, err = start_python(tmp_path / "example.py")
    assert (status, out) == (1, "")
    assert "bin/export THIS_FOLDER --output NEW_FOLDER" in err
    assert "Traceback" not in err
