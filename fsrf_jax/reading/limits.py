"""What a file may ask for: a regular file, bounded depth and expansion, memory that is there.

A bomb is content that would take more than `BOMB_BYTES` and more than `BOMB_RATIO` times the
file's size. What is shared inside a file (aliases, references) counts as often as it is used.
"""

import contextlib
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fsrf_jax.errors import DataError, OutOfMemory, UserError
from fsrf_jax.reading import signature

MAX_DEPTH = 100
BOMB_BYTES = 10**9
BOMB_RATIO = 100
_CGROUP = Path("/sys/fs/cgroup")


def check_regular(path: Path, error: type[UserError] = DataError, key: str = "") -> int:
    """The size in bytes of a file that can be opened without waiting for anybody.

    Args:
        path: the file.
        error: what is raised.
        key: the option that names the file, for messages.

    Raises:
        UserError: there is no such file, or it is a folder, a pipe or a device, or not readable.
    """
    where = f"{key}: " if key else ""
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            path.open("rb").close()
    except FileNotFoundError:
        raise error(f"{where}found no file {path}.") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        raise error(f"{where}{path}: cannot be read: {problem}") from None
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
    raise error(f"{where}found no file {path}: it is {kind}; expected a regular file.")


def most_bytes(size: int) -> int:
    """What the content of a file of that size may take, in bytes."""
    return max(BOMB_BYTES, BOMB_RATIO * size)


def check_expansion(path: Path, wanted: int, error: type[UserError] = DataError) -> None:
    """Refuse content of `wanted` bytes if that makes the file a bomb."""
    size = path.stat().st_size
    if wanted > most_bytes(size):
        raise error(
            f"{path}: is not read: its {readable(size)} would become {readable(wanted)}; expected "
            f"at most {BOMB_RATIO} times the file or {readable(BOMB_BYTES)}: it is damaged, or "
            "made to do harm"
        )


def check_memory(path: Path, wanted: int) -> None:
    """Refuse to read `wanted` bytes that the machine does not have.

    Raises:
        OutOfMemory: it names how much is needed and how much is there.
    """
    check_wanted(wanted, f"{path}: ")


def check_wanted(wanted: int, where: str = "") -> None:
    """As `check_memory`, of what lies in no one file."""
    free = memory_at_hand()
    if wanted > free:
        raise OutOfMemory(
            f"{where}reading it needs {readable(wanted)} of memory, found {readable(free)}: read "
            "fewer modalities (data.modalities), shorten the sequences, or use a larger machine"
        )


def memory_at_hand() -> int:
    """Bytes that this process can still take: of the machine, its control group and its limits."""
    with contextlib.suppress(OSError):
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
        return min(free, _left_in_groups(), _left_of_addresses())
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else 2**63


def _left_in_groups() -> int:
    """What the control groups (version 1 or 2) leave; page cache counts as free."""
    left = 2**63
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = _CGROUP / controllers
        place = top / name.strip("/")
        for folder in (place, *place.parents):
            if not folder.is_relative_to(top):
                break
            for most, used in (
                ("memory.max", "memory.current"),
                ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            ):
                with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                    limit, taken = (int((folder / f).read_text()) for f in (most, used))
                    left = min(left, limit - taken + _cached(folder / "memory.stat"))
    return max(left, 0)


def _cached(path: Path) -> int:
    lines = dict(line.split() for line in path.read_text().splitlines())
    return sum(int(lines.get(key, 0)) for key in ("inactive_file", "active_file"))


def _left_of_addresses() -> int:
    """What `ulimit -v` leaves."""
    import resource  # not on every system; those that have /proc have it

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return 2**63
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return max(limit - pages * resource.getpagesize(), 0)


def readable(count: float) -> str:
    """Bytes in words: 1234567 is `1.2 MB`; what is beyond counting is `endless data`."""
    if math.isinf(count):
        return "endless data"
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB" if count < 1e6 else f"{count:.0e} TB"


class Refused(Exception):
    """Why content is not read although the file may be whole."""


@contextlib.contextmanager
def one_message(path: Path, kind: str, error: type[UserError] = DataError) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file of that kind into one message.

    A damaged file is random input to its library, which can fail with almost any exception.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as problem:
        if signature.turned(path):
            raise error(
                f"{path}: cannot be read: it looks like a transfer in text mode that turned line "
                "ends; expected the file as it was, so copy it again in binary mode"
            ) from None
        if isinstance(problem, Refused):
            raise error(f"{path}: is not read: {problem}") from None
        reason = " ".join(str(problem).split())[:300] or type(problem).__name__
        raise error(
            f"{path}: cannot be read as {kind} ({reason}): found {signature.describe(path)}; "
            "expected a complete file, so download, export or prepare it again"
        ) from None
