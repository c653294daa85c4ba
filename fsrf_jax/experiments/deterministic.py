"""The same bytes from the same command on a GPU, where XLA otherwise chooses among what is fast."""

import os

import jax
from jax._src import xla_bridge  # nothing public says whether JAX has started

from fsrf_jax.errors import ConfigError

FLAG = "--xla_gpu_deterministic_ops=true"
"""No operation whose sums have no fixed order, and no choice of kernels by measured times."""


def ask_for_determinism() -> None:
    """Ask XLA for determinism on GPUs, for all programs of this process; elsewhere it is there.

    Raises:
        ConfigError: JAX has started on a GPU without being asked for it, and reads no flags again.
    """
    if FLAG in os.environ.get("XLA_FLAGS", "").split():
        return
    if not xla_bridge.backends_are_initialized():
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAG}".strip()
    elif jax.default_backend() == "gpu":
        raise ConfigError(
            "training.deterministic: JAX has already started on a GPU, expected to be asked "
            f"before: set XLA_FLAGS={FLAG} in the environment of the program, or train before "
            "anything else uses JAX."
        )
