"""Where epochs are written beside the journal: the loggers of `output.loggers`."""

from fsrf_jax.training.loggers.logger import Logger, scalars
from fsrf_jax.training.loggers.registry import LOGGERS, Loggers, check_names, check_packages

__all__ = ["LOGGERS", "Logger", "Loggers", "check_names", "check_packages", "scalars"]
