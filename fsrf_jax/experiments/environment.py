"""Which program this is, and which one trained a run."""

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from fsrf_jax.evaluation.environment_file import read_environment
from fsrf_jax.evaluation.results import Program

PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "chex", "numpy", "fsrf-jax")


def own_program() -> Program:
    """This program: its commit and the versions of what it computes with."""
    return {
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in PACKAGES},
        "commit": _own_commit(),
    }


def trained_by(folder: Path) -> tuple[Program | None, str | None]:
    """The program that trained a run, and the fingerprint of its data; None where it is unknown.

    Raises:
        RunError: environment.json is damaged.
    """
    found: Any = read_environment(folder)
    if found is None:
        return None, None
    program: Program | None = None
    if Program.__required_keys__ <= found.keys():
        program = {key: found[key] for key in ("python", "versions", "commit")}  # type: ignore[assignment]
    return program, found.get("data_fingerprint")


@functools.cache  # what runs is what was there at the start
def _own_commit() -> str | None:
    return _commit(Path(__file__).parents[2])


def _commit(checkout: Path) -> str | None:
    """The commit of this program, with -changed behind it if files differ from it.

    None where it does not run from a git checkout of its own, or there is no git.
    """
    if not (checkout / ".git").exists():
        return None
    # Without a lock on the index, which a killed process would leave there.
    git = ("git", "--no-optional-locks", "-C", str(checkout))
    try:
        head, status = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.strip() + ("-changed" if status else "")
