"""The clock: programs in turn, so that whatever else a machine does harms all of them alike."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Program = Callable[[], None]
"""Does its work once, and returns when it is done."""


def interleaved(
    programs: Mapping[str, Program], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of every program in each round, a, b, a, b, ..., after a round that is not timed."""
    for program in programs.values():
        program()
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            begun = clock()
            program()
            seconds[name].append(clock() - begun)
    return seconds


def forget_peak() -> None:
    """Let `peak_memory` begin anew, at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory() -> float:
    """Peak of this process's resident memory, in MB."""
    # Not ru_maxrss, which a process has from the one that started it.
    status = Path("/proc/self/status").read_text("ascii")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) / 1024
