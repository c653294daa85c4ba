"""The journal of a run, metrics.jsonl: one line an epoch, which resuming and reports rely on."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsrf_jax.errors import RunError
from fsrf_jax.files import write_text
from fsrf_jax.reading.text import parse_json, read_text

if TYPE_CHECKING:
    from fsrf_jax.training.loop import EpochRecord

NAME = "metrics.jsonl"


@contextlib.contextmanager
def open_journal(folder: Path, epochs_done: int) -> "Iterator[Callable[[EpochRecord], None]]":
    """A function that writes an epoch's record.

    Args:
        folder: the run folder.
        epochs_done: epochs behind the state that training goes on from; lines of later epochs,
            written before an interruption, are dropped, since these epochs are done again.
    """
    lines = folder / NAME
    if lines.exists():
        kept = [line for line in _lines(lines) if _epoch(line) <= epochs_done]
        write_text(lines, "".join(f"{line}\n" for line in kept))

    def write(record: "EpochRecord") -> None:
        with lines.open("a") as file:
            file.write(json.dumps(line_of(record)) + "\n")

    yield write


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """What every epoch so far gave; a line that was cut off is left out."""
    path = folder / NAME
    lines = _lines(path) if path.exists() else []
    return [parse_json(line, NAME, RunError) for line in lines if _epoch(line) < float("inf")]


def line_of(record: "EpochRecord") -> dict[str, float]:
    """What a line of the journal holds: epoch, errors, bad steps, and every term."""
    head = {
        "epoch": record.epoch,
        "validation_error": record.validation_error,
        "best_epoch": record.best_epoch,
        "bad_steps": record.bad_steps,
    }
    return head | record.terms


def _lines(path: Path) -> list[str]:
    return read_text(path, RunError).splitlines()


def _epoch(line: str) -> float:
    """The epoch of a line; a line that was cut off belongs to no epoch."""
    try:
        return float(parse_json(line, NAME, RunError)["epoch"])
    except (RunError, ValueError, KeyError, TypeError):
        return float("inf")
