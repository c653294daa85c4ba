import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_case as case

from fsrf_jax.errors import RunError
from fsrf_jax.training import checkpoints, loop
from fsrf_jax.training.loop import InterruptedTraining, is_complete


def fit(folder, state=None, data=None, report=None, *, epochs=6, patience=0, every=2):
    """Train in `folder`; the final state and the records."""
    records = []

    def keep(record):
        records.append(record)
        if report:
            report(record)

    usual, validation, hyper = case.inputs()
    with checkpoints.open_manager(folder) as manager:
        state = loop.fit(
            case.METHOD,
            case.MESH,
            case.make_state() if state is None else state,
            usual if data is None else data,
            validation,
            hyper,
            epochs=epochs,
            patience=patience,
            manager=manager,
            checkpoint_every=every,
            preparation=case.PREPARATION,
            report=keep,
        )
    return state, records


def restore(folder):
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), case.make_state()
    )
    with checkpoints.open_manager(folder, read_only=True) as manager:
        arrays = checkpoints.restore(manager, {"state": target, "preparation": case.PREPARATION})
    np.testing.assert_array_equal(arrays["preparation"]["mean"], case.PREPARATION["mean"])
    return arrays["state"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    state, records = fit(folder)
    return folder, case.as_numpy(state), records


def test_records_and_checkpoints(uninterrupted):
    folder, state, records = uninterrupted
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5, 6]
    assert {"task", "total", "gradient_norm", "redundancy"} < set(records[0].terms)
    best = min(records, key=lambda record: record.validation_error)
    assert records[-1].best_epoch == best.epoch == state.best_epoch
    assert sorted(p.name for p in folder.iterdir() if p.name.isdigit()) == ["4", "6"]
    chex.assert_trees_all_equal(case.as_numpy(restore(folder)), state)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_bit_for_bit(uninterrupted, tmp_path, signum):
    _, expected, all_records = uninterrupted
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

    def stop(record):
        if record.epoch == 3:
            os.kill(os.getpid(), signum)

    with pytest.raises(InterruptedTraining, match=rf"{signum.name} after epoch 3") as caught:
        fit(tmp_path, report=stop)
    assert caught.value.status == {signal.SIGINT: 130, signal.SIGTERM: 143}[signum]
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    state = restore(tmp_path)
    assert loop.epochs_done(case.METHOD, state) == 3
    state, records = fit(tmp_path, state)
    assert [record.epoch for record in records] == [4, 5, 6]
    assert records == all_records[3:]
    chex.assert_trees_all_equal(case.as_numpy(state), expected)
    chex.assert_trees_all_equal(case.as_numpy(restore(tmp_path)), expected)


def test_a_second_signal_acts_at_once(tmp_path):
    def stop_twice(record):
        # To this thread, and handled before the next: two that wait together count as one.
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    # A shell that starts the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, report=stop_twice)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_in_the_last_epoch_stops_like_any_other(tmp_path):
    with pytest.raises(InterruptedTraining) as caught:
        fit(tmp_path, report=lambda record: os.kill(os.getpid(), signal.SIGTERM), epochs=1)
    assert caught.value.status == 143
    assert loop.epochs_done(case.METHOD, restore(tmp_path)) == 1


def test_a_validation_score_that_is_not_finite_is_an_error():
    state = case.make_state().replace(step=jnp.int32(case.STEPS))
    with pytest.raises(RunError, match="validation error became nan in epoch 1"):
        loop.epoch_record(case.METHOD, state, {"task": np.ones(3)}, float("nan"))


def test_patience_ends_training(tmp_path):
    state = case.make_state()
    unbeatable = jax.device_put(jnp.float32(-1.0), state.best_score.sharding)
    state, records = fit(tmp_path, state.replace(best_score=unbeatable), patience=2, every=100)
    assert [record.epoch for record in records] == [1, 2]
    assert loop.epochs_done(case.METHOD, restore(tmp_path)) == 2


def test_a_complete_state_is_given_back(tmp_path, uninterrupted):
    _, expected, _ = uninterrupted
    state, _ = fit(tmp_path / "one")
    again, records = fit(tmp_path / "two", state)
    assert records == []
    chex.assert_trees_all_equal(case.as_numpy(again), expected)


@pytest.mark.parametrize(
    ("done", "best", "epochs", "patience", "complete"),
    [
        (0, 0, 6, 0, False),
        (6, 6, 6, 0, True),
        (7, 1, 6, 0, True),
        (5, 1, 6, 0, False),
        (5, 1, 6, 5, False),
        (5, 1, 6, 4, True),
        (5, 5, 6, 1, False),
        (0, 0, 0, 0, True),
    ],
)
def test_is_complete(done, best, epochs, patience, complete):
    state = case.make_state().replace(step=jnp.int32(done * case.STEPS), best_epoch=jnp.int32(best))
    assert is_complete(case.METHOD, state, epochs, patience) == complete


def test_nan_names_the_term_the_epoch_and_the_step(tmp_path):
    """The task is NaN in the step that meets the label; a step later everything is."""
    data, _, _ = case.inputs()
    bad = data.replace(labels=data.labels.at[3].set(jnp.nan))
    with pytest.raises(RunError, match=r"(\w+) became nan in epoch 1, step [123]") as caught:
        fit(tmp_path, data=jax.device_put(bad, data.labels.sharding))
    assert any(f"{name} became" in str(caught.value) for name in ("task", "heterogeneous", "noise"))
    assert "learning_rate" in str(caught.value)


def test_the_first_bad_step_counts():
    fine = np.ones(3)
    terms = {
        "gradient_norm": np.array([1, np.inf, np.nan]),
        "homogeneous": np.array([1, 1, np.nan]),
        "noise": np.array([1, np.inf, np.nan]),
        "redundancy": fine,
        "total": np.array([1, np.inf, np.nan]),
    }
    state = case.make_state().replace(step=jnp.int32(4 * case.STEPS))
    with pytest.raises(RunError, match="noise became inf in epoch 4, step 2"):
        loop.epoch_record(case.METHOD, state, terms, 1.0)
    only_total = {"total": np.array([1, 1, np.inf]), "task": fine}
    with pytest.raises(RunError, match="total became inf in epoch 4, step 3"):
        loop.epoch_record(case.METHOD, state, only_total, 1.0)
    assert loop.epoch_record(case.METHOD, state, {"task": np.arange(3)}, 0.5).terms == {"task": 1}
