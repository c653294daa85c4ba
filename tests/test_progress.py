import io
import time

import pytest
from rich.console import Console

from fsrf_jax import progress
from fsrf_jax.training.loop import EpochRecord


def record(epoch, best=1):
    return EpochRecord(epoch, {"total": 2.0 / epoch, "task": 1.0}, 1.5, best)


def shown(records, terminal=False, done=0, **kwargs):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, **kwargs)
    with progress.training_progress(console, done, 10, shown=True) as show:
        for item in records:
            show(item)
    return file.getvalue()


def test_a_line_an_epoch_where_there_is_no_terminal(monkeypatch):
    times = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    lines = shown([record(1), record(2), record(3, best=2)]).splitlines()
    assert lines == [
        "epoch 1/10  loss 2.0000  validation error 1.5000 (best after epoch 1)",
        "epoch 2/10  loss 1.0000  validation error 1.5000 (best after epoch 1)  16 s left",
        "epoch 3/10  loss 0.6667  validation error 1.5000 (best after epoch 2)  14 s left",
    ]


def test_bad_steps_are_shown():
    few = EpochRecord(1, {"total": 2.0}, 1.5, 1, 2)
    text = shown([few, EpochRecord(2, {}, 1.5, 1, 3)])
    assert "loss 2.0000  validation error 1.5000 (best after epoch 1)  2 bad steps" in text
    assert "no loss  validation error 1.5000 (best after epoch 1)  3 bad steps" in text


def test_a_resumed_run_counts_on(monkeypatch):
    times = iter([0.0, 3.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    lines = shown([record(8), record(9)], done=7).splitlines()
    assert lines[0].startswith("epoch 8/10 ")
    assert lines[1].endswith(" 3 s left")


def test_a_bar_on_a_terminal():
    text = shown([record(1), record(10)], terminal=True)
    assert "10/10" in text
    assert "loss 0.2000" in text
    assert "validation error 1.5000" in text
    assert "epoch 1/10" not in text


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_unless_shown(terminal):
    console = Console(file=(file := io.StringIO()), force_terminal=terminal)
    with progress.training_progress(console, 0, 3, shown=False) as show:
        show(record(1))
    assert file.getvalue() == ""


def after_steps(after, patience, terminal):
    """What is shown of two steps, of which the first one ends when it is shown, or at last."""
    file = io.StringIO()
    kwargs = {"force_terminal": terminal, "force_interactive": terminal}
    console = Console(file=file, width=80, **kwargs)
    with progress.steps(console, after) as step:
        step("reading x[1].pkl")
        end = time.monotonic() + patience
        while "reading" not in file.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        step("checking train audio")
    return file.getvalue()


def test_a_terminal_shows_what_takes_long_and_then_nothing():
    text = after_steps(0.0, 60, terminal=True)
    assert "reading x[1].pkl" in text
    assert "checking train audio" in text
    assert text.endswith("\x1b[2K")  # the line is wiped


@pytest.mark.parametrize(("after", "terminal"), [(60.0, True), (0.0, False)])
def test_nothing_for_what_is_short_or_in_a_pipe(after, terminal):
    assert after_steps(after, 0.3, terminal) == ""
