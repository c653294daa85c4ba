"""What trains together, in which order, and what an interruption or a full memory leaves."""

import dataclasses
import json
import signal

import jax
import numpy as np
import pytest
from ablation_case import RESULTS, Training, finish, full, member, names, parse, plans
from command_case import read_json, read_lines

from fsrf_jax import arguments
from fsrf_jax.data import normalise
from fsrf_jax.errors import ConfigError, InterruptedTraining, NoCodesError, RunError, UserError
from fsrf_jax.experiments import ablation
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.experiment import Experiment, open_experiment
from fsrf_jax.experiments.members import Member
from fsrf_jax.losses.task import FORMS
from fsrf_jax.methods import Corrkd, Fsrf, Teacher
from fsrf_jax.missing import Missing
from fsrf_jax.options import merge
from fsrf_jax.training import checkpoints, loop
from fsrf_jax.training.loop import EpochRecord

UNIFORM = ("--method.noise.kind", "uniform")


@pytest.fixture
def training(monkeypatch, tmp_path):
    """Nothing is really trained."""
    fake = Training(tmp_path)
    monkeypatch.setattr(ablation, "_train_and_evaluate", fake)
    return fake


def train(folder, members, together=2):
    """Results that are there in the end, by variant and seed, and the lines about them."""
    lines = []
    ablation.train_members(folder, members, together, lines.append)
    found = {}
    for one in members:
        results = json.loads((one.folder / "results.json").read_text())
        results = {key: value for key, value in results.items() if key not in RESULTS}
        found.setdefault(one.variant, {})[one.seed] = results
    return found, lines


def seeds(*numbers, variant="full"):
    return [f"{variant}/seed-{number}" for number in numbers]


# What trains together.


def test_every_member_is_trained_once_and_has_a_run_folder(training, tmp_path):
    members = [*full(tmp_path, 3), member(tmp_path, "less", 0, "--method.weights.noise", "0")]
    results, lines = train(tmp_path, members)
    assert training.parts == [seeds(0, 1), [*seeds(2), "less/seed-0"]]
    assert results == {
        "full": {seed: {"variant": "full", "seed": seed} for seed in range(3)},
        "less": {0: {"variant": "less", "seed": 0}},
    }
    assert lines == []
    for one in members:
        assert arguments.load(one.folder / "config.yaml") == one.config
        assert (one.folder / "environment.json").exists()
    assert list((tmp_path / "parts").iterdir()) == []


def test_what_differs_in_more_than_numbers_is_trained_apart(training, tmp_path):
    members = [
        member(tmp_path, variant, seed, *argv)
        for variant, argv in (("full", ()), ("uniform", UNIFORM), ("quick", ("--model.dropout=0",)))
        for seed in (0, 1)
    ]
    train(tmp_path, members, together=100)
    assert training.parts == [
        [*seeds(0, 1), *seeds(0, 1, variant="quick")],
        seeds(0, 1, variant="uniform"),
    ]


def test_parts_are_as_equal_as_can_be(training, tmp_path):
    train(tmp_path, full(tmp_path, 5), together=4)
    assert [len(part) for part in training.parts] == [3, 2]


def test_one_cpu_device_trains_one_at_a_time_unless_asked(training, tmp_path):
    train(tmp_path, full(tmp_path, 2), together=0)
    assert training.parts == [seeds(0), seeds(1)]


def test_members_whose_samples_are_not_on_the_device_train_one_at_a_time(training, tmp_path):
    _, lines = train(tmp_path, full(tmp_path, 2, "--data.placement", "host"), together=2)
    assert training.parts == [seeds(0), seeds(1)]
    (line,) = lines
    assert line.startswith("members train one at a time: data.placement host, as asked: training")


def test_a_plan_is_written_before_the_part_begins_and_removed_behind_it(training, tmp_path):
    train(tmp_path, full(tmp_path, 3))
    assert training.plans == [[seeds(0, 1)], [seeds(2)]]
    assert plans(tmp_path) == []


def test_members_of_a_part_are_held_against_other_processes(tmp_path, monkeypatch):
    def look(place, members, shared):
        for one in members:
            with pytest.raises(RunError, match="another process is training"):
                run_folder.set_aside(one.folder)
            finish(one)
        with pytest.raises(RunError, match="another process is training"):
            train(tmp_path, members)

    monkeypatch.setattr(ablation, "_train_and_evaluate", look)
    train(tmp_path, full(tmp_path, 2))
    for one in full(tmp_path, 2):
        assert run_folder.set_aside(one.folder)


# Memory.


def test_a_part_that_does_not_fit_the_memory_is_halved(training, tmp_path):
    training.fit = 2
    results, lines = train(tmp_path, full(tmp_path, 5), together=5)
    assert training.parts == [
        seeds(0, 1, 2, 3, 4),
        seeds(0, 1),
        seeds(2, 3, 4),
        *[seeds(2)],
        seeds(3, 4),
    ]
    assert lines == [
        "5 members do not fit the memory: trying 2",
        "3 members do not fit the memory: trying 1",
    ]
    assert sorted(results["full"]) == [0, 1, 2, 3, 4]
    # What did not fit is not begun again.
    assert training.plans == [[part] for part in training.parts]
    assert list((tmp_path / "parts").iterdir()) == []


def test_members_that_fit_one_by_one_are_trained_one_by_one(training, tmp_path):
    training.fit = 1
    results, _ = train(tmp_path, full(tmp_path, 4), together=4)
    assert [len(part) for part in training.parts] == [4, 2, 1, 1, 2, 1, 1]
    assert sorted(results["full"]) == [0, 1, 2, 3]


def test_one_member_that_does_not_fit_is_told_what_to_lower(training, tmp_path):
    training.fit = 0
    with pytest.raises(RunError) as caught:
        train(tmp_path, full(tmp_path, 3), together=3)
    assert str(caught.value) == (
        "full/seed-0: does not fit the device's memory; lower model.width or training.batch_size."
    )
    assert training.parts == [seeds(0, 1, 2), seeds(0)]
    assert plans(tmp_path) == []
    # Nothing is held any more.
    training.fit = 3
    assert sorted(train(tmp_path, full(tmp_path, 3), together=3)[0]["full"]) == [0, 1, 2]


def test_halves_are_the_parts_that_an_interruption_leaves(training, tmp_path):
    training.fit = 2
    training.fails[(*seeds(0, 1),)] = InterruptedTraining(signal.SIGTERM, 1)
    with pytest.raises(InterruptedTraining):
        train(tmp_path, full(tmp_path, 4), together=4)
    assert plans(tmp_path) == [seeds(0, 1)]
    training.fails.clear()
    training.parts.clear()
    train(tmp_path, full(tmp_path, 4), together=2)
    assert training.parts == [seeds(0, 1), seeds(2, 3)]


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("INTERNAL: something broke."),
        ValueError("RESOURCE_EXHAUSTED"),
        RunError("The validation error became nan in epoch 1."),
    ],
    ids=["jax", "python", "user"],
)
def test_other_errors_pass_through_and_the_part_can_be_resumed(training, tmp_path, error):
    training.fails[(*seeds(0, 1),)] = error
    with pytest.raises(type(error)) as caught:
        train(tmp_path, full(tmp_path, 2))
    assert caught.value is error
    assert training.parts == [seeds(0, 1)]
    assert plans(tmp_path) == [seeds(0, 1)]
    training.fails.clear()
    train(tmp_path, full(tmp_path, 2))
    assert plans(tmp_path) == []


# Resuming.


def test_an_interrupted_part_is_resumed_as_it_was_and_first(training, tmp_path):
    members = full(tmp_path, 6)
    training.fails[(*seeds(2, 3),)] = InterruptedTraining(signal.SIGTERM, 1)
    with pytest.raises(InterruptedTraining):
        train(tmp_path, members)
    assert training.parts == [seeds(0, 1), seeds(2, 3)]
    assert plans(tmp_path) == [seeds(2, 3)]
    training.fails.clear()
    training.parts.clear()
    results, _ = train(tmp_path, members, together=3)  # which is not how the part began
    assert training.parts == [seeds(2, 3), seeds(4, 5)]
    assert sorted(results["full"]) == [0, 1, 2, 3, 4, 5]
    assert plans(tmp_path) == []


def test_a_begun_part_is_looked_up_by_what_trains_together(training, tmp_path):
    """The same members are the same folder of checkpoints; others have their own."""
    members = full(tmp_path, 2)
    training.fails[(*seeds(0, 1),)] = InterruptedTraining(signal.SIGTERM, 1)
    places = []
    for _ in range(2):
        with pytest.raises(InterruptedTraining):
            train(tmp_path, members)
        places.append([path.name for path in (tmp_path / "parts").iterdir()])
    assert places[0] == places[1]
    assert len(places[0]) == 1


@pytest.mark.parametrize("unknown", [["gone/seed-0", "full/seed-0"], ["full/seed-9"]])
def test_a_plan_of_members_that_are_no_more_is_not_followed(training, tmp_path, unknown):
    place = tmp_path / "parts" / "0123456789ab"
    place.mkdir(parents=True)
    (place / "plan.json").write_text(json.dumps(unknown))
    train(tmp_path, full(tmp_path, 2))
    assert training.parts == [seeds(0, 1)]
    assert plans(tmp_path) == [unknown]  # it may be asked for again


def test_members_that_are_done_are_not_trained_again(training, tmp_path):
    members = full(tmp_path, 3)
    train(tmp_path, members[1:2])
    written = (members[1].folder / "results.json").stat().st_mtime_ns
    training.parts.clear()
    results, _ = train(tmp_path, members)
    assert training.parts == [seeds(0, 2)]
    assert sorted(results["full"]) == [0, 1, 2]
    training.parts.clear()
    again, lines = train(tmp_path, members)
    assert (again, training.parts, lines) == (results, [], [])
    assert (members[1].folder / "results.json").stat().st_mtime_ns == written


def test_a_member_that_is_done_is_not_done_for_another_number_of_epochs(training, tmp_path):
    train(tmp_path, full(tmp_path, 1))
    training.parts.clear()
    longer = full(tmp_path, 2, "--training.epochs", "3")
    with pytest.raises(RunError) as caught:
        train(tmp_path, longer)
    assert str(caught.value) == (
        f"{longer[0].folder}: was trained for 2 epochs, expected 3: give --training.epochs 2, or "
        "another --output.directory."
    )
    assert training.parts == []
    # One that is not done may go on for longer.
    (longer[0].folder / "results.json").unlink()
    train(tmp_path, longer)
    assert training.parts == [seeds(0, 1)]


def test_a_folder_of_another_config_or_of_other_data_is_refused(training, tmp_path):
    train(tmp_path, full(tmp_path, 1))
    with pytest.raises(RunError, match=r"another config:\n  method.noise.kind: 'adversarial'"):
        train(tmp_path, full(tmp_path, 1, *UNIFORM))
    (tmp_path / "members/full/seed-0/results.json").unlink()
    path = tmp_path / "members/full/seed-0/environment.json"
    path.write_text('{"data_fingerprint": "another"}')
    training.parts.clear()
    with pytest.raises(RunError, match="began with other data"):
        train(tmp_path, full(tmp_path, 1))
    assert training.parts == []


def test_variants_must_have_labels_of_one_form(training, tmp_path):
    config = parse()
    kinds = {FORMS[kind]: kind for kind in FORMS}
    task = dataclasses.replace(config.task, kind=kinds["class"])
    one = full(tmp_path, 1)[0]
    other = dataclasses.replace(one, config=dataclasses.replace(config, task=task))
    with pytest.raises(ConfigError) as caught:
        train(tmp_path, [one, other])
    assert str(caught.value) == "task.kind: found variants for ['class', 'number'], expected one."
    assert training.parts == []


# What one part does, with a `fit` that does nothing but finish.


class Fit:
    """In place of `loop.fit`: remembers its arguments, and reports the epochs given."""

    def __init__(self, epochs=(1, 2)):
        self.calls, self.epochs = [], epochs

    def __call__(self, recipe, mesh, states, data, validation, hypers, **kwargs):
        self.calls.append((recipe, mesh, states, data, validation, hypers, kwargs))
        for epoch in self.epochs:
            for index in range(len(states.step)):
                record = EpochRecord(epoch, {"total": 1.0, "task": 0.5}, 2.0 + index, 1)
                kwargs["report"](index, record)
        step = np.int32(merge(recipe, hypers).steps)
        return states.replace(step=jax.numpy.asarray(step))


@pytest.fixture
def fit(monkeypatch):
    """Nothing is trained, but all else of `_train_and_evaluate` is done."""
    fake = Fit()
    monkeypatch.setattr(loop, "fit", fake)
    evaluated = []

    def evaluate(self, folder, state, normaliser, observe=None):
        evaluated.append((self.config, state))
        return None, {**RESULTS, "seed": self.config.training.seed}

    monkeypatch.setattr(Experiment, "evaluate", evaluate)
    monkeypatch.setattr(
        ablation,
        "write_results",
        lambda path, evaluation, results: path.write_text(json.dumps(results)),
    )
    monkeypatch.setattr(ablation, "averages_of", lambda results: {"seed": results["seed"]})
    fake.evaluated = evaluated
    return fake


def states_of(members):
    run = open_experiment(members[0].config)
    return run, run.initial_states([one.seed for one in members])


def test_a_part_trains_the_states_and_numbers_of_its_members(fit, tmp_path):
    members = [
        member(tmp_path, "full", 4),
        member(tmp_path, "less", 3, "--method.weights.noise=0", "--model.dropout=0.5"),
    ]
    results, lines = train(tmp_path, members)
    ((recipe, mesh, states, data, validation, hypers, kwargs),) = fit.calls
    run, expected = states_of(members)
    assert (recipe, mesh) == (run.recipe, run.mesh)
    assert (jax.random.key_data(states.key) == jax.random.key_data(expected.key)).all()
    for name, values in (("method.weights.noise", [0.03, 0]), ("model.dropout", [0.1, 0.5])):
        np.testing.assert_allclose(hypers[name], values)
    normaliser = normalise.fit(run.source.split("train"), members[0].config.data.clip)
    np.testing.assert_equal(kwargs["preparation"], normaliser.to_tree())
    for name, features in normaliser.apply(run.source.split("train")).features.items():
        np.testing.assert_allclose(data.features[name], features, rtol=1e-6)
    assert len(validation.batch.labels) == 16
    assert kwargs["teacher"] is None
    assert kwargs["checkpoint_every"] == members[0].config.output.checkpoint_every
    assert results == {"full": {4: {"seed": 4}}, "less": {3: {"seed": 3}}}
    assert lines == ["full/seed-4: evaluated", "less/seed-3: evaluated"]


def test_each_member_is_evaluated_and_saved_by_itself(fit, tmp_path):
    members = full(tmp_path, 2)
    train(tmp_path, members)
    run, expected = states_of(members)
    normaliser = normalise.fit(run.source.split("train"), members[0].config.data.clip)
    for index, (one, (config, state)) in enumerate(zip(members, fit.evaluated, strict=True)):
        assert config == one.config
        assert state.step.shape == ()
        assert (state.key == expected.key[index]).all()
        with checkpoints.open_manager(one.folder / "checkpoints", read_only=True) as manager:
            assert checkpoints.latest(manager) == 2
            saved, prepared = run.restore(manager)
        assert saved.step.tolist() == [merge(run.recipe, run.hyper).steps]
        np.testing.assert_equal(prepared.to_tree(), normaliser.to_tree())
        pairs = zip(*map(jax.tree.leaves, (loop.member(saved, 0).best, state.best)), strict=True)
        assert all((former == latter).all() for former, latter in pairs)


def test_members_start_from_one_run_and_have_loggers_of_their_own(fit, trained, tmp_path):
    argv = ("--training.init_from", str(trained.folder), "--training.freeze", "[encoders]")
    members = full(tmp_path, 2, *argv, "--output.loggers", "[csv]")
    _, lines = train(tmp_path, members)
    run = open_experiment(arguments.load(trained.folder / "config.yaml"))
    best = run.load(trained.folder)[0].best
    states = fit.calls[0][2]
    for found, expected in zip(
        *map(jax.tree.leaves, (states.parameters["inference"], best)), strict=True
    ):
        np.testing.assert_array_equal(found, np.stack([expected] * 2))
    assert (states.key[0] != states.key[1]).all()
    start, frozen, *_ = lines
    assert start.startswith(f"full/seed-0 and 1 more: starts from {trained.folder}, epoch 2: took")
    assert frozen.startswith("full/seed-0 and 1 more: frozen: ")
    for one in members:
        assert read_json(one.folder / "init.json")["drawn_anew"] == []
        rows = (one.folder / "metrics.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]
        assert not (one.folder / "tensorboard").exists()


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("--training.init_from", "nowhere"), "training.init_from: found no run folder nowhere"),
        (("--training.freeze", "[x]"), "training.freeze: found 'x'"),
    ],
)
def test_what_no_member_can_start_from_is_refused_before_any_trains(
    training, tmp_path, argv, error
):
    members = [*full(tmp_path, 1), member(tmp_path, "other", 0, *argv)]
    with pytest.raises(UserError, match=f"^{error}"):
        train(tmp_path, members)
    assert training.parts == []
    assert not (tmp_path / "members").exists()


def test_parts_of_one_group_are_one_program(fit, tmp_path):
    """What a compiled epoch depends on is equal: static part, devices, shapes and types."""
    less = ("--method.weights.noise", "0", "--optimizer.weight_decay", "0.5")
    train(tmp_path, [*full(tmp_path, 2), *(member(tmp_path, "less", s, *less) for s in (0, 1))])
    first, second = fit.calls
    assert first[:2] == second[:2]
    assert hash(first[0]) == hash(second[0])
    for former, latter in zip(first[2:6], second[2:6], strict=True):
        assert jax.tree.map(jax.typeof, former) == jax.tree.map(jax.typeof, latter)


def test_what_is_saved_of_a_part_is_gone_on_with(fit, tmp_path, monkeypatch):
    members = full(tmp_path, 2)
    run, states = states_of(members)
    normaliser = normalise.fit(run.source.split("train"), members[0].config.data.clip)
    halfway = states.replace(step=states.step + run.recipe.steps_per_epoch)

    def stop(*args, manager, preparation, **kwargs):
        checkpoints.save(manager, 1, {"state": halfway, "preparation": preparation})
        raise InterruptedTraining(signal.SIGTERM, 1)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit", stop)
        with pytest.raises(InterruptedTraining):
            train(tmp_path, members)
    assert fit.evaluated == []
    for one in members:  # as if their first epoch stood there already
        (one.folder / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    fit.epochs = (2,)
    train(tmp_path, members)
    ((_, _, found, *_),) = fit.calls
    assert found.step.tolist() == [run.recipe.steps_per_epoch] * 2
    assert (jax.random.key_data(found.key) == jax.random.key_data(states.key)).all()
    np.testing.assert_equal(fit.calls[0][-1]["preparation"], normaliser.to_tree())
    for index, one in enumerate(members):
        first, second = read_lines(one.folder / "metrics.jsonl")
        assert first == {"epoch": 1}
        assert (second["epoch"], second["validation_error"]) == (2, 2.0 + index)


def test_of_a_resumed_part_those_that_are_done_are_not_evaluated_again(fit, tmp_path, monkeypatch):
    members = full(tmp_path, 2)

    def broken(self, folder, state, normaliser, observe=None):
        if self.config.training.seed == 1:
            raise InterruptedError
        return None, {**RESULTS, "seed": 0}

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "evaluate", broken)
        with pytest.raises(InterruptedError):
            train(tmp_path, members)
    assert plans(tmp_path) == [names(members)]
    written = (members[0].folder / "results.json").stat().st_mtime_ns
    results, lines = train(tmp_path, members)
    assert [config.training.seed for config, _ in fit.evaluated] == [1]
    assert lines == ["full/seed-1: evaluated"]
    assert results == {"full": {0: {"seed": 0}, 1: {"seed": 1}}}
    assert (members[0].folder / "results.json").stat().st_mtime_ns == written


@pytest.mark.parametrize("shown", ["true", "false"])
def test_every_member_has_a_journal_and_some_epochs_are_told(fit, tmp_path, shown):
    members = full(tmp_path, 2, "--training.epochs", "12", "--output.progress", shown)
    fit.epochs = range(1, 13)
    _, lines = train(tmp_path, members)
    for index, one in enumerate(members):
        journal = read_lines(one.folder / "metrics.jsonl")
        assert [line["epoch"] for line in journal] == list(range(1, 13))
        assert {line["validation_error"] for line in journal} == {2.0 + index}
    told = [line for line in lines if "epoch" in line]
    expected = [
        f"full/seed-{index}: epoch {epoch}/12  validation error {2 + index:.4f} "
        "(best after epoch 1)"
        for epoch in (10, 12)
        for index in range(2)
    ]
    assert told == (expected if shown == "true" else [])


# Teachers.


@dataclasses.dataclass(frozen=True)
class Taught(Fsrf):
    """A method with a teacher, which is the same whatever the weights are."""

    def teacher_method(self):
        return Teacher(Fsrf(), Missing(max_rate=0.0))


def test_all_parts_have_one_teacher(fit, tmp_path, monkeypatch):
    asked = []

    def train_teacher(run, folder, say):
        say("a line")
        asked.append((run.config.training.seed, folder))
        return {"weight": np.float32(3.5)}

    monkeypatch.setattr(ablation, "train_teacher", train_teacher)
    members = [
        dataclasses.replace(one, config=dataclasses.replace(one.config, method=Taught()))
        for one in (member(tmp_path, "full", seed) for seed in (5, 4, 6))
    ]
    _, lines = train(tmp_path, members)
    assert lines[0] == "teacher: a line"
    assert [kwargs["teacher"]["weight"] for *_, kwargs in fit.calls] == [3.5] * 2
    assert asked[0] == asked[1]
    seed, folder = asked[0]
    assert seed == 4
    assert folder.parent == tmp_path / "teachers"
    # It stays the same where the licence of the data is stated later.
    data = dataclasses.replace(members[0].config.data, licence="CC BY 4.0")
    config = dataclasses.replace(members[0].config, data=data)
    later = Member.make(tmp_path, "later", config, 4)
    train(tmp_path, [later])
    assert asked[2] == (4, folder)
    asked.clear()
    train(tmp_path, full(tmp_path, 1))  # FSRF has none
    assert asked == []


# Probes.


def test_probes_are_measured_once(fit, tmp_path, monkeypatch):
    members = full(tmp_path, 2)
    train(tmp_path, members)
    probed, lines = [], []

    def probe(self, state, normaliser):
        probed.append((self.config.training.seed, state.step.shape, state.key))
        return {"seed": self.config.training.seed}

    monkeypatch.setattr(Experiment, "probe", probe)
    monkeypatch.setattr(
        ablation, "write_probes", lambda path, probes: path.write_text(json.dumps(probes))
    )
    (members[0].folder / "probes.json").write_text('{"seed": "kept"}')
    found = ablation.probe_members(members, lines.append)
    assert found == {"full": {0: {"seed": "kept"}, 1: {"seed": 1}}}
    assert lines == ["full/seed-1: probed"]
    ((seed, shape, key),) = probed
    _, states = states_of(members)
    assert (seed, shape) == (1, ())
    assert (key == states.key[1]).all()
    assert ablation.probe_members(members, lines.append) == found
    assert len(probed) == 1


def test_members_without_codes_are_not_probed(fit, tmp_path, monkeypatch):
    """The others are; nothing is written for those."""
    members, lines = full(tmp_path, 2), []
    train(tmp_path, members)

    def probe(self, state, normaliser):
        if self.config.training.seed == 0:
            raise NoCodesError("none")
        return {"seed": 1}

    monkeypatch.setattr(Experiment, "probe", probe)
    monkeypatch.setattr(
        ablation, "write_probes", lambda path, probes: path.write_text(json.dumps(probes))
    )
    assert ablation.probe_members(members, lines.append) == {"full": {1: {"seed": 1}}}
    assert lines == ["full/seed-0: has no codes to probe", "full/seed-1: probed"]
    assert not (members[0].folder / "probes.json").exists()


def test_the_data_are_those_that_the_folders_record(training, tmp_path):
    members = full(tmp_path, 1)
    train(tmp_path, members)
    digest = open_experiment(members[0].config).source.fingerprint
    environment = read_json(members[0].folder / "environment.json")
    assert environment["data_fingerprint"] == digest


def test_a_teacher_that_is_not_there_is_found_before_anything_is_trained(fit, tmp_path):
    members = full(tmp_path, 1)
    method = Corrkd(teacher=str(tmp_path / "nothing"))
    other = dataclasses.replace(members[0].config, method=method)
    late = dataclasses.replace(
        members[0], variant="late", folder=tmp_path / "members/late/seed-0", config=other
    )
    with pytest.raises(RunError, match=r"^method\.teacher: found no run folder"):
        train(tmp_path, [*members, late])
    assert not fit.calls


@pytest.mark.parametrize("text", ["", "{", None])
def test_results_that_are_damaged_are_made_again_without_training(fit, tmp_path, text):
    members = full(tmp_path, 2)
    train(tmp_path, members)
    assert len(fit.calls) == 1
    path = members[1].folder / "results.json"
    path.unlink() if text is None else path.write_text(text)
    (members[0].folder / "shapes.json").write_text("{")
    results, lines = train(tmp_path, members)
    assert len(fit.calls) == 1
    assert [config.training.seed for config, _ in fit.evaluated] == [0, 1, 1]
    trained = [jax.tree.leaves(state.best) for _, state in fit.evaluated[1:]]
    for before, after in zip(*trained, strict=True):
        np.testing.assert_array_equal(before, after)
    shapes = members[0].folder / "shapes.json"
    assert lines == [
        f"full/seed-0: {shapes} was damaged or gone: it is written anew.",
        "full/seed-1: evaluated",
    ]
    assert results == {"full": {0: {"seed": 0}, 1: {"seed": 1}}}


@pytest.mark.parametrize("text", ["", "null", '["full/seed-0"]', "[1", "\0"])
def test_a_plan_that_is_damaged_is_made_again(training, tmp_path, text):
    members = full(tmp_path, 2)
    training.fails[tuple(names(members))] = InterruptedTraining(signal.SIGTERM, 1)
    with pytest.raises(InterruptedTraining):
        train(tmp_path, members)
    training.fails.clear()
    (plan,) = tmp_path.glob("parts/*/plan.json")
    plan.write_text(text)
    _, lines = train(tmp_path, members)
    assert lines == [f"{plan} is damaged: what is left of its members is planned anew."]
    assert training.parts == [names(members)] * 2
    assert plans(tmp_path) == []
