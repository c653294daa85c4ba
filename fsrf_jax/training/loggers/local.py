"""Loggers that need nothing but the run folder."""

import csv
import functools
import io
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsrf_jax.files import write_text
from fsrf_jax.journal import read_journal
from fsrf_jax.training.journal import line_of
from fsrf_jax.training.loggers.logger import Logger, scalars

if TYPE_CHECKING:
    from fsrf_jax.training.loop import EpochRecord


class TensorBoard(Logger):
    """Events in RUN/tensorboard; epochs that come again stand there twice, with equal values."""

    def __init__(self, folder: Path, config: Mapping[str, Any], epochs_done: int) -> None:
        del config, epochs_done
        from tensorboard.summary import Writer  # slow to import, and not all commands train

        _quiet_thread()
        self.writer = Writer(str(folder / "tensorboard"))

    def log(self, record: "EpochRecord") -> None:
        """A scalar for each number."""
        for name, value in scalars(record).items():
            self.writer.add_scalar(name, value, record.epoch)

    def close(self, failed: bool) -> None:
        """Write what is still in memory."""
        del failed
        self.writer.close()


@functools.cache  # once a process
def _quiet_thread() -> None:
    """Leave out the traceback of TensorBoard's thread: `log` raises what it could not write."""
    before = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        if not type(failed.thread).__module__.startswith("tensorboard"):
            before(failed)

    threading.excepthook = hook


class Csv(Logger):
    """RUN/metrics.csv: what the journal holds, a row for each epoch and a column for each term."""

    def __init__(self, folder: Path, config: Mapping[str, Any], epochs_done: int) -> None:
        """Make it anew from the journal, so that no epoch lacks and none stands twice."""
        del config, epochs_done
        self.path = folder / "metrics.csv"
        self.lines: list[dict[str, Any]] = read_journal(folder)
        self._write()

    def log(self, record: "EpochRecord") -> None:
        """One row more; all anew if it has a column more: an epoch may be without terms."""
        line = line_of(record)
        self.lines.append(line)
        if not line.keys() <= set(self.columns):
            self._write()
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_rows(self.columns, [line]))

    def _write(self) -> None:
        self.columns = list(dict.fromkeys(name for line in self.lines for name in line))
        header = {name: name for name in self.columns}
        write_text(self.path, _rows(self.columns, [header, *self.lines]) if self.lines else "")


def _rows(columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writerows(lines)
    return text.getvalue()
