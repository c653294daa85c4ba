"""What goes wrong through the user's input: one clear message and an exit status, no traceback.

Every message says what was found, what was expected, and what to do.
"""


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


class RunError(UserError):
    """A run folder cannot be used: it belongs to another config, or a checkpoint is damaged."""

    status = 2
