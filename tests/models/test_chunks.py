import dataclasses

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest
from losses_reference import QUICK

from fsrf_jax.data.tokens import UNKNOWN
from fsrf_jax.models import chunks, layers

AWARE = dataclasses.replace(case.OPTIONS, dropout=0.4)
OPTIONS = {
    "mean": AWARE,
    "two blocks": dataclasses.replace(AWARE, encoder_layers=2),
    "no block": dataclasses.replace(AWARE, encoder_layers=0),
    "unaware, last": dataclasses.replace(AWARE, mask_aware=False, pool="last"),
    "attention": dataclasses.replace(AWARE, pool="attention"),
    "class token": dataclasses.replace(AWARE, pool="cls"),
    "learned frame": dataclasses.replace(AWARE, missing_frame="learned"),
    "features dropped": dataclasses.replace(AWARE, feature_dropout=0.5),
    "wide kernel": dataclasses.replace(AWARE, kernel=4),
}
B, T, F = 7, 6, 3
X_BTF = case.normal(0, B, T, F)
VALID_BT = jnp.arange(T)[None] < jnp.asarray([6, 4, 6, 1, 5, 6, 3])[:, None]


def observed(views):
    seen = jax.random.bernoulli(jax.random.key(views), 0.6, (views * B, T))
    return seen.at[2].set(False)


def trained(encoder, parameters, x_btf, observed_nt, *, train):
    """Codes, and the gradient of a sum of them by parameters and features."""
    return program(encoder, x_btf, train=train)(parameters, x_btf, observed_nt)


def program(encoder, x_btf, *, train):
    """`trained` of parameters, features and masks."""

    def of(parameters, x_btf, observed_nt):
        rngs = {"dropout": jax.random.key(5)}
        given = {"params": parameters}, x_btf, VALID_BT, observed_nt
        z_nd, _ = encoder.apply(*given, train=train, rngs=rngs)
        return (z_nd * case.normal(9, *z_nd.shape)).sum(), z_nd

    inputs = (0,) if x_btf.dtype == jnp.int32 else (0, 1)
    return jax.jit(jax.grad(of, inputs, has_aux=True), compiler_options=QUICK)


def assert_close(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_samples_a_few_at_a_time_give_the_same(options, monkeypatch):
    """Codes, gradients and what is dropped; 7 samples do not divide by any number of chunks."""
    assert_the_same(options, 2, [3], monkeypatch)


@pytest.mark.parametrize(("views", "at_once"), [(1, 4), (3, 1)])
def test_any_number_at_a_time(views, at_once, monkeypatch):
    assert_the_same(AWARE, views, [at_once], monkeypatch)


def assert_the_same(options, views, chunks, monkeypatch):
    encoder, masks = case.OneModality(options), observed(views)
    parameters = case.parameters_of(encoder, X_BTF, VALID_BT, masks, train=False)
    whole = trained(encoder, parameters, X_BTF, masks, train=True)
    for at_once in chunks:
        monkeypatch.setattr("fsrf_jax.models.encoder.rows_at_once", lambda *_, c=at_once: c)
        assert_close(trained(encoder, parameters, X_BTF, masks, train=True), whole)


MASKS = {
    "hardly anything": lambda n: jnp.zeros((n, T), bool).at[1, 4].set(True),
    "short and whole rows": lambda n: (
        ((jnp.arange(n) % 3 > 0)[:, None] & (jnp.arange(T)[None] % 2 == jnp.arange(n)[:, None] % 2))
        .at[5]
        .set(True)
    ),
    "nothing": lambda n: jnp.zeros((n, T), bool),
    "everything": lambda n: jnp.ones((n, T), bool),
}


@pytest.mark.parametrize("name", ["class token", "learned frame"])
def test_whatever_is_missing(name, monkeypatch):
    encoder = case.OneModality(OPTIONS[name])
    masks = {what: make(2 * B) for what, make in MASKS.items()}
    any_mask = masks["nothing"]
    parameters = case.parameters_of(encoder, X_BTF, VALID_BT, any_mask, train=False)
    run = program(encoder, X_BTF, train=True)
    whole = {what: run(parameters, X_BTF, mask) for what, mask in masks.items()}
    monkeypatch.setattr("fsrf_jax.models.encoder.rows_at_once", lambda *_: 3)
    run = program(encoder, X_BTF, train=True)
    for what, mask in masks.items():
        assert_close(run(parameters, X_BTF, mask), whole[what])


def test_token_ids_a_few_at_a_time(monkeypatch):
    ids_bt1 = jax.random.randint(jax.random.key(0), (B, T, 1), UNKNOWN, 9)
    encoder, masks = case.OneModality(AWARE, 8), observed(2)
    parameters = case.parameters_of(encoder, ids_bt1, VALID_BT, masks, train=False)
    whole = trained(encoder, parameters, ids_bt1, masks, train=True)
    monkeypatch.setattr("fsrf_jax.models.encoder.rows_at_once", lambda *_: 2)
    assert_close(trained(encoder, parameters, ids_bt1, masks, train=True), whole)


@pytest.mark.parametrize("train", [False, True])
def test_views_in_one_pass_are_those_of_a_pass_for_each(train):
    """Without dropout; what one view alone observes counts in that view alone."""
    encoder = case.OneModality(dataclasses.replace(AWARE, dropout=0.0))
    masks = observed(3)
    parameters = case.parameters_of(encoder, X_BTF, VALID_BT, masks, train=False)
    _, together = trained(encoder, parameters, X_BTF, masks, train=train)
    for i in range(3):
        rows = slice(i * B, (i + 1) * B)
        _, alone = trained(encoder, parameters, X_BTF, masks[rows], train=train)
        np.testing.assert_allclose(together[rows], alone, rtol=1e-5, atol=1e-6)


def test_what_no_view_observes_may_be_nan():
    encoder, masks = case.OneModality(AWARE), observed(2)
    unseen = ~(masks.reshape(2, B, T).any(0) & VALID_BT)[..., None]
    parameters = case.parameters_of(encoder, X_BTF, VALID_BT, masks, train=False)
    expected = trained(encoder, parameters, X_BTF, masks, train=True)
    found = trained(encoder, parameters, jnp.where(unseen, jnp.nan, X_BTF), masks, train=True)
    assert unseen.any()
    assert_close(found, expected)


@pytest.mark.parametrize(
    ("n", "megabytes", "expected"),
    [(1, 1, 1), (32, 0.001, 32), (32, 0.25, 8), (33, 0.25, 9), (7, 100, 1), (32, 2, 1), (32, 1, 2)],
)
def test_how_many_rows_at_once(n, megabytes, expected):
    if jax.device_count() > 1:
        pytest.skip("with several devices all of them")
    assert chunks.rows_at_once(n, round(megabytes * 2**20)) == expected


def test_accelerators_take_all_rows_at_once(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert chunks.rows_at_once(1000, 10**9) == 1000


@pytest.mark.parametrize("shape", [(5, 4, 2), (5, 1, 2), (5, 1, 0)])
def test_words_of_some_rows_are_those_of_all(shape):
    key, rows = jax.random.key(3), jnp.asarray([4, 0, 2, 2], jnp.int32)
    every = jax.random.bits(key, shape, jnp.uint32)
    np.testing.assert_array_equal(layers.random_words(key, shape), every)
    frames = jnp.broadcast_to(jnp.arange(shape[1], dtype=jnp.int32), (4, shape[1]))
    place = layers.Place(rows, frames, shape[1])
    found = layers.random_words(key, (4, *shape[1:]), place)
    np.testing.assert_array_equal(found, every[rows])


ROWS = jnp.asarray(
    [
        [1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 1, 1],
    ],
    bool,
)


@pytest.mark.parametrize("at_once", [1, 2])
def test_rows_are_computed_with_as_many_frames_as_they_need(at_once):
    """Those of 6 and 4 with all 6 frames, those of 3 and 1 with half of them, the others not."""

    def frames(packed):
        return jnp.full((len(packed.x), 1), packed.x.shape[1], jnp.float32)

    packed = chunks.pack(X_BTF, ROWS)
    assert packed.counts.tolist() == [6, 4, 3, 1, 0, 0, 0]
    assert packed.rows.tolist() == [0, 6, 2, 3, 1, 4, 5]
    assert packed.frames[:4].tolist() == [
        *([0, 1, 2, 3, 4, 5], [1, 2, 4, 5, 0, 3], [0, 2, 4, 1, 3, 5], [5, 0, 1, 2, 3, 4]),
    ]
    np.testing.assert_array_equal(packed.x[1], X_BTF[6, packed.frames[1]])
    found = chunks.map_packed(frames, packed, at_once, "kept")
    assert found[:, 0].tolist() == [6, 0, 3, 3, 0, 0, 6]


@pytest.mark.parametrize("at_once", [1, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_packed_rows_against_a_plain_sum(at_once, seed):
    """Value and gradient of a sum over the frames that count, each with a weight of its own."""
    mask_nt = jax.random.bernoulli(jax.random.key(seed), 0.4, (B, T)) & ROWS.any(1)[:, None]
    weights_nt = case.normal(seed, B, T)

    def by_rows(x_ntd, weights_nt):
        def total(packed):
            counts = jnp.arange(packed.x.shape[1])[None] < packed.counts[:, None]
            of_frame = weights_nt[packed.rows[:, None], packed.frames]
            return jnp.einsum("nsd,ns->nd", jnp.sin(packed.x), jnp.where(counts, of_frame, 0.0))

        return chunks.map_packed(total, chunks.pack(x_ntd, mask_nt), at_once, "kept")

    def plainly(x_ntd, weights_nt):
        return jnp.einsum("ntd,nt->nd", jnp.sin(x_ntd), jnp.where(mask_nt, weights_nt, 0.0))

    np.testing.assert_allclose(
        jax.jit(by_rows)(X_BTF, weights_nt), plainly(X_BTF, weights_nt), atol=1e-6
    )
    found, expected = (
        jax.jit(jax.grad(lambda x, w, f=f: (f(x, w) ** 2).sum(), (0, 1)))(X_BTF, weights_nt)
        for f in (by_rows, plainly)
    )
    assert_close(found, expected)


def test_words_of_some_frames_are_those_of_all():
    key, rows = jax.random.key(3), jnp.asarray([4, 0, 2], jnp.int32)
    frames = jnp.asarray([[3, 0], [1, 2], [2, 2]], jnp.int32)
    every = jax.random.bits(key, (5, 4, 2), jnp.uint32)
    place = layers.Place(rows, frames, 4)
    found = layers.random_words(key, (3, 2, 2), place)
    np.testing.assert_array_equal(found, every[rows[:, None], frames])
    # Behind a token that stands in front of every row.
    every = jax.random.bits(key, (5, 5, 2), jnp.uint32)
    found = layers.random_words(key, (3, 3, 2), place.with_token())
    np.testing.assert_array_equal(found[:, 1:], every[rows[:, None], frames + 1])
    np.testing.assert_array_equal(found[:, 0], every[rows, 0])
