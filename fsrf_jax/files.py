"""Files and folders, written whole or not at all."""

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsrf_jax.errors import WriteError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`, and move it there only if all went well.

    A temporary file that a killed process left for the same `path` is removed first.

    Raises:
        WriteError: it cannot be written.
    """
    with writing(path):
        _remove_left(path)
        temporary = _temporary(path)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of writing into one message; one that names another file stays as it is.

    Raises:
        WriteError: `path` cannot be written.
    """
    try:
        yield
    except OSError as error:
        named = str(error.filename or path)
        own = (str(path), *map(str, path.parents))  # a folder above it may not be there
        if named not in own and not named.startswith(str(_temporary(path))):
            raise
        raise WriteError(
            f"{path}: cannot be written: {error.strerror or error}: make room, or look after the "
            "folder and its rights."
        ) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder next to `path`, and rename it to that only if all went well.

    What a killed process left for the same `path` is removed first.

    Raises:
        WriteError: it cannot be written, or there is something at `path` already.
    """
    temporary = _temporary(path)
    with writing(path):
        _remove_left(path)
        temporary.mkdir()
        try:
            yield temporary
            temporary.rename(path)
        except WriteError as error:  # of a file in it
            raise WriteError(str(error).replace(temporary.name, path.name)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _remove_left(path: Path) -> None:
    """Remove what processes that do not run any more have left for `path`."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = part.name.split(".")[-2]
        if number.isdecimal() and not _another_runs(int(number)):
            with contextlib.suppress(OSError):
                shutil.rmtree(part) if part.is_dir() else part.unlink()


def _another_runs(number: int) -> bool:
    """Whether a process of that number runs, other than this one: numbers come again."""
    if number == os.getpid():
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        return True
    return True


def is_text(text: str) -> bool:
    """Whether it can be written in UTF-8; the name of a file need not be of that."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8 whatever the locale."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")
