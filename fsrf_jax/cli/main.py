"""How every command ends: a status, and one message in place of a traceback."""

import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence

import jax

from fsrf_jax import hosts
from fsrf_jax.cli.programs import keep_programs
from fsrf_jax.errors import UserError
from fsrf_jax.reading.limits import memory_at_hand, readable

_LONGEST = 10_000
_BUILDS = {"cuda": "jax[cuda13]", "gpu": "jax[cuda13]", "tpu": "jax[tpu]"}


def guarded(command: Callable[[Sequence[str]], int]) -> Callable[[], int]:
    """A console entry point: runs the command on sys.argv and turns errors into a status.

    0 done, 1 a problem with the data or memory, 2 one with the config, the run folder or the
    platform asked for, 130 and 143 stopped by SIGINT and SIGTERM.
    """

    def main() -> int:
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax tells of every file it writes
        for stream in (sys.stdout, sys.stderr):
            # A terminal may know less than UTF-8, and the name of a file need not be of that.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        keep_programs()
        try:
            return command(sys.argv[1:])
        except (Exception, KeyboardInterrupt) as error:
            if hosts.count() == 1:
                return _said(error)
            try:
                status = _said(error)
            except Exception:
                traceback.print_exc()
                status = 1
            hosts.leave(status)

    return main


def _said(problem: BaseException) -> int:
    """The status of a problem, with its message printed; what nobody expects is raised again."""
    try:
        raise problem
    except UserError as error:
        print(f"error: {str(error)[:_LONGEST]}", file=sys.stderr)  # it may quote a file
        return error.status
    except Exception as error:
        if not hosts.is_lost(error):
            return _said_of_machine(error)
        print(
            "error: another process of this training has ended, or cannot be reached, see what it "
            f"said ({str(error).strip()[:300]}). The same command, in any number of processes, "
            "goes on from the last checkpoint.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted; what is saved stays in the run folder", file=sys.stderr)
        return 130


def _said_of_machine(problem: Exception) -> int:
    """The same of what a disk, the memory or a platform causes."""
    try:
        raise problem
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        device = isinstance(error, jax.errors.JaxRuntimeError)
        if device and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(f"error: {_short_of_memory(str(error), device)}", file=sys.stderr)
        return 1
    except (AssertionError, RuntimeError) as error:
        if not (asked := os.environ.get("JAX_PLATFORMS")) or not _without_platform(error):
            raise
        print(f"error: {_other_platform(asked)}", file=sys.stderr)
        return 2


def _without_platform(error: Exception) -> bool:
    """Whether JAX could not start, which is a bare assertion where it sees no NVIDIA GPU."""
    if isinstance(error, RuntimeError):
        return "Unable to initialize backend" in str(error)
    try:
        jax.devices()
    except AssertionError:
        return True
    return False


def _other_platform(asked: str) -> str:
    """What was asked for, what there is, and what to do. JAX starts anew."""
    logging.disable()  # JAX tells of hardware that it cannot use
    jax.config.update("jax_platforms", None)
    found = jax.default_backend()
    builds = [build for name, build in _BUILDS.items() if name in asked.split(",")]
    install = f", or install {' and '.join(builds)} where there is such a device" if builds else ""
    return (
        f"JAX_PLATFORMS={asked}: JAX cannot use it here, found {found}: set JAX_PLATFORMS={found}"
        f"{install}"
    )


def _short_of_memory(problem: str, device: bool) -> str:
    """What ran out, how much was asked for, and what to lower."""
    asked = re.search(r"allocat\w* ([\d.]+) ?(\w+)", problem)
    amount = ""
    if asked:
        count, unit = asked.groups()
        amount = readable(float(count)) if unit == "bytes" else f"{count} {unit}"
    wanted = amount and f", which was asked for {amount} more"
    if device:
        lower = "training.batch_size, model.width or model.encoder_layers"
        return f"the memory of the device ran out{wanted}: lower {lower}, or give fewer samples"
    return (
        f"memory ran out{wanted}, and has {readable(memory_at_hand())} left: read fewer modalities "
        "(data.modalities), shorten the sequences, or lower training.batch_size"
    )
