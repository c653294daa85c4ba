"""Steps that give NaN or an infinity, with a linear method: quick to compile."""

import os
import signal
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_case as case
from linear_method import Linear

from fsrf_jax.errors import InterruptedTraining
from fsrf_jax.options import number, split
from fsrf_jax.training import checkpoints, loop
from fsrf_jax.training.bad_steps import BadSteps, first_bad
from fsrf_jax.training.state import bad_steps
from fsrf_jax.training.step import train_step

step = jax.jit(train_step, static_argnums=0)


@dataclass(frozen=True)
class Steep(Linear):
    """With a term of weight `steep` whose gradient is then NaN, and its value finite."""

    steep: float = number(0.0, 0)

    def term_weights(self, progress):
        return super().term_weights(progress) | {"root": self.steep}

    def loss(self, setting, parameters, teacher, step):
        square = jnp.square(parameters["inference"]["kernel"])
        root = jnp.sqrt(jnp.where(self.steep > 0, 0.0, 1.0) * square).sum()
        return super().loss(setting, parameters, teacher, step) | {"root": root}


RECIPE, HYPER = split(case.make_recipe(Steep(), bad_steps=4))
HYPER |= {"optimizer.average": jnp.float32(0.9)}
BATCH = case.make_batch()
STEEP = HYPER | {"method.steep": jnp.float32(1)}
ENDLESS = HYPER | {"optimizer.learning_rate": jnp.float32(np.inf)}
NO_LABEL = BATCH.replace(labels=BATCH.labels.at[3].set(jnp.nan))


def change(before, after):
    """How far the kernel moved."""
    return float(jnp.abs(after.parameters["inference"]["kernel"] - before["kernel"]).max())


@pytest.mark.parametrize(
    ("batch", "hyper", "bad"),
    [
        (NO_LABEL, HYPER, {"task", "total"}),
        (BATCH, STEEP, {"gradient_norm"}),
        (BATCH, ENDLESS, set()),
    ],
    ids=["term", "gradient", "parameters"],
)
def test_a_bad_step_changes_nothing_but_its_number(batch, hyper, bad):
    before, _ = step(RECIPE, case.make_state(recipe=RECIPE), BATCH, HYPER)
    before, _ = step(RECIPE, before, BATCH, HYPER)
    after, terms = step(RECIPE, before, batch, hyper)
    assert {name for name, value in terms.items() if not np.isfinite(value)} == bad
    assert after.step == before.step + 1
    same = after.replace(step=before.step)
    chex.assert_trees_all_equal(case.as_numpy(same), case.as_numpy(before))
    assert [int(n[0]) for n in bad_steps(loop.stack([after]))] == [1, 1]


def test_the_learning_rate_after_a_bad_step_is_that_of_the_step_number():
    """The first update of Adam is as large as the rate, whatever the gradient."""
    fresh = case.make_state(recipe=RECIPE)
    hyper = HYPER | {"optimizer.weight_decay": jnp.float32(0)}
    start = fresh.parameters["inference"]
    for bad in (0, 1, 3):
        state = fresh
        for _ in range(bad):
            state, _ = step(RECIPE, state, NO_LABEL, hyper)
        after, _ = step(RECIPE, state, BATCH, hyper)
        warmup = round(0.1 * case.EPOCHS * case.STEPS)
        turn = np.pi * (bad - warmup) / (case.EPOCHS * case.STEPS - warmup)
        rate = bad / warmup if bad < warmup else (1 + np.cos(turn)) / 2
        np.testing.assert_allclose(change(start, after), case.LEARNING_RATE * rate, 1e-3, 1e-7)
        assert [int(n[0]) for n in bad_steps(loop.stack([after]))] == [0, bad]


def test_after_too_many_in_a_row_a_state_stays_as_it_is():
    state = case.make_state(recipe=RECIPE)
    for _ in range(RECIPE.bad_steps):
        state, _ = step(RECIPE, state, NO_LABEL, HYPER)
    assert state.step == RECIPE.bad_steps
    after, _ = step(RECIPE, state, BATCH, HYPER)
    chex.assert_trees_all_equal(case.as_numpy(after), case.as_numpy(state))


def fit(folder, states, hypers, data=BATCH, report=lambda *_: None):
    """Train in `folder`, saving every epoch; what was reported."""
    records = []

    def keep(index, record):
        records.append((index, record))
        report(index, record)

    _, validation = case.inputs()
    with checkpoints.open_manager(folder) as manager:
        try:
            return records, loop.fit(
                RECIPE,
                case.MESH,
                states,
                jax.device_put(data, validation.batch.labels.sharding),
                validation,
                loop.stack(hypers),
                manager=manager,
                checkpoint_every=1,
                preparation=case.PREPARATION,
                report=keep,
            )
        except BadSteps as stopped:
            return records, stopped


def test_a_few_bad_steps_are_counted_and_training_goes_on(tmp_path):
    fast = HYPER | {"optimizer.learning_rate": jnp.float32(0.1)}
    records, states = fit(tmp_path, case.make_states(0, recipe=RECIPE), [fast], NO_LABEL)
    assert [record.bad_steps for _, record in records] == [1] * case.EPOCHS
    assert all(np.isfinite(list(record.terms.values())).all() for _, record in records)
    assert records[-1][1].terms["task"] < records[0][1].terms["task"]
    chex.assert_tree_all_finite((states.parameters, states.average, states.best))
    assert states.step[0] == case.EPOCHS * case.STEPS


def test_too_many_in_a_row_end_a_population_across_epochs(tmp_path):
    """Three steps in an epoch, and the fourth is the last."""
    states = case.make_states(0, 1, recipe=RECIPE)
    before = case.as_numpy(loop.member(states, 1))
    records, stopped = fit(tmp_path, states, [HYPER, ENDLESS])
    assert [(i, r.epoch, r.bad_steps) for i, r in records] == [(0, 1, 0), (1, 1, 3), (0, 2, 0)]
    assert str(stopped).startswith(
        "the updated parameters became NaN or infinite in epoch 2, step 1, the last of 4 steps in "
        "a row that gave NaN or an infinity and changed nothing. Lower optimizer.learning_rate"
    )
    assert stopped.index == 1
    found = case.as_numpy(stopped.state)
    assert found.step == 3
    for part in ("parameters", "optimizer", "average"):  # a validation error is no step's
        chex.assert_trees_all_equal(getattr(found, part), getattr(before, part))
    assert set(stopped.terms) == {"task", "clock", "views", "root", "total", "gradient_norm"}
    assert checkpoints.latest(checkpoints.Manager(tmp_path, True)) == 1


def test_the_count_goes_on_where_the_run_was_interrupted(tmp_path):
    def stop(_, record):
        os.kill(os.getpid(), signal.SIGTERM)

    states = case.make_states(0, recipe=RECIPE)
    with pytest.raises(InterruptedTraining):
        fit(tmp_path, states, [STEEP], report=stop)
    with checkpoints.open_manager(tmp_path) as manager:
        target = {"state": case.make_states(0, recipe=RECIPE), "preparation": case.PREPARATION}
        states = checkpoints.restore(manager, target)["state"]
    _, stopped = fit(tmp_path, states, [STEEP])
    assert str(stopped).startswith("gradient_norm became nan in epoch 2, step 1, the last of 4 ")


def test_the_first_bad_term_is_named():
    terms = {"gradient_norm": np.nan, "noise": np.inf, "task": 1.0, "total": np.inf}
    assert first_bad(terms) == "noise became inf"
    assert first_bad(terms | {"noise": 1.0}) == "total became inf"
    assert first_bad(dict.fromkeys(terms, 1.0) | {"gradient_norm": np.nan}) == (
        "gradient_norm became nan"
    )
