"""What the commands that train several networks, `ablate` and `rank`, do with their arguments."""

from collections.abc import Collection, Sequence

from fsrf_jax.errors import ConfigError


def without(
    argv: Sequence[str], options: Collection[str], flags: Collection[str] = ()
) -> list[str]:
    """The arguments that make the base config, without those of the command alone.

    Args:
        argv: all arguments.
        options: those that have a value, such as `--seeds`.
        flags: those that have none.
    """
    kept, skip = [], False
    for argument in argv:
        if skip:
            skip = False
        elif argument in options:
            skip = True
        elif argument not in flags and argument.partition("=")[0] not in options:
            kept.append(argument)
    return kept


def check_counts(*, seeds: int, together: int) -> None:
    """Refuse no seed, and a negative number of networks at a time."""
    for name, value, least in (("seeds", seeds, 1), ("together", together, 0)):
        if value < least:
            raise ConfigError(f"--{name}: found {value}, expected at least {least}.")
