"""Settings for every test: silent broadcasting is an error, and programs compile once a machine."""

import getpass
import os
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest
from command_case import TINY, Trained, call

CACHE = Path(tempfile.gettempdir()) / f"fsrf_jax-compiled-{getpass.getuser()}"
CACHE.mkdir(mode=0o700, exist_ok=True)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
# The same for the commands that tests start.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def pytest_configure(config):
    # Another process may be writing an entry that this one reads: it then compiles anew.
    for verb in ("reading", "writing"):
        line = f"ignore:Error {verb} persistent compilation cache:UserWarning"
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """A finished run, shared by all tests: copy its folder before changing anything in it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    argv = (*TINY, "--output.directory", str(folder))
    done = call("train", *argv, "--output.progress", "true")
    assert done.status == 0, done.err
    return Trained(folder, argv, done.out)
