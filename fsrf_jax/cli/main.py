"""How every command ends: a status, and one message in place of a traceback."""

import logging
import sys
from collections.abc import Callable, Sequence

from fsrf_jax.errors import UserError


def guarded(command: Callable[[Sequence[str]], int]) -> Callable[[], int]:
    """A console entry point: runs the command on sys.argv and turns errors into a status.

    0 done, 1 a problem with the data, 2 one with the config or the run folder, 130 and 143
    stopped by SIGINT and SIGTERM.
    """

    def main() -> int:
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax tells of every file it writes
        try:
            return command(sys.argv[1:])
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.status
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; what is saved stays in the run folder", file=sys.stderr)
            return 130

    return main
