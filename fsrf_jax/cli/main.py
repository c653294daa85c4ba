"""How every command ends: a status, and one message in place of a traceback."""

import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

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
            answer = _answer(error)
            if answer is None and hosts.count() == 1:
                raise
            if answer is None:
                traceback.print_exc()
            else:
                print(answer.message, file=sys.stderr)
            status = 1 if answer is None else answer.status
            if hosts.count() > 1:
                hosts.leave(status)
            return status

    return main


class _Answer(NamedTuple):
    message: str
    status: int


def _answer(error: BaseException) -> _Answer | None:
    """What is said of an error; None of one that nobody expects."""
    if isinstance(error, UserError):
        return _Answer(f"error: {str(error)[:_LONGEST]}", error.status)  # it may quote a file
    if isinstance(error, KeyboardInterrupt):
        return _Answer("interrupted; what is saved stays in the run folder", 130)
    if hosts.is_lost(error):
        message = (
            "error: another process of this training has ended, or cannot be reached, see what it "
            f"said ({str(error).strip()[:300]}). The same command, in any number of processes, "
            "goes on from the last checkpoint."
        )
        return _Answer(message, 1)
    if isinstance(error, OSError):
        return _Answer(f"error: {error}", 1)
    device = isinstance(error, jax.errors.JaxRuntimeError)
    if isinstance(error, MemoryError) or (device and "RESOURCE_EXHAUSTED" in str(error)):
        return _Answer(f"error: {_short_of_memory(str(error), device)}", 1)
    asked = os.environ.get("JAX_PLATFORMS")
    may_be = isinstance(error, AssertionError | RuntimeError) and not device
    if asked and may_be and _without_platform(error):
        return _Answer(f"error: {_other_platform(asked)}", 2)
    return None


def _without_platform(error: BaseException) -> bool:
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
