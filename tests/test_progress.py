import io

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
