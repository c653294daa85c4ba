"""Compiled programs are kept from one command to the next, in the user's cache folder.

Compiling is most of the time to a run's first step. JAX keeps the programs; here stands where, and
what makes that safe with several commands at a time, kills and several machines.
"""

import hashlib
import os
import platform
import warnings
from pathlib import Path

import filelock
import jax
import platformdirs

LARGEST = 2**30
"""Bytes of all programs; beyond it the one that was not used for longest goes."""

DECISIONS = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
"""Variables of JAX by which the user decides otherwise."""


def keep_programs() -> Path | None:
    """Keep what JAX compiles from now on; gives the folder.

    None, and nothing changes, if the user has decided otherwise or no folder can be written.
    """
    decided = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if decided or any(name in os.environ for name in DECISIONS):
        return None
    folder = (
        Path(platformdirs.user_cache_dir("fsrf_jax", appauthor=False)) / "programs" / _machine()
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not folder.is_absolute() or not os.access(folder, os.W_OK):
            return None
        _sweep(folder)
    except (OSError, filelock.Timeout):
        return None
    # With a largest size JAX holds a lock while it reads and writes.
    jax.config.update("jax_compilation_cache_max_size", LARGEST)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # A program that cannot be kept, or read, is compiled: nothing that a user could do.
    for verb in ("reading", "writing"):
        warnings.filterwarnings("ignore", f"Error {verb} persistent compilation cache")
    return folder


def _machine() -> str:
    """A name for this kind of machine: programs of one CPU may be illegal on another."""
    known = [platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        known += sorted({line for line in lines if line.startswith(("flags", "Features", "model"))})
    except OSError:
        pass  # not Linux
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def _sweep(folder: Path) -> None:
    """Take away what a killed process has half written: the file of its time comes last."""
    with filelock.FileLock(folder / ".lockfile", timeout=10):
        for program in folder.glob("*-cache"):
            if not program.with_name(program.name.removesuffix("-cache") + "-atime").exists():
                program.unlink()
