"""What Orbax and TensorStore print when they fail, from threads, left out: one reason is enough."""

import asyncio
import contextlib
import gc
import logging
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

from fsrf_jax.errors import WriteError


class Failure(Exception):
    """Something of Orbax failed: the first line of what it raised."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Run something of Orbax; whatever it raises becomes one `Failure`, with nothing printed.

    Raises:
        Failure: it failed.
    """
    with quiet():
        try:
            yield
            return
        except Exception as error:  # Orbax, TensorStore and JSON each raise errors of their own
            reason = _first_line(error)
            traceback.clear_frames(error.__traceback__)
        # Orbax gives up at the first error and leaves work under way and coroutines behind.
        time.sleep(0.2)
        gc.collect()
    raise Failure(reason)


_SILENCE = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the many tracebacks that a failed call prints with the error it raises.

    They come from threads, collected coroutines, loggers and warnings, before and after it.
    """

    def drop(*_: Any) -> bool:
        return False

    loggers = [logging.getLogger("absl"), logging.getLogger("asyncio")]
    # Hooks belong to the process: of two threads, one would put back the other's silence for good.
    with _SILENCE:
        hooks = sys.excepthook, sys.unraisablehook
        sys.excepthook = sys.unraisablehook = drop
        for logger in loggers:
            logger.addFilter(drop)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                yield
        finally:
            sys.excepthook, sys.unraisablehook = hooks
            for logger in loggers:
                logger.removeFilter(drop)


@contextlib.contextmanager
def quiet_saving() -> Iterator[None]:
    """Leave out what the threads of a failed save print meanwhile: `wait` raises the reason."""

    def keep(record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname

    loops: Any = asyncio.BaseEventLoop
    before = loops.call_soon_threadsafe

    def call_soon_threadsafe(loop: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return before(loop, *arguments, **options)
        except RuntimeError:
            # Orbax gives up at the first error and closes its loop; TensorStore then reports every
            # other write to it, and prints what is raised here, past all hooks.
            if loop.is_closed():
                return None
            raise

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    loops.call_soon_threadsafe = call_soon_threadsafe
    failed = False
    try:
        yield
    except WriteError:
        failed = True  # its threads may be heard of until the process ends
        raise
    finally:
        logger.removeFilter(keep)
        if not failed and loops.call_soon_threadsafe is call_soon_threadsafe:
            loops.call_soon_threadsafe = before


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = line.partition(" [tensorstore_spec")[0]
    # TensorStore begins with the file and ends with the cause.
    return line if len(line) <= 300 else f"{line[:100]} ... {line[-200:]}"
