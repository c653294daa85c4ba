"""TensorBoard's events, and metrics.csv beside the journal."""

import csv
import dataclasses

import numpy as np
import pytest
from command_case import read_lines
from logger_case import CONFIG, record
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fsrf_jax.training.journal import open_journal
from fsrf_jax.training.loggers import LOGGERS
from fsrf_jax.training.loggers.logger import scalars


def train(folder, done, epochs, name):
    """Epochs as a run has them: each into the journal, then to the logger."""
    with open_journal(folder, done, print) as write:
        logger = LOGGERS[name](folder, CONFIG, done)
        for epoch in epochs:
            write(record(epoch))
            logger.log(record(epoch))
        logger.results({"test/average/mae": 1.0})
        logger.close(False)


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def journal(folder):
    return read_lines(folder / "metrics.jsonl")


def test_events(tmp_path):
    train(tmp_path, 0, [1, 2, 3], "tensorboard")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    names = {"validation/error", "training/task", "training/total"}
    assert set(events.Tags()["scalars"]) | set(events.Tags()["tensors"]) == names
    for name, expected in (
        ("training/total", {1: 2.0, 2: 4.0, 3: 6.0}),
        ("validation/error", {1: 0.5, 2: 1.0, 3: 1.5}),
    ):
        found = {e.step: float(np.ravel(e.tensor_proto.float_val)[0]) for e in events.Tensors(name)}
        assert found == expected


def test_a_row_for_every_epoch_and_a_column_for_every_term(tmp_path):
    train(tmp_path, 0, [1, 2], "csv")
    text = (tmp_path / "metrics.csv").read_text()
    assert text == (
        "epoch,validation_error,best_epoch,bad_steps,task,total\n"
        "1,0.5,1,0,1.0,2.0\n2,1.0,1,0,0.5,4.0\n"
    )


@pytest.mark.parametrize(("done", "then"), [(0, [1, 2]), (2, [3, 4, 5]), (3, [4])])
def test_after_a_resume_it_says_what_the_journal_says(tmp_path, done, then):
    """Epochs behind the checkpoint are done again: none lacks, none stands twice."""
    train(tmp_path, 0, [1, 2, 3], "csv")
    train(tmp_path, done, then, "csv")
    assert rows(tmp_path) == journal(tmp_path)
    assert [row["epoch"] for row in rows(tmp_path)] == [*range(1, done + 1), *then]


def test_a_column_that_comes_later(tmp_path):
    """All steps of the first epoch were bad, so it has no terms."""
    logger = LOGGERS["csv"](tmp_path, CONFIG, 0)
    logger.log(dataclasses.replace(record(1), terms={}, bad_steps=3))
    logger.log(record(2))
    assert (tmp_path / "metrics.csv").read_text() == (
        "epoch,validation_error,best_epoch,bad_steps,task,total\n1,0.5,1,3,,\n2,1.0,1,0,0.5,4.0\n"
    )


def test_bad_steps_are_a_chart_where_there_are_any():
    assert "training/bad_steps" not in scalars(record(1))
    assert scalars(dataclasses.replace(record(1), bad_steps=3))["training/bad_steps"] == 3


def test_one_that_was_cut_off_is_mended(tmp_path):
    train(tmp_path, 0, [1, 2], "csv")
    for name in ("metrics.csv", "metrics.jsonl"):
        path = tmp_path / name
        path.write_text(path.read_text() + path.read_text()[-20:-5])
    train(tmp_path, 2, [3], "csv")
    assert rows(tmp_path) == journal(tmp_path)
    assert len(rows(tmp_path)) == 3


def test_one_that_is_asked_for_later_has_the_earlier_epochs(tmp_path):
    train(tmp_path, 0, [1, 2], "tensorboard")
    assert not (tmp_path / "metrics.csv").exists()
    train(tmp_path, 2, [3], "csv")
    assert [row["epoch"] for row in rows(tmp_path)] == [1, 2, 3]
