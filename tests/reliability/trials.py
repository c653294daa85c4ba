"""What the trials of this folder share: a small run, and when two of them are the same."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from command_case import TINY, Done, finish, read_arrays, start

EPOCHS = 30
RUN = (*TINY, "--training.epochs", str(EPOCHS), "--evaluation.bootstrap", "200")


def number_of(name: str, default: int) -> int:
    """How many trials; more by an environment variable."""
    return int(os.environ.get(name, default))


def same(folder: Path, expected: Path) -> None:
    """Assert that two runs have the same checkpoint, journal, results and predictions."""
    for part in ("results.json", "metrics.jsonl", "conditions.csv", "predictions.csv"):
        assert (folder / part).read_bytes() == (expected / part).read_bytes(), part
    newest = newest_checkpoint(expected)
    assert newest_checkpoint(folder).name == newest.name
    assert digests(folder / "checkpoints" / newest.name) == digests(newest)
    np.testing.assert_equal(
        read_arrays(folder / "predictions.npz"), read_arrays(expected / "predictions.npz")
    )


def newest_checkpoint(folder: Path) -> Path:
    places = [p for p in (folder / "checkpoints").iterdir() if p.name.isdigit()]
    return max(places, key=lambda place: int(place.name))


def digests(checkpoint: Path) -> dict[str, str]:
    return json.loads((checkpoint / "digests" / "data.json").read_text())


def killed(command: str, argv: tuple, moment: Callable[[], bool], seconds: float) -> Done | None:
    """Start a command; SIGKILL it at a moment and some seconds; what it said if it ended before."""
    process = start(command, *argv)
    try:
        while process.poll() is None and not moment():
            time.sleep(0.001)
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
    finally:
        done = finish(process)
    return None if done.status == -signal.SIGKILL else done


def copied(folder: Path, place: Path) -> Path:
    """A copy without what an earlier trial left there."""
    shutil.rmtree(place, ignore_errors=True)
    return shutil.copytree(folder, place)
