"""Progress: of a training run a bar on a terminal or in a notebook, a line an epoch elsewhere; of
reading, checking and writing a line on a terminal.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fsrf_jax.training.loop import EpochRecord

Say = Callable[[str], None]
"""Is given a line about what happens."""

BAR_WIDTH = 30  # characters, in a notebook


def silent(line: str) -> None:
    """Say nothing."""
    del line


@contextlib.contextmanager
def training_progress(
    console: Console, epochs_done: int, epochs: int, *, shown: bool
) -> Iterator[Callable[[EpochRecord], None]]:
    """A function to call with every epoch's record; it shows nothing unless `shown`."""
    if not shown:
        yield lambda record: None
    elif console.is_terminal:
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("compiling", total=epochs, completed=epochs_done)

            def advance(record: EpochRecord) -> None:
                progress.update(task, completed=record.epoch, description=_summary(record))

            yield advance
    elif console.is_jupyter:
        from IPython.display import display  # which a notebook has

        def plain(epoch: int, text: str) -> dict[str, str]:
            done = BAR_WIDTH * epoch // epochs
            bar = "█" * done + "░" * (BAR_WIDTH - done)
            return {"text/plain": f"training {bar} {epoch}/{epochs}  {text}"}

        # One line that changes: widgets need another package, and are lost in a saved notebook.
        line = display(plain(epochs_done, "compiling"), raw=True, display_id=True)

        def redraw(record: EpochRecord) -> None:
            line.update(plain(record.epoch, _summary(record)), raw=True)

        yield redraw
    else:
        ends: list[float] = []

        def write(record: EpochRecord) -> None:
            ends.append(time.monotonic())
            line = f"epoch {record.epoch}/{epochs}  {_summary(record)}"
            if len(ends) > 1:  # the first epoch's time is that of compilation
                left = (ends[-1] - ends[0]) / (len(ends) - 1) * (epochs - record.epoch)
                line += f"  {left:.0f} s left"
            console.out(line, highlight=False)

        yield write


@contextlib.contextmanager
def steps(console: Console, after: float = 2.0) -> Iterator[Callable[[str], None]]:
    """A function to call with what is done next.

    A terminal shows it, with the time, if all together takes longer than `after` seconds; the line
    is gone at the end.
    """
    if not console.is_interactive:
        yield lambda what: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task("")
    timer = threading.Timer(after, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda what: progress.update(task, description=what)
    finally:
        timer.cancel()
        timer.join()
        progress.stop()


def _summary(record: EpochRecord) -> str:
    # Without terms where all steps were bad.
    loss = f"loss {record.terms['total']:.4f}" if record.terms else "no loss"
    bad = f"  {record.bad_steps} bad steps" if record.bad_steps else ""
    return (
        f"{loss}  validation error {record.validation_error:.4f} "
        f"(best after epoch {record.best_epoch}){bad}"
    )
