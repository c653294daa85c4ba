"""The journal of a run, metrics.jsonl: one line an epoch, which reports rely on."""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsrf_jax.errors import RunError
from fsrf_jax.files import write_text, writing
from fsrf_jax.reading.limits import check_regular
from fsrf_jax.reading.text import parse_json

if TYPE_CHECKING:
    from fsrf_jax.training.loop import EpochRecord

NAME = "metrics.jsonl"


@contextlib.contextmanager
def open_journal(
    folder: Path, epochs_done: int, say: Callable[[str], None]
) -> "Iterator[Callable[[EpochRecord], None]]":
    """A function that writes an epoch's record.

    Args:
        folder: the run folder.
        epochs_done: epochs behind the state that training goes on from; lines of later epochs,
            written before an interruption, are dropped, since these epochs are done again.
        say: is given a line on earlier epochs that are lost.
    """
    path = folder / NAME
    kept = {epoch: line for epoch, line in _lines(path).items() if epoch <= epochs_done}
    if path.exists():
        write_text(path, "".join(f"{kept[epoch]}\n" for epoch in sorted(kept)))
    if gaps := describe_gaps(kept, epochs_done):
        say(f"{path} {gaps}; training does not depend on it.")

    def write(record: "EpochRecord") -> None:
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line_of(record)) + "\n")

    yield write


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """What every epoch so far gave, in order; lines that were cut off or damaged are left out."""
    found = _lines(folder / NAME)
    return [json.loads(found[epoch]) for epoch in sorted(found)]


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


def line_of(record: "EpochRecord") -> dict[str, float]:
    """What a line of the journal holds: epoch, errors, bad steps, and every term."""
    head = {
        "epoch": record.epoch,
        "validation_error": record.validation_error,
        "best_epoch": record.best_epoch,
        "bad_steps": record.bad_steps,
    }
    return head | record.terms


def _lines(path: Path) -> dict[int, str]:
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
