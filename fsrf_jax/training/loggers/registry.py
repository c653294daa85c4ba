"""Which loggers there are, and those of one run together."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fsrf_jax.data.names import hint
from fsrf_jax.errors import ConfigError
from fsrf_jax.training.loggers.local import Csv, TensorBoard
from fsrf_jax.training.loggers.logger import Logger
from fsrf_jax.training.loggers.trackers import Mlflow, Wandb

if TYPE_CHECKING:
    from fsrf_jax.training.loop import EpochRecord

LOGGERS: dict[str, Callable[[Path, Mapping[str, Any], int], Logger]] = {
    "tensorboard": TensorBoard,
    "csv": Csv,
    "wandb": Wandb,
    "mlflow": Mlflow,
}

NEEDED = {"wandb": "init", "mlflow": "MlflowClient"}
"""What has to be found in the package of an extra of the same name."""


def check_names(names: Sequence[str]) -> None:
    """Raise a ValueError that begins with `loggers` unless these are different known names."""
    for name in names:
        if name not in LOGGERS:
            known = ", ".join(LOGGERS)
            near = hint(name, LOGGERS) or "."
            raise ValueError(f"loggers: found {name!r}, expected some of {known}{near}")
    if len(set(names)) < len(names):
        raise ValueError(f"loggers: found {list(names)!r}, expected different names.")


def check_packages(names: Sequence[str]) -> None:
    """Nothing, if all packages that these loggers need can be imported.

    Raises:
        ConfigError: one cannot.
    """
    for name in names:
        if name not in NEEDED:
            continue
        try:
            # A folder `wandb`, which W&B itself may have made here, can be imported too.
            getattr(importlib.import_module(name), NEEDED[name])
        except Exception as error:  # packages that do not fit each other raise anything
            raise ConfigError(
                f"output.loggers: found {name}, but its package cannot be imported "
                f'({_first_line(error)}): pip install "fsrf-jax[{name}]", or leave it out.'
            ) from error


class Loggers:
    """The loggers of one run. What one of them raises is one warning, and ends that one alone.

    A context: leaving it closes them. They are opened by `open` alone, since a run that is only
    shown again has nothing to log; all else does nothing before that.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: Mapping[str, Any]) -> None:
        self._asked = names, folder, config
        self._open: dict[str, Logger] = {}

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._each("close", kind is not None)
        self._open.clear()

    def open(self, epochs_done: int) -> None:
        """Open all of them; see `Logger`.

        Raises:
            ConfigError: the package of one cannot be imported.
        """
        names, folder, config = self._asked
        check_packages(names)
        for name in names:
            try:
                self._open[name] = LOGGERS[name](folder, config, epochs_done)
            except Exception as error:
                _warn(name, error)

    def log(self, record: "EpochRecord") -> None:
        """Give all of them an epoch."""
        self._each("log", record)

    def results(self, figures: Mapping[str, float]) -> None:
        """Give all of them what the trained network reached."""
        self._each("results", figures)

    def _each(self, what: str, argument: Any) -> None:
        for name, logger in list(self._open.items()):
            try:
                getattr(logger, what)(argument)
            except Exception as error:
                del self._open[name]
                _warn(name, error)


def _warn(name: str, error: Exception) -> None:
    print(
        f"warning: the logger {name} failed ({_first_line(error)}): it logs no more of this run; "
        "training goes on, and metrics.jsonl has every epoch",
        file=sys.stderr,
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
