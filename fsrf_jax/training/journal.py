"""What a run writes down while it trains: metrics.jsonl and TensorBoard events."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tensorboard.summary import Writer

from fsrf_jax.errors import RunError
from fsrf_jax.files import write_text
from fsrf_jax.reading.text import parse_json, read_text
from fsrf_jax.training.loop import EpochRecord


@contextlib.contextmanager
def open_journal(folder: Path, epochs_done: int) -> Iterator[Callable[[EpochRecord], None]]:
    """A function that writes an epoch's record to both.

    Args:
        folder: the run folder.
        epochs_done: epochs behind the state that training goes on from; lines of later epochs,
            written before an interruption, are dropped from metrics.jsonl, since these epochs are
            done again; their TensorBoard events stand twice, with equal values.
    """
    lines = folder / "metrics.jsonl"
    if lines.exists():
        kept = [
            line for line in read_text(lines, RunError).splitlines() if _epoch(line) <= epochs_done
        ]
        write_text(lines, "".join(f"{line}\n" for line in kept))
    writer = Writer(str(folder / "tensorboard"))

    def write(record: EpochRecord) -> None:
        head = {
            "epoch": record.epoch,
            "validation_error": record.validation_error,
            "best_epoch": record.best_epoch,
        }
        with lines.open("a") as file:
            file.write(json.dumps(head | record.terms) + "\n")
        writer.add_scalar("validation/error", record.validation_error, record.epoch)
        for name, value in record.terms.items():
            writer.add_scalar(f"training/{name}", value, record.epoch)

    try:
        yield write
    finally:
        writer.close()


def _epoch(line: str) -> float:
    """The epoch of a line; a line that was cut off belongs to no epoch."""
    try:
        return float(parse_json(line, "metrics.jsonl", RunError)["epoch"])
    except (RunError, ValueError, KeyError, TypeError):
        return float("inf")
