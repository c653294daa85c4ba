"""Writing the journal of a run, metrics.jsonl, whose lines stay whole and in order."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fsrf_jax.errors import WriteError
from fsrf_jax.files import write_text, writing
from fsrf_jax.journal import NAME, describe_gaps, read_lines, sealed_line

if TYPE_CHECKING:
    from fsrf_jax.training.loop import EpochRecord


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
    kept = {epoch: line for epoch, line in read_lines(path).items() if epoch <= epochs_done}
    if path.exists():
        write_text(path, "".join(f"{kept[epoch]}\n" for epoch in sorted(kept)))
    if gaps := describe_gaps(kept, epochs_done):
        say(f"{path} {gaps}; training does not depend on it.")

    begun = path.exists()

    def write(record: "EpochRecord") -> None:
        nonlocal begun
        if begun and not path.exists():
            # Made anew it would hide that the folder was removed in the middle of the run.
            raise WriteError(
                f"{path}: is gone, and maybe more of the run with it: expected the run's folder "
                "to stay while it trains; give the same command again."
            )
        begun = True
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(sealed_line(line_of(record)) + "\n")

    yield write


def line_of(record: "EpochRecord") -> dict[str, float]:
    """What a line of the journal holds: epoch, errors, bad steps, and every term."""
    head = {
        "epoch": record.epoch,
        "validation_error": record.validation_error,
        "best_epoch": record.best_epoch,
        "bad_steps": record.bad_steps,
    }
    return head | record.terms
