"""What the journal of a run, metrics.jsonl, holds: one line an epoch.

A line states a digest of itself, since a flipped bit may make another number of a number. Lines
without one, of version 0.2.0, are taken as they are.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fsrf_jax import sealed
from fsrf_jax.errors import RunError
from fsrf_jax.reading.limits import check_regular
from fsrf_jax.reading.text import parse_json

NAME = "metrics.jsonl"

DIGITS = 16
"""Of a line's digest: enough for damage, which nobody chose."""


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """What every epoch so far gave, in order; lines that were cut off or damaged are left out."""
    found = read_lines(folder / NAME)
    return [_content(found[epoch]) for epoch in sorted(found)]


def sealed_line(content: Mapping[str, float]) -> str:
    """A line of the journal, without its end, that states a digest of all else in it."""
    return json.dumps({**content, sealed.KEY: _digest(content)})


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
        epoch = _content(line).get("epoch")
    except RunError:
        return None
    return epoch if type(epoch) is int and epoch > 0 else None


def _content(line: str) -> dict[str, Any]:
    """What a line says, without its digest.

    Raises:
        RunError: it is none, or does not have the digest that it states.
    """
    found = parse_json(line, NAME, RunError)
    if not isinstance(found, dict):
        raise RunError(f"{NAME}: found {type(found).__name__}, expected an object.")
    stated = found.pop(sealed.KEY, None)
    if not all(type(value) in (int, float) for value in found.values()):
        raise RunError(f"{NAME}: found a line with what is no number.")
    if stated is not None and stated != _digest(found):
        raise RunError(f"{NAME}: found a line that does not have the digest that it states.")
    return found


def _digest(content: Mapping[str, Any]) -> str:
    return sealed.digest(content)[:DIGITS]
