"""The one loop, of a run alone and of a population."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_case as case
from command_case import with_flags
from linear_method import Linear

from fsrf_jax import sharding
from fsrf_jax.errors import InterruptedTraining, RunError
from fsrf_jax.options import split
from fsrf_jax.training import checkpoints, loop
from fsrf_jax.training.loop import member, place, stack

# Members differ in seed and in numbers of every kind.
SEEDS = (0, 1, 1)
DROPOUT, WARMUP = "model.dropout", "method.distillation.warmup"
HYPERS = [
    case.make_hyper(),
    case.make_hyper(redundancy=0.0, mmd=1.0, others={"optimizer.weight_decay": 0.3}),
    case.make_hyper(
        learning_rate=1e-2,
        others={DROPOUT: 0.3, WARMUP: 0.5, "method.measures.temperature": 0.5},
    ),
]
COMPARED = 3  # epochs that members are compared over with runs of their own


def members():
    """All of them, as they begin."""
    return case.make_states(*SEEDS)


def alone(index=0):
    return case.make_states(SEEDS[index])


def fit(folder, states, hypers=None, report=None, *, recipe=case.RECIPE, every=3, **changes):
    """Train in `folder`; the final states, and (index, record) of every report."""
    records = []

    def keep(index, record):
        records.append((index, record))
        if report:
            report(index, record)

    usual = dict(zip(("data", "validation"), case.inputs(), strict=True))
    if hypers is None:
        hypers = [case.make_hyper()]
    with checkpoints.open_manager(folder) as manager:
        states = loop.fit(
            recipe,
            case.MESH,
            states,
            hypers=stack(hypers),
            manager=manager,
            checkpoint_every=every,
            preparation=case.PREPARATION,
            report=keep,
            **(usual | changes),
        )
    return states, records


def restore(folder, states=None):
    """The newest checkpoint, for states of these shapes."""
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
        alone() if states is None else states,
    )
    with checkpoints.open_manager(folder, read_only=True) as manager:
        arrays = checkpoints.restore(manager, {"state": target, "preparation": case.PREPARATION})
    np.testing.assert_array_equal(arrays["preparation"]["mean"], case.PREPARATION["mean"])
    return arrays["state"]


def epochs_of(records, index=0):
    return [record.epoch for i, record in records if i == index]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    states, records = fit(folder, alone())
    return folder, case.as_numpy(states), records


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The same of all members."""
    folder = tmp_path_factory.mktemp("together")
    states, records = fit(folder, members(), HYPERS)
    return folder, case.as_numpy(states), records


@pytest.fixture(scope="module")
def trained():
    """States after each of the first epochs, and all terms and scores, of all members."""
    states, history = members(), []
    for _ in range(COMPARED):
        states, terms, scores = case.epoch(place(states, case.MESH), *HYPERS)
        history.append(case.as_numpy((states, terms, scores)))
    return history


def test_records_and_checkpoints(uninterrupted):
    folder, states, records = uninterrupted
    assert [index for index, _ in records] == [0] * case.EPOCHS
    assert epochs_of(records) == list(range(1, case.EPOCHS + 1))
    records = [record for _, record in records]
    assert set(records[0].terms) == {"task", "total", "gradient_norm", *case.WEIGHTS}
    best = min(records, key=lambda record: record.validation_error)
    assert records[-1].best_epoch == best.epoch == states.best_epoch[0]
    assert sorted(p.name for p in folder.iterdir() if p.name.isdigit()) == ["6", "8"]
    chex.assert_trees_all_equal(case.as_numpy(restore(folder)), states)


def test_records_and_checkpoints_of_a_population(together):
    folder, states, records = together
    order = [(record.epoch, index) for index, record in records]
    assert order == [(e + 1, i) for e in range(case.EPOCHS) for i in range(len(SEEDS))]
    for index in range(len(SEEDS)):
        own = [record for i, record in records if i == index]
        best = min(own, key=lambda record: record.validation_error)
        assert own[-1].best_epoch == best.epoch == states.best_epoch[index]
        assert np.float32(best.validation_error) == states.best_score[index]
    assert sorted(p.name for p in folder.iterdir() if p.name.isdigit()) == ["6", "8"]
    chex.assert_trees_all_equal(case.as_numpy(restore(folder, members())), states)


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_a_member_trains_as_it_would_alone(trained, index):
    states = alone(index)
    for of_all, terms, scores in trained:
        states, own, score = case.epoch(place(states, case.MESH), HYPERS[index])
        np.testing.assert_allclose(scores[index], score[0], rtol=1e-4)
        assert set(own) == set(terms)
        for name in own:
            np.testing.assert_allclose(terms[name][index], own[name][0], rtol=2e-3, atol=1e-5)
        found, state = member(of_all, index), member(states, 0)
        np.testing.assert_array_equal(found.key, jax.random.key_data(state.key))
        assert (found.step, found.best_epoch) == (state.step, state.best_epoch)
        # Adam divides a gradient by its size, so rounding near 0 moves a parameter.
        best = case.without_key_biases(case.as_numpy(state.best))
        chex.assert_trees_all_close(case.without_key_biases(found.best), best, atol=2e-3)


def test_the_records_of_a_member_are_those_of_its_own_run(uninterrupted, together):
    own, shared = ([r for i, r in found[2] if i == 0] for found in (uninterrupted, together))
    assert [r.epoch for r in own] == [r.epoch for r in shared]
    for one, other in zip(own[:COMPARED], shared[:COMPARED], strict=True):
        np.testing.assert_allclose(one.validation_error, other.validation_error, rtol=1e-4)
        chex.assert_trees_all_close(one.terms, other.terms, rtol=2e-3, atol=1e-5)


def test_members_differ(trained):
    _, terms, scores = trained[-1]
    assert len(set(scores.tolist())) == len(SEEDS)
    assert len(set(terms["total"][:, -1].tolist())) == len(SEEDS)


def test_members_are_stacked_and_taken_apart():
    recipe, _ = linear()
    states = [case.make_state(seed, recipe) for seed in (0, 4)]
    both, expected = stack(states), case.new_states(0, 4, recipe=recipe)
    assert both.step.shape == (2,)
    chex.assert_trees_all_equal(case.as_numpy(both), case.as_numpy(expected))
    for index, state in enumerate(states):
        chex.assert_trees_all_equal(case.as_numpy(member(both, index)), case.as_numpy(state))


def test_one_program_for_each_size_of_population(uninterrupted, together, monkeypatch, tmp_path):
    """Not one for every epoch, every spreading of the states, every recipe or every number."""

    def traced_again(*_):
        raise AssertionError("traced again")

    monkeypatch.setattr(loop, "run_epoch", traced_again)
    recipe, _ = split(case.make_recipe())
    assert recipe is not case.RECIPE
    hypers = [case.make_hyper(redundancy=w, others={DROPOUT: w / 5}) for w in (0.1, 0.2, 0.7)]
    last = case.at_step(members(), case.STEPS * (case.EPOCHS - 1))
    states, _ = fit(tmp_path / "three", last, hypers, recipe=recipe)
    assert not case.weak(states)
    states, _ = fit(tmp_path / "one", alone(1), hypers[:1], recipe=recipe)
    assert not case.weak(states)
    with pytest.raises(AssertionError, match="traced again"):
        fit(tmp_path / "two", case.make_states(0, 1), hypers[:2], recipe=recipe)


def test_a_complete_member_stays_as_it_is():
    states = members()
    last = case.EPOCHS * case.STEPS
    steps = jnp.asarray([0, last, 2 * case.STEPS], jnp.int32)
    states = case.at_step(states, steps).replace(best_epoch=jnp.asarray([0, 3, 2], jnp.int32))
    before = case.as_numpy(states)
    after, *_ = case.epoch(place(states, case.MESH), *HYPERS)
    after = case.as_numpy(after)
    chex.assert_trees_all_equal(member(after, 1), member(before, 1))
    assert (after.step == np.asarray([3, last, 9])).all()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_bit_for_bit(uninterrupted, tmp_path, signum):
    _, expected, all_records = uninterrupted
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

    def stop(_, record):
        if record.epoch == 4:
            os.kill(os.getpid(), signum)

    with pytest.raises(InterruptedTraining, match=rf"{signum.name} after epoch 4") as caught:
        fit(tmp_path, alone(), report=stop)
    assert caught.value.status == {signal.SIGINT: 130, signal.SIGTERM: 143}[signum]
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    states = restore(tmp_path)
    assert loop.epochs_done(case.RECIPE, states) == 4
    states, records = fit(tmp_path, states)
    assert epochs_of(records) == [5, 6, 7, 8]
    assert records == all_records[4:]
    chex.assert_trees_all_equal(case.as_numpy(states), expected)
    chex.assert_trees_all_equal(case.as_numpy(restore(tmp_path)), expected)


def test_a_population_goes_on_bit_for_bit(together, tmp_path):
    """Stopped while the members of an epoch are reported: all of them are, and all are saved."""
    _, expected, all_records = together

    def stop(index, record):
        if (record.epoch, index) == (2, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedTraining, match="SIGTERM after epoch 2"):
        fit(tmp_path, members(), HYPERS, stop)
    states, records = fit(tmp_path, restore(tmp_path, members()), HYPERS)
    assert records == all_records[2 * len(SEEDS) :]
    chex.assert_trees_all_equal(case.as_numpy(states), expected)


def linear(method=None, **changed):
    """A linear method's recipe and numbers: the loop is the same, and quick to compile."""
    return split(case.make_recipe(Linear() if method is None else method, **changed))


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_all_members_of_an_interrupted_epoch_are_reported(tmp_path, seeds):
    recipe, hyper = linear()
    reports = []

    def stop(index, record):
        reports.append((record.epoch, index))
        if index == 0:
            signal.raise_signal(signal.SIGTERM)

    states = case.make_states(*seeds, recipe=recipe)
    with pytest.raises(InterruptedTraining):
        fit(tmp_path, states, [hyper] * len(seeds), stop, recipe=recipe)
    assert reports == [(1, i) for i in range(len(seeds))]


def test_a_second_signal_acts_at_once(tmp_path):
    recipe, hyper = linear()

    def stop_twice(*_):
        # To this thread, and handled before the next: two that wait together count as one.
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    # A shell that starts the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, case.make_states(0, recipe=recipe), [hyper], stop_twice, recipe=recipe)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_while_the_last_checkpoint_is_saved_stops_as_well(tmp_path, monkeypatch):
    save = checkpoints.save

    def interrupted(*arguments):
        save(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(checkpoints, "save", interrupted)
    last = case.at_step(alone(), case.STEPS * (case.EPOCHS - 1))
    with pytest.raises(InterruptedTraining) as caught:
        fit(tmp_path, last)
    assert caught.value.status == 143
    assert loop.epochs_done(case.RECIPE, restore(tmp_path)) == case.EPOCHS


def test_a_signal_in_the_last_epoch_stops_like_any_other(tmp_path):
    last = case.at_step(alone(), case.STEPS * (case.EPOCHS - 1))
    with pytest.raises(InterruptedTraining) as caught:
        fit(tmp_path, last, report=lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert caught.value.status == 143
    assert loop.epochs_done(case.RECIPE, restore(tmp_path)) == case.EPOCHS


def test_a_validation_score_that_is_not_finite_is_an_error():
    state = case.make_state().replace(step=jnp.int32(case.STEPS))
    with pytest.raises(RunError, match="validation error became nan in epoch 1, in which 2 steps"):
        loop.epoch_record(case.RECIPE, state, {"task": np.ones(3)}, float("nan"), 2)


def test_patience_ends_training(tmp_path):
    recipe, hyper = linear(patience=2)
    states = case.make_states(0, recipe=recipe)
    states = states.replace(best_score=jnp.full(1, -1.0, jnp.float32))
    _, records = fit(tmp_path, states, [hyper], recipe=recipe, every=100)
    assert epochs_of(records) == [1, 2]
    assert loop.epochs_done(recipe, restore(tmp_path, case.make_states(0, recipe=recipe))) == 2


def test_each_member_has_its_own_patience(tmp_path):
    """Of a member that nothing is better for, one that learns, and one whose rate leads astray."""
    recipe, usual = linear(patience=2)
    hypers = [
        usual | {"optimizer.learning_rate": jnp.float32(rate)} for rate in (1e-3, 1e-3, 0.0, 30)
    ]
    best = jnp.asarray([-1.0, np.inf, np.inf, np.inf], jnp.float32)

    def start(*indices):
        states = case.make_states(*indices, recipe=recipe)
        return states.replace(best_score=best[jnp.asarray(indices)])

    states, records = fit(tmp_path / "together", start(0, 1, 2, 3), hypers, recipe=recipe)
    ends = [epochs_of(records, i)[-1] for i in range(4)]
    assert ends[:3] == [2, case.EPOCHS, 3]  # the third is as good as in its first epoch
    for index in range(4):
        assert epochs_of(records, index) == list(range(1, ends[index] + 1))
        own, own_records = fit(tmp_path / str(index), start(index), [hypers[index]], recipe=recipe)
        assert epochs_of(own_records) == epochs_of(records, index)
        found, state = case.as_numpy(member(states, index)), case.as_numpy(member(own, 0))
        assert (found.step, found.best_epoch) == (state.step, state.best_epoch)
        chex.assert_trees_all_close(found.parameters, state.parameters, rtol=1e-4, atol=1e-5)
        chex.assert_trees_all_close(found.best, state.best, rtol=1e-4, atol=1e-5)
    assert loop.epochs_done(recipe, states) == case.EPOCHS


def test_a_complete_state_is_given_back(tmp_path, uninterrupted):
    folder, expected, _ = uninterrupted
    again, records = fit(tmp_path / "two", restore(folder))
    assert records == []
    chex.assert_trees_all_equal(case.as_numpy(again), expected)


def test_means_are_of_good_steps_in_double_precision():
    terms = {
        "noise": np.array([1, np.inf, 5], np.float32),
        "task": np.array([1e8, 1, 1], np.float32),
        "total": np.array([3, np.inf, 4], np.float32),
    }
    record = loop.epoch_record(case.RECIPE, case.make_state(), terms, 0.5, 1)
    assert record.terms == {"noise": 3, "task": (1e8 + 1) / 2, "total": 3.5}
    assert record.bad_steps == 1
    none = {"task": np.full(3, np.nan)}
    assert loop.epoch_record(case.RECIPE, case.make_state(), none, 0.5, 3).terms == {}


@pytest.mark.parametrize(
    ("change", "rate"),
    [
        (lambda data: data.replace(labels=jnp.full_like(data.labels, 2)), case.LEARNING_RATE),
        (lambda data: scaled(data, 1e6), case.LEARNING_RATE),
        (lambda data: scaled(data, 1e-30), case.LEARNING_RATE),
        (lambda data: data, 1e3),
    ],
    ids=["constant labels", "features of 1e6", "features of 1e-30", "learning rate 1e3"],
)
def test_hostile_training_ends_finite_or_with_a_clear_stop(tmp_path, change, rate):
    data, _ = case.inputs()
    given = jax.device_put(change(data), data.labels.sharding)
    with (
        pytest.raises(RunError, match=r"optimizer\.learning_rate.*goes on from the last checkpoint")
        if rate == 1e3
        else contextlib.nullcontext()
    ):
        states, records = fit(tmp_path, alone(), [case.make_hyper(rate)], data=given)
        chex.assert_tree_all_finite((states.parameters, states.average, states.best))
        assert all(np.isfinite(list(record.terms.values())).all() for _, record in records)


def scaled(data, factor):
    return data.replace(features={m: factor * x for m, x in data.features.items()})


def taught(seeds):
    """A linear method with a teacher: recipe, numbers and states of members, and the teacher."""
    recipe, usual = linear(Linear(with_teacher=True))
    # Each member learns at a rate of its own, and far more from the teacher than from labels.
    hypers = [
        usual
        | {"method.taught": jnp.float32(50), "optimizer.learning_rate": jnp.float32(0.1 / (s + 1))}
        for s in seeds
    ]
    states = case.make_states(*seeds, recipe=recipe)
    kernel = jnp.linspace(-0.5, 0.5, states.best["kernel"][0].size)[:, None]
    return recipe, hypers, states, sharding.replicate({"kernel": kernel}, case.MESH)


@pytest.mark.parametrize("seeds", [(0,), (0, 3)])
def test_members_learn_from_one_teacher_that_is_held_still(seeds):
    recipe, hypers, states, teacher = taught(seeds)
    before = case.as_numpy(teacher)
    first = case.as_numpy(states.best["kernel"])
    teaching = []
    for _ in range(case.EPOCHS):
        states = place(states, case.MESH)
        states, terms, _ = case.epoch(states, *hypers, recipe=recipe, teacher=teacher)
        teaching.append(terms["teaching"].mean(axis=1))
    chex.assert_trees_all_equal(case.as_numpy(teacher), before)  # nor was it donated
    assert terms["teaching"].shape == (len(seeds), case.STEPS)
    for i, seed in enumerate(seeds):
        kernel = np.asarray(states.parameters["inference"]["kernel"][i])
        gap = [np.abs(k - before["kernel"]).max() for k in (first[i], kernel)]
        assert gap[1] < gap[0]
        assert teaching[-1][i] < 0.5 * teaching[0][i]
        own = case.make_states(seed, recipe=recipe)
        for _ in range(case.EPOCHS):
            own = place(own, case.MESH)
            own, own_terms, _ = case.epoch(own, hypers[i], recipe=recipe, teacher=teacher)
        np.testing.assert_allclose(own.parameters["inference"]["kernel"][0], kernel, rtol=1e-4)
        np.testing.assert_allclose(own_terms["teaching"][0], terms["teaching"][i], rtol=1e-3)


@pytest.mark.parametrize("seeds", [(0,), (0, 3)])
def test_fit_with_a_teacher(tmp_path, seeds):
    recipe, hypers, states, teacher = taught(seeds)
    before = case.as_numpy(teacher)
    states, records = fit(tmp_path / "one", states, hypers, recipe=recipe, teacher=teacher)
    chex.assert_trees_all_equal(case.as_numpy(teacher), before)
    for i in range(len(seeds)):
        teaching = [record.terms["teaching"] for index, record in records if index == i]
        assert len(teaching) == case.EPOCHS
        assert teaching[-1] < 0.5 * teaching[0]
    # The states hold nothing of the teacher: a run goes on with the teacher that it is given.
    assert set(states.parameters["inference"]) == {"kernel"}
    states = case.make_states(*seeds, recipe=recipe)
    other = jax.tree.map(lambda x: -x, teacher)
    _, others = fit(tmp_path / "two", states, hypers, recipe=recipe, teacher=other)
    assert others[0][1].terms["teaching"] != records[0][1].terms["teaching"]


@pytest.mark.parametrize("views", [1, 3])
def test_methods_of_any_number_of_views_train(tmp_path, views):
    recipe, hyper = linear(Linear(views=views))
    _, records = fit(
        tmp_path, case.make_states(0, recipe=recipe), [hyper], recipe=recipe, every=100
    )
    assert {record.terms["views"] for _, record in records} == {views}
    assert records[-1][1].terms["task"] < records[0][1].terms["task"]


def test_members_are_spread_over_the_mesh_of_a_population():
    states = members()
    spread = place(states, case.MESH)
    chex.assert_trees_all_equal(case.as_numpy(spread), case.as_numpy(states))
    assert spread.step.sharding.mesh == case.MESH
    assert tuple(spread.step.sharding.spec) == ("population",)


DEVICES = """
import pathlib, re, sys, jax, numpy as np, training_case as case, test_loop as tests
from fsrf_jax import sharding
from fsrf_jax.training import loop

one, three = case.MESH, sharding.training_mesh(3)
assert one.size == three.size == 3
folder = pathlib.Path(sys.argv[1])
# Other numbers of members than 3, 6, .. stand whole on every device, which has some of their rows.
for seeds, whole in (((0,), True), ((0, 1), True), ((0, 1, 2), False), (range(6), False)):
    states = loop.place(case.new_states(*seeds), sharding.training_mesh(len(seeds)))
    assert states.step.sharding.is_fully_replicated == whole

case.MESH = three
case.inputs.cache_clear()
states, hypers = tests.members(), loop.place(loop.stack(tests.HYPERS), case.MESH)
data, validation = case.inputs()
arguments = case.RECIPE, case.MESH, states, data, validation, hypers
program = loop.train_epoch.lower(*arguments).compile()
assert not re.search("all-reduce|all-gather|all-to-all|collective-permute", program.as_text())
states, terms, scores = program(states, data, validation, hypers)
assert {shard.data.shape for shard in states.step.addressable_shards} == {(1,)}
np.savez(folder / "found.npz", scores=scores, **terms)

# So it is, from its middle, for members that are spread.
steps = case.STEPS * (case.EPOCHS - 2)
middle = case.at_step(tests.members(), steps)
with case.Compilations() as compiled:
    states, records = tests.fit(folder / "fit", middle, tests.HYPERS)
assert compiled.count == 1
assert [(r.epoch, i) for i, r in records] == [(e, i) for e in (7, 8) for i in range(3)]
restored = tests.restore(folder / "fit", tests.members())
for a, b in zip(*map(jax.tree.leaves, map(case.as_numpy, (states, restored))), strict=True):
    np.testing.assert_array_equal(a, b)

# The whole loop is one program, also where members stand whole on every device.
case.MESH = one
case.inputs.cache_clear()
recipe, hyper = tests.linear()
for seeds in ((0,), (0, 1)):
    start = case.make_states(*seeds, recipe=recipe)
    with case.Compilations() as compiled:
        tests.fit(folder / str(len(seeds)), start, [hyper] * len(seeds), recipe=recipe)
    assert compiled.count == 1
"""


@pytest.mark.slow
def test_devices_train_their_own_members_without_waiting_for_each_other(tmp_path, trained):
    here = Path(__file__).parent
    environment = os.environ | {
        "XLA_FLAGS": with_flags("--xla_force_host_platform_device_count=3"),
        "PYTHONPATH": os.pathsep.join(
            [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
        ),
    }
    command = [sys.executable, "-c", DEVICES, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    _, terms, scores = trained[0]
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["scores"], scores, rtol=1e-4)
        for name, values in terms.items():
            np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=1e-5)
