"""One run in its folder; what real training writes there is tested in tests/end_to_end."""

import contextlib
import csv
import dataclasses
import json
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ablation_case import parse
from command_case import read_json, read_lines
from evaluation_case import run_results

from fsrf_jax import arguments
from fsrf_jax.data import normalise
from fsrf_jax.errors import ConfigError, DataError, InterruptedTraining, RunError
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments import start, train
from fsrf_jax.experiments.experiment import Experiment, open_experiment
from fsrf_jax.methods import Corrkd, Fsrf, Teacher
from fsrf_jax.missing import Missing
from fsrf_jax.options import merge
from fsrf_jax.training import checkpoints, loop
from fsrf_jax.training.loggers import LOGGERS, Logger
from fsrf_jax.training.loop import EpochRecord

RESULTS = json.loads(json.dumps({**run_results(), "epochs_trained": 2}))


@pytest.fixture(scope="module")
def run():
    return open_experiment(parse("--training.seed", "3"))


class Fit:
    """In place of `fit`: saves the last checkpoint after the epochs that are left.

    Attributes:
        stops: epochs done at which a signal comes.
        calls: states, numbers and keywords of every call.
        recipes: of every call.
    """

    def __init__(self):
        self.calls, self.recipes, self.stops = [], [], None

    def __call__(self, recipe, mesh, states, data, validation, hypers, **kwargs):
        self.calls.append((states, hypers, kwargs))
        self.recipes.append(recipe)
        done = int(states.step[0]) // recipe.steps_per_epoch
        epochs = int(merge(recipe, hypers).epochs[0])
        for epoch in range(done + 1, epochs + 1):
            record = EpochRecord(epoch, {"total": 3.0, "task": 1.0}, 0.5 / epoch, epoch)
            kwargs["report"](0, record)
            step = jnp.full_like(states.step, epoch * recipe.steps_per_epoch)
            states = states.replace(step=step, best_epoch=jnp.full_like(step, epoch))
            if epoch in (self.stops, epochs):
                arrays = {"state": states, "preparation": kwargs["preparation"]}
                checkpoints.save(kwargs["manager"], epoch, arrays)
            if epoch == self.stops:
                raise InterruptedTraining(signal.SIGTERM, epoch)
        return states


@pytest.fixture
def fit(monkeypatch):
    """Nothing is trained or evaluated; results say which state was asked for."""
    fake = Fit()
    fake.evaluated = []

    def evaluate(self, folder, state, normaliser, observe=None):
        fake.evaluated.append((state, normaliser))
        return None, {
            **RESULTS,
            "epochs_trained": int(state.step) // self.recipe.steps_per_epoch,
        }

    monkeypatch.setattr(loop, "fit", fake)
    monkeypatch.setattr(Experiment, "evaluate", evaluate)
    monkeypatch.setattr(train, "write_results", lambda path, _, r: path.write_text(json.dumps(r)))
    return fake


def test_results_of_another_epoch_are_not_the_finished_ones(tmp_path):
    path = tmp_path / "results.json"
    assert train._finished_results(tmp_path, 2) is None
    path.write_text(json.dumps(RESULTS))
    assert train._finished_results(tmp_path, 2) == RESULTS
    assert train._finished_results(tmp_path, 3) is None
    for text in ('{"epochs_trained": 2}', '{"version": 5, "epochs_tr', ""):  # older, damaged
        path.write_text(text)
        assert train._finished_results(tmp_path, 2) is None


def test_quiet_progress_takes_every_record():
    with train.quiet(0, 3) as show:
        assert show(EpochRecord(1, {}, 0.5, 1)) is None


def test_a_run_is_a_population_of_one_in_its_folder(run, fit, tmp_path):
    folder = tmp_path / "run"
    assert train.train_run(run, folder) == RESULTS
    ((states, hypers, kwargs),) = fit.calls
    assert (states.key == run.initial_states([3]).key).all()
    assert set(hypers) == set(run.hyper)
    for name, values in hypers.items():
        assert values.shape == (1,)
        assert values[0] == run.hyper[name]
    normaliser = normalise.fit(run.source.split("train"), run.config.data.clip)
    np.testing.assert_equal(kwargs["preparation"], normaliser.to_tree())
    assert kwargs["teacher"] is None
    assert kwargs["checkpoint_every"] == run.config.output.checkpoint_every
    ((state, used),) = fit.evaluated
    assert (state.step.shape, int(state.step)) == ((), merge(run.recipe, run.hyper).steps)
    np.testing.assert_equal(used.to_tree(), normaliser.to_tree())
    assert read_json(folder / "results.json") == RESULTS
    assert arguments.load(folder / "config.yaml") == run.config
    environment = read_json(folder / "environment.json")
    assert environment["data_fingerprint"] == run.source.fingerprint
    journal = read_lines(folder / "metrics.jsonl")
    assert [(line["epoch"], line["validation_error"]) for line in journal] == [(1, 0.5), (2, 0.25)]


def test_a_finished_run_is_read(run, fit, tmp_path):
    train.train_run(run, tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({**RESULTS, "mine": 1}))
    assert train.train_run(run, tmp_path) == {**RESULTS, "mine": 1}
    assert len(fit.calls) == len(fit.evaluated) == 1
    # Results that are lost, or of other epochs, are computed from the checkpoint.
    for change in ((tmp_path / "results.json").unlink, None):
        if change is None:
            (tmp_path / "results.json").write_text(json.dumps({**RESULTS, "epochs_trained": 1}))
        else:
            change()
        assert train.train_run(run, tmp_path) == RESULTS
    assert len(fit.calls) == 1
    assert len(fit.evaluated) == 3


def test_an_interrupted_run_goes_on_from_its_checkpoint(run, fit, tmp_path):
    fit.stops = 1
    with pytest.raises(InterruptedTraining):
        train.train_run(run, tmp_path)
    assert not (tmp_path / "results.json").exists()
    fit.stops = None
    assert train.train_run(run, tmp_path) == RESULTS
    first, second = fit.calls
    assert first[0].step.tolist() == [0]
    assert second[0].step.tolist() == [run.recipe.steps_per_epoch]
    assert [line["epoch"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_more_epochs_go_on_and_are_recorded(run, fit, tmp_path):
    train.train_run(run, tmp_path)
    longer = open_experiment(parse("--training.seed", "3", "--training.epochs", "4"))
    assert train.train_run(longer, tmp_path) == {**RESULTS, "epochs_trained": 4}
    assert fit.calls[1][0].step.tolist() == [merge(run.recipe, run.hyper).steps]
    assert arguments.load(tmp_path / "config.yaml").training.epochs == 4
    assert [line["epoch"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]


def test_progress_is_told_what_is_done_and_shows_every_epoch(run, fit, tmp_path):
    told, shown = [], []

    @contextlib.contextmanager
    def progress(done, epochs):
        told.append((done, epochs))
        yield lambda record: shown.append((record.epoch, record.validation_error))
        told.append("closed")

    fit.stops = 1
    with pytest.raises(InterruptedTraining):
        train.train_run(run, tmp_path, progress)
    fit.stops = None
    told.clear()
    train.train_run(run, tmp_path, progress)
    assert told == [(1, 2), "closed"]
    assert shown == [(1, 0.5), (2, 0.25)]
    train.train_run(run, tmp_path, progress)  # finished: nothing to show
    assert told == [(1, 2), "closed"]


def test_one_process_trains_in_a_folder_and_on_its_data(run, fit, tmp_path):
    with (
        run_folder.locked(tmp_path),
        pytest.raises(RunError, match="another process is training in this folder"),
    ):
        train.train_run(run, tmp_path)
    (tmp_path / "environment.json").write_text('{"data_fingerprint": "another"}')
    with pytest.raises(RunError, match="began with other data"):
        train.train_run(run, tmp_path)
    assert fit.calls == []


def test_data_that_cannot_be_normalised_leave_no_folder(run, fit, tmp_path, monkeypatch):
    def refuse(split, clip):
        raise DataError("no training sample has modality language")

    monkeypatch.setattr(normalise, "fit", refuse)
    with pytest.raises(DataError, match="no training sample"):
        train.train_run(run, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# What a run starts from, and where its epochs are shown.


def changed(run, section, **values):
    """The run with other options of a section."""
    options = dataclasses.replace(getattr(run.config, section), **values)
    config = dataclasses.replace(run.config, **{section: options})
    return Experiment.make(config, run.source, run.protocol)


def test_a_run_starts_from_another_one_and_goes_on_without_it(run, fit, tmp_path):
    """Before its first checkpoint, and never again: the other run may be gone then."""
    train.train_run(run, tmp_path / "first")
    best = run.load(tmp_path / "first")[0].best
    second = changed(run, "training", init_from=str(tmp_path / "first"), seed=7)
    lines = []
    fit.stops = 1
    with pytest.raises(InterruptedTraining):
        train.train_run(second, tmp_path / "second", say=lines.append)
    states = fit.calls[1][0]
    for found, expected in zip(
        *map(jax.tree.leaves, (states.parameters["inference"], best)), strict=True
    ):
        np.testing.assert_array_equal(found[0], expected)
    assert states.best_epoch.tolist() == [0]
    assert read_json(tmp_path / "second" / "init.json")["drawn_anew"] == []
    assert [line.split(",")[0] for line in lines] == [
        f"starts from {tmp_path / 'first'}",
        "data.placement device",
    ]
    fit.stops = None
    shutil.rmtree(tmp_path / "first")
    assert train.train_run(second, tmp_path / "second", say=lines.append) == RESULTS
    assert fit.calls[2][0].step.tolist() == [run.recipe.steps_per_epoch]
    assert [line.split(",")[0] for line in lines[2:]] == ["data.placement device"]


@pytest.mark.parametrize(
    ("section", "values", "error", "message"),
    [
        ("training", {"init_from": "nowhere"}, RunError, "found no run folder nowhere"),
        ("training", {"freeze": ("x",)}, ConfigError, r"training\.freeze: found 'x', expected"),
        ("output", {"loggers": ("wandb",)}, ConfigError, r'pip install "fsrf-jax\[wandb\]"'),
    ],
)
def test_what_cannot_be_started_leaves_no_folder(
    run, fit, tmp_path, monkeypatch, section, values, error, message
):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(error, match=message):
        train.train_run(changed(run, section, **values), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert fit.calls == []


def test_what_is_frozen_is_said_whenever_it_trains(run, fit, tmp_path):
    frozen = changed(run, "training", freeze=("encoders",))
    lines = []
    fit.stops = 1
    with pytest.raises(InterruptedTraining):
        train.train_run(frozen, tmp_path, say=lines.append)
    fit.stops = None
    for _ in range(2):
        train.train_run(frozen, tmp_path, say=lines.append)
    assert lines[1::2] == [start.describe_frozen(frozen)] * 2
    assert [line.split(",")[0] for line in lines[::2]] == ["data.placement device"] * 2
    assert fit.recipes[0].freeze == ("encoders",)
    with pytest.raises(RunError, match=r"training\.freeze: \['encoders'\] there, \[\] here"):
        run_folder.check_same(tmp_path, run.config)


class Kept(Logger):
    """Remembers what it is given."""

    calls = []  # noqa: RUF012

    def __init__(self, folder, config, epochs_done):
        self.calls.append((folder, config["training.seed"], epochs_done))

    def log(self, record):
        self.calls.append(record.epoch)

    def results(self, figures):
        self.calls.append(figures)

    def close(self, failed):
        self.calls.append(failed)


def test_loggers_are_given_epochs_and_results(run, fit, tmp_path, monkeypatch):
    monkeypatch.setitem(LOGGERS, "kept", Kept)
    monkeypatch.setattr(Kept, "calls", [])
    logged = changed(run, "output", loggers=("kept", "csv"))
    fit.stops = 1
    with pytest.raises(InterruptedTraining):
        train.train_run(logged, tmp_path)
    assert Kept.calls == [(tmp_path, 3, 0), 1, True]
    fit.stops = None
    Kept.calls.clear()
    train.train_run(logged, tmp_path)
    opened, epoch, figures, failed = Kept.calls
    assert (opened, epoch, failed) == ((tmp_path, 3, 1), 2, False)
    average = RESULTS["average"]
    assert figures["test/average/mae"] == average["metrics"]["mae"]
    assert figures["test/all_conditions/mae"] == average["all_conditions"]["metrics"]["mae"]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert not (tmp_path / "tensorboard").exists()
    Kept.calls.clear()
    train.train_run(logged, tmp_path)  # finished: only shown
    assert Kept.calls == []


# Teachers.


@dataclasses.dataclass(frozen=True)
class Taught(Fsrf):
    """A method that a network which was trained on complete samples teaches."""

    def teacher_method(self):
        return Teacher(Fsrf(complete_view=True), Missing(max_rate=0.0))


def test_a_teacher_is_trained_first_in_its_own_folder_and_only_once(run, fit, tmp_path):
    config = dataclasses.replace(run.config, method=Taught())
    taught = Experiment.make(config, run.source, run.protocol)
    fit.stops = 1
    for _ in range(2):  # the teacher is interrupted, then the run itself
        with pytest.raises(InterruptedTraining):
            train.train_run(taught, tmp_path)
    fit.stops = None
    assert train.train_run(taught, tmp_path) == RESULTS
    teacher, own = fit.recipes[0], fit.recipes[-1]
    assert teacher.method.complete_view
    assert fit.calls[0][1]["missing.max_rate"].tolist() == [0]
    assert own == taught.recipe
    assert [recipe == own for recipe in fit.recipes] == [False, False, True, True]
    best = run.initial_states([3]).best
    for *_, kwargs in fit.calls[2:]:
        pairs = zip(*map(jax.tree.leaves, (kwargs["teacher"], best)), strict=True)
        for former, latter in pairs:
            np.testing.assert_allclose(former, latter[0], rtol=1e-6, atol=1e-7)
    assert fit.calls[0][-1]["teacher"] is None
    found = arguments.load(tmp_path / "teacher" / "config.yaml")
    assert (found.method.complete_view, found.missing) == (True, Missing(max_rate=0.0))
    assert not (tmp_path / "teacher" / "results.json").exists()
    assert len(fit.evaluated) == 1


def learning(run, teacher, **changes):
    """An experiment of CorrKD whose teacher is in that folder."""
    config = dataclasses.replace(run.config, method=Corrkd(teacher=teacher), **changes)
    return Experiment.make(config, run.source, run.protocol)


@pytest.fixture
def taught(run, fit, tmp_path):
    """A run that trained its teacher first, in RUN/teacher."""
    train.train_run(learning(run, None), tmp_path / "run")
    fit.calls.clear()
    return tmp_path / "run"


def test_a_teacher_that_is_given_is_not_trained(run, fit, taught, tmp_path):
    """It may have been trained otherwise, as long as it is the same network for the same data."""
    other = dataclasses.replace(run.config.training, seed=8)
    data = dataclasses.replace(run.config.data, licence="CC BY 4.0")
    student = learning(run, str(taught / "teacher"), training=other, data=data)
    assert train.train_run(student, tmp_path / "other") == RESULTS
    ((_, _, kwargs),) = fit.calls
    own = learning(run, None)
    expected, _ = Experiment.make(
        arguments.load(taught / "teacher" / "config.yaml"), run.source, run.protocol
    ).load(taught / "teacher")
    for found, best in zip(*map(jax.tree.leaves, (kwargs["teacher"], expected.best)), strict=True):
        np.testing.assert_array_equal(found, best)
    assert not (tmp_path / "other" / "teacher").exists()
    assert own.config.method.teacher_method().run is None


@pytest.mark.parametrize(
    ("folder", "changes", "message"),
    [
        ("nothing", {}, r"^method\.teacher: found no run folder .*nothing"),
        (
            "run/teacher",
            {"model": {"width": 16}},
            r"differs in\n  model\.width: \d+ there, 16 here",
        ),
        ("run/teacher", {"data": {"clip": 3.0}}, r"differs in\n  data\.clip: 10\.0 there, 3\.0"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(run, taught, tmp_path, folder, changes, message):
    """Before there is a folder."""
    changed = {
        section: dataclasses.replace(getattr(run.config, section), **values)
        for section, values in changes.items()
    }
    student = learning(run, str(tmp_path / folder), **changed)
    with pytest.raises(RunError, match=message):
        train.train_run(student, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_teacher_of_other_data_is_refused(run, taught, tmp_path):
    path = taught / "teacher" / "environment.json"
    path.write_text(json.dumps({"data_fingerprint": "0"}))
    with pytest.raises(RunError, match="the run began with other data"):
        train.train_run(learning(run, str(taught / "teacher")), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_student_is_no_teacher(run, taught, tmp_path):
    """Its folder instead of the one in it is an easy mistake."""
    with pytest.raises(RunError, match=r"has a teacher itself.*give .*run/teacher"):
        train.train_run(learning(run, str(taught)), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_teacher_that_was_stopped_is_refused(run, fit, tmp_path):
    fit.stops = 1
    with pytest.raises(InterruptedTraining):
        train.train_run(learning(run, None), tmp_path / "run")
    student = learning(run, str(tmp_path / "run" / "teacher"))
    with pytest.raises(RunError, match="is not trained to its end"):
        train.train_run(student, tmp_path / "other")


def test_a_finished_run_is_shown_after_its_teacher_has_gone(run, fit, taught, tmp_path):
    """And one that is not goes on with the teacher at its new place."""
    place, moved = taught / "teacher", tmp_path / "moved"
    student = learning(run, str(place))
    found = train.train_run(student, tmp_path / "done")
    fit.stops = 1
    with pytest.raises(InterruptedTraining):
        train.train_run(student, tmp_path / "stopped")
    fit.stops = None
    place.rename(moved)
    assert train.train_run(student, tmp_path / "done") == found
    with pytest.raises(RunError, match="found no run folder"):
        train.train_run(student, tmp_path / "stopped")
    again = learning(run, str(moved))
    run_folder.check_same(tmp_path / "stopped", again.config)
    assert train.train_run(again, tmp_path / "stopped") == found


def test_more_epochs_keep_the_teacher(run, fit, taught):
    """It is not trained on while the student learns from it."""
    more = dataclasses.replace(run.config.training, epochs=4)
    student = learning(run, None, training=more)
    assert train.train_run(student, taught) == {**RESULTS, "epochs_trained": 4}
    assert [recipe.method.teacher_method() is None for recipe in fit.recipes[-1:]] == [False]
    assert len(fit.calls) == 1  # the student's
    teacher = taught / "teacher"
    assert arguments.load(teacher / "config.yaml").training.epochs == 2
    assert [path.name for path in (teacher / "checkpoints").iterdir()] == ["2"]


def test_a_second_thread_is_refused(run, fit, tmp_path):
    with train._one_at_a_time(), ThreadPoolExecutor() as pool:
        with train._one_at_a_time():  # a teacher's training stands inside its student's
            pass
        other = pool.submit(train.train_run, run, tmp_path / "two")
        with pytest.raises(RunError, match="another thread of this process is training"):
            other.result()
    assert train.train_run(run, tmp_path / "two") == RESULTS
