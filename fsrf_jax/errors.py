"""What goes wrong through the user's input: one clear message and an exit status, no traceback.

Every message says what was found, what was expected, and what to do.

Example:
    >>> try:
    ...     fsrf_jax.load("nothing")
    ... except fsrf_jax.errors.UserError as error:
    ...     print(type(error).__name__, error.status)
    RunError 2
"""

import signal


class UserError(Exception):
    """A problem that the user can mend; the commands print it and exit with `status`."""

    status = 1


class ConfigError(UserError):
    """A key, type or value of the configuration is wrong."""

    status = 2


class NoCodesError(UserError):
    """A method does not have the codes that something asks for."""


class DataError(UserError):
    """A data file cannot be read, or what it holds cannot be used."""


class OutOfMemory(UserError):
    """What was asked for needs more memory than there is."""


class WriteError(UserError):
    """A file cannot be written: the disk is full, its folder is gone, or is not ours to write."""


class InterruptedTraining(Exception):
    """Training was asked to stop by a signal; the state is saved, and the same call goes on."""

    def __init__(self, signum: int, epoch: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} after epoch {epoch}")
        self.status = 128 + signum


class RunError(UserError):
    """A run folder cannot be used: it belongs to another config, or a checkpoint is damaged."""

    status = 2
