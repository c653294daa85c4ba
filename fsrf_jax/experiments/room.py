"""Room for compiled programs, where one process trains many networks.

JAX keeps every program that it has compiled. On Linux each holds some hundred memory maps, and a
process that reaches the kernel's limit on them dies within the compiler, without a message.
"""

from pathlib import Path

import jax

MAPS = Path("/proc/self/maps")
"""The memory maps of this process, a line each."""
LIMIT = Path("/proc/sys/vm/max_map_count")
"""The kernel's limit on their number; 65,530 by default."""
MOST = 0.4
"""Share of the limit from which on programs go: a training adds about a twentieth."""


def make_room() -> bool:
    """Let all compiled programs go if they are many; what is needed again is compiled, or cached.

    Returns:
        Whether they went; never where the system has no such limit.
    """
    try:
        limit, maps = int(LIMIT.read_text("ascii")), MAPS.read_bytes().count(b"\n")
    except (OSError, ValueError):
        return False
    if maps <= MOST * limit:
        return False
    jax.clear_caches()
    return True
