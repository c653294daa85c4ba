"""What the journal of a run, metrics.jsonl, holds: one line an epoch."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from fsrf_jax.errors import RunError
from fsrf_jax.reading.limits import check_regular
from fsrf_jax.reading.text import parse_json

NAME = "metrics.jsonl"


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """What every epoch so far gave, in order; lines that were cut off or damaged are left out."""
    found = read_lines(folder / NAME)
    return [parse_json(found[epoch], NAME, RunError) for epoch in sorted(found)]


def describe_gaps(found: Collection[int], epochs_done: int) -> str:
    """Which of the epochs done are not among those found, in words; empty if all are."""
    gaps: list[tuple[int, int]] = []
    for epoch in range(1, epochs_done + 1):
        if epoch not in found:
            first = gaps.pop()[0] if gaps and gaps[-1][1] == epoch - 1 else epoch
            gaps.append((first, epoch))
    if not gaps:
        return ""
    words = [str(first) if first == last else f"{first} to {last}" for first, last in gaps]
    one = len(gaps) == 1 and gaps[0][0] == gaps[0][1]
    return f"lacks epoch{'' if one else 's'} {', '.join(words)}"


def read_lines(path: Path) -> dict[int, str]:
    """The whole lines of a journal by their epoch; of two lines of one epoch the later."""
    if not path.exists():
        return {}
    check_regular(path, RunError)
    # A byte that is no text damages its line alone.
    text = path.read_text("utf-8", errors="replace")
    return {epoch: line for line in text.splitlines() if (epoch := _epoch(line)) is not None}


def _epoch(line: str) -> int | None:
    """The epoch of a line; None if it is not a whole one."""
    try:
        found = parse_json(line, NAME, RunError)
    except RunError:
        return None
    if not isinstance(found, dict):
        return None
    numbers = all(type(value) in (int, float) for value in found.values())
    epoch = found.get("epoch")
    return epoch if numbers and type(epoch) is int and epoch > 0 else None
