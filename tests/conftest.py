"""Settings for every test: silent broadcasting is an error, and a program compiles once a run."""

import atexit
import os
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import jax
import pytest
from command_case import TINY, Trained, call, with_flags

# One folder for each process: reading what another one is writing can crash XLA. Set
# JAX_COMPILATION_CACHE_DIR to keep compiled programs between runs, one run at a time.
CACHE = os.environ.get("JAX_COMPILATION_CACHE_DIR")
if CACHE is not None:
    CACHE = str(Path(CACHE) / os.environ.get("PYTEST_XDIST_WORKER", "one"))
else:
    temporary = tempfile.TemporaryDirectory(prefix="fsrf_jax-compiled-")
    atexit.register(temporary.cleanup)
    CACHE = temporary.name

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
# The same for the commands that tests start.
os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


# How long an example takes depends on the machine, and nothing here is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_configure(config):
    # Compiling takes most of the time of tests, which run each program for a moment; the slow ones
    # train for minutes.
    if "not slow" in config.option.markexpr:
        jax.config.update("jax_disable_most_optimizations", True)
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        # Without them a program compiles in half the time. Later versions end at a flag unknown.
        if jax.__version_info__ < (0, 11):
            os.environ["XLA_FLAGS"] = with_flags("--xla_cpu_use_fusion_emitters=false")
    # Another process may be writing an entry that this one reads: it then compiles anew.
    for verb in ("reading", "writing"):
        line = f"ignore:Error {verb} persistent compilation cache:UserWarning"
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Free the programs once they are many: each holds memory maps, which a process runs out of."""
    from fsrf_jax.experiments.room import make_room

    yield
    make_room()


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """A finished run, shared by all tests: copy its folder before changing anything in it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    argv = (*TINY, "--output.directory", str(folder))
    done = call("train", *argv, "--output.progress", "true")
    assert done.status == 0, done.err
    return Trained(folder, argv, done.out)
