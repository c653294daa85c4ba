"""Multimodal sentiment analysis with missing frames and modalities, in JAX.

`train` makes a `Run` from a `Config`, `load` opens one again, and `evaluate` tests it under a
protocol. What runs are made of are pure functions, for use alone: `losses`, `missing`, `metrics`
and `methods`. `errors` are what is raised. All else may change without notice.
"""

import importlib
import os
import tempfile
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsrf_jax import errors as errors
    from fsrf_jax import losses as losses
    from fsrf_jax import methods as methods
    from fsrf_jax import missing as missing
    from fsrf_jax.api import Run as Run
    from fsrf_jax.api import evaluate as evaluate
    from fsrf_jax.api import load as load
    from fsrf_jax.api import train as train
    from fsrf_jax.config import Config as Config
    from fsrf_jax.evaluation import metrics as metrics
    from fsrf_jax.experiments.model import Model as Model

    __version__: str

_HOMES = {
    "Config": "fsrf_jax.config",
    "Model": "fsrf_jax.experiments.model",
    "Run": "fsrf_jax.api",
    "errors": "fsrf_jax",
    "evaluate": "fsrf_jax.api",
    "load": "fsrf_jax.api",
    "losses": "fsrf_jax",
    "methods": "fsrf_jax",
    "metrics": "fsrf_jax.evaluation",
    "missing": "fsrf_jax",
    "train": "fsrf_jax.api",
}

__all__ = sorted(_HOMES)

try:
    tempfile.gettempdir()
except FileNotFoundError:
    # chex imports the tests of absl, which ask where temporary files may lie and write none.
    os.environ.setdefault("TEST_TMPDIR", os.devnull)


def __getattr__(name: str) -> Any:
    """What is public, imported when it is asked for: a reader of data needs no JAX."""
    if name == "__version__":
        return metadata.version("fsrf-jax")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("errors", "losses", "methods", "metrics", "missing"):
        return importlib.import_module(f"{home}.{name}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__, "__version__"]
