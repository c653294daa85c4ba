"""Every method in `METHODS` learns an embedding of token ids, and nothing of hidden ones.

An embedding has `VOCABULARY` rows; no sample has the last two ids, and one has an id beyond them.
"""

import dataclasses
from functools import partial
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_case as case

from fsrf_jax import sharding
from fsrf_jax.data.tokens import UNKNOWN
from fsrf_jax.losses import Task
from fsrf_jax.methods import METHODS, Fsrf, LateFusion, Setting
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import split
from fsrf_jax.training import checkpoints, loop
from fsrf_jax.types import Batch, Step, View

VOCABULARY, UNSEEN, BEYOND = 9, (7, 8), 40
MODEL = ModelOptions(width=4, heads=2, encoder_layers=0, dropout=0.0, fusion="concatenation")
SETTING = Setting(Task("l1"), MODEL, {"language": VOCABULARY})
IDS = [[2, 3, 4], [5, 2, 0], [6, BEYOND, 3], [4, 4, 0], [5, 6, 2], [3, 5, 6]]
B, T = np.shape(IDS)
KEY = jax.random.key(0)


def make_batch():
    """The last row only fills the batch up."""
    rng = np.random.default_rng(0)
    ids = np.asarray(IDS, np.int32)[..., None]
    return Batch(
        features={"language": ids, "audio": rng.normal(size=(B, T, 2)).astype(np.float32)},
        valid={"language": ids[..., 0] != 0, "audio": np.ones((B, T), bool)},
        present={"language": ids[..., 0] != 0, "audio": np.ones((B, T), bool)},
        labels=rng.normal(size=B).astype(np.float32),
        weights=np.ones(B, np.float32) * (np.arange(B) < B - 1),
    )


BATCH = make_batch()


def view_of(k):
    """Every sample observes audio, and some of its tokens: the first alone in view 0."""
    seen = np.arange(T)[None] < 1 + k
    return {m: v & (seen if m == "language" else True) for m, v in BATCH.valid.items()}


@pytest.fixture(scope="module", params=METHODS)
def subject(request):
    method = split(METHODS[request.param]())[0]
    taught = method.teacher_method()
    teacher = None
    if taught is not None:
        init = jax.jit(partial(taught.method.init, SETTING))
        teacher = init(BATCH, KEY)["inference"]
    views = [view_of(k % 2) for k in range(method.views)]

    @jax.jit
    def run(parameters, batch):
        step = Step(batch, views, jnp.float32(1), KEY)

        def total(parameters):
            terms = method.loss(SETTING, parameters, teacher, step)
            return sum(terms.values())

        return jax.grad(total)(parameters)

    @jax.jit
    def see(inference, ids):
        view = View(BATCH.features | {"language": ids}, BATCH.valid, view_of(1))
        predicted = method.predict(SETTING, inference, view)
        return predicted, method.codes(SETTING, inference, view)

    parameters = jax.jit(partial(method.init, SETTING))(BATCH, KEY)
    return SimpleNamespace(parameters=parameters, run=run, see=see)


def embeddings(parameters):
    """All leaves of that name."""
    return [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(parameters)
        if path[-1].key == "embedding"
    ]


def test_tokens_that_are_seen_are_what_is_learnt(subject):
    (table,) = embeddings(subject.parameters["inference"])
    assert table.shape == (VOCABULARY, MODEL.width)
    assert 0.01 < table.std() < 0.03
    gradient = subject.run(subject.parameters, BATCH)
    chex.assert_tree_all_finite(gradient)
    (of_table,) = embeddings(gradient["inference"])
    seen = np.unique([row[:2] for row in IDS[: B - 1]])  # what view 1 has, of rows with weight
    seen = {UNKNOWN if i >= VOCABULARY else int(i) for i in seen} - {0}
    assert set(np.flatnonzero(np.abs(of_table).max(axis=1)).tolist()) == seen


def test_predictions_do_not_look_at_hidden_tokens(subject):
    """Predictions and codes are the same, bit by bit, whatever id stands there."""
    ids, seen = BATCH.features["language"], view_of(1)["language"][..., None]
    usual = subject.see(subject.parameters["inference"], ids)
    for other in (UNSEEN[0], BEYOND, -3, 10**9):
        changed = np.where(seen, ids, other).astype(np.int32)
        assert (changed != ids).any()
        found = subject.see(subject.parameters["inference"], changed)
        chex.assert_trees_all_equal(found, usual)
    changed = np.where(seen & (ids == 2), UNSEEN[0], ids).astype(np.int32)
    found, _ = subject.see(subject.parameters["inference"], changed)
    differs = (np.asarray(found) != usual[0]).tolist()
    assert differs == (seen & (ids == 2)).any(axis=(1, 2)).tolist()


def test_ids_beyond_the_vocabulary_are_one_token(subject):
    ids = BATCH.features["language"]
    usual, _ = subject.see(subject.parameters["inference"], ids)
    for other in (UNKNOWN, VOCABULARY, 2**30):
        changed = np.where(ids == BEYOND, other, ids).astype(np.int32)
        found, _ = subject.see(subject.parameters["inference"], changed)
        np.testing.assert_array_equal(found, usual)


def test_a_reconstruction_aims_at_the_mean_embedding_held_still():
    """Of embeddings at mean 0 and standard deviation 1."""
    method = Fsrf()
    inference = jax.jit(partial(method.init, SETTING))(BATCH, KEY)["inference"]
    views = SimpleNamespace(available=np.ones((2, 2, B)))

    def targets(inference):
        return method._targets(inference, views, BATCH)

    found = targets(inference)
    table = np.asarray(inference["encoders"]["language"]["embedding"], np.float64)
    table = table - table.mean(axis=1, keepdims=True)
    table = table / np.sqrt((table**2).mean(axis=1, keepdims=True) + 1e-5)
    for b, row in enumerate(IDS):
        rows = [UNKNOWN if i == BEYOND else i for i in row if i]
        expected = np.broadcast_to(table[rows].mean(axis=0), (2, MODEL.width))
        np.testing.assert_allclose(found["language"][:, b], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["audio"][1], BATCH.features["audio"].mean(axis=1), rtol=1e-5)
    gradient = jax.grad(lambda p: sum(x.sum() for x in targets(p).values()))(inference)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, 0)


# ---- training


def with_tokens(batch):
    """The batch of `training_case` with token ids in place of one modality's features."""
    ids = jnp.where(batch.valid["language"], 2 + (batch.features["language"][..., 0] > 0), 0)
    ids = ids.astype(jnp.int32)[..., None]
    return dataclasses.replace(batch, features=batch.features | {"language": ids})


@pytest.fixture(scope="module")
def epoch():
    recipe, hyper = split(
        case.make_recipe(LateFusion(), model=MODEL, vocabulary={"language": VOCABULARY})
    )
    data, validation = with_tokens(case.make_batch()), case.make_validation()
    validation = dataclasses.replace(validation, batch=with_tokens(validation.batch))
    data, validation = sharding.replicate((data, validation), case.MESH)
    hypers = [hyper | {"optimizer.learning_rate": jnp.float32(rate)} for rate in (3e-3, 1e-2)]

    def run(states, *members):
        given = loop.place(loop.stack([hypers[i] for i in members]), case.MESH)
        states = loop.place(states, case.MESH)
        return loop.train_epoch(recipe, case.MESH, states, data, validation, given, None)

    def new(*seeds):
        keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        return loop.place(case.init_states(recipe, data, keys), case.MESH)

    return SimpleNamespace(run=run, new=new)


def test_a_member_of_a_population_trains_as_it_would_alone(epoch):
    both, terms, scores = epoch.run(epoch.new(3, 5), 0, 1)
    for index, seed in enumerate((3, 5)):
        own, of_own, score = epoch.run(epoch.new(seed), index)
        np.testing.assert_allclose(scores[index], score[0], rtol=1e-4)
        np.testing.assert_allclose(terms["task"][index], of_own["task"][0], rtol=1e-4)
        (table,), (member,) = embeddings(own.best), embeddings(both.best)
        np.testing.assert_allclose(member[index], table[0], atol=2e-3)
    assert not np.allclose(*np.asarray(scores))


def test_a_resumed_run_is_the_same_bit_for_bit(epoch, tmp_path):
    first, _, _ = epoch.run(epoch.new(3), 0)
    with checkpoints.open_manager(tmp_path) as manager:
        checkpoints.save(manager, 1, {"state": first})
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), first
    )
    (before,) = embeddings(case.as_numpy(first.best))
    last = case.as_numpy(epoch.run(first, 0)[0])
    with checkpoints.open_manager(tmp_path, read_only=True) as manager:
        restored = checkpoints.restore(manager, {"state": target})["state"]
    again, _, _ = epoch.run(restored, 0)
    chex.assert_trees_all_equal(case.as_numpy(again), last)
    (after,) = embeddings(last.parameters)
    moved = np.abs(after - before)[0].max(axis=1)
    assert moved[[2, 3]].min() > 10 * moved[[0, *UNSEEN]].max()  # which only decay
