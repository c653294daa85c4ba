import dataclasses

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest

from fsrf_jax.data.tokens import UNKNOWN
from fsrf_jax.models import chunks, layers
from fsrf_jax.models.encoder import ModalityEncoder

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

    def of(parameters, x_btf):
        rngs = {"dropout": jax.random.key(5)}
        given = {"params": parameters}, x_btf, VALID_BT, observed_nt
        z_nd, _ = encoder.apply(*given, train=train, rngs=rngs)
        return (z_nd * case.normal(9, *z_nd.shape)).sum(), z_nd

    inputs = (0,) if x_btf.dtype == jnp.int32 else (0, 1)
    return jax.jit(jax.grad(of, inputs, has_aux=True))(parameters, x_btf)


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
    encoder, masks = ModalityEncoder(options), observed(views)
    parameters = case.parameters_of(encoder, X_BTF, VALID_BT, masks, train=False)
    whole = trained(encoder, parameters, X_BTF, masks, train=True)
    for at_once in chunks:
        monkeypatch.setattr("fsrf_jax.models.encoder.samples_at_once", lambda *_, c=at_once: c)
        assert_close(trained(encoder, parameters, X_BTF, masks, train=True), whole)


def test_token_ids_a_few_at_a_time(monkeypatch):
    ids_bt1 = jax.random.randint(jax.random.key(0), (B, T, 1), UNKNOWN, 9)
    encoder, masks = ModalityEncoder(AWARE, 8), observed(2)
    parameters = case.parameters_of(encoder, ids_bt1, VALID_BT, masks, train=False)
    whole = trained(encoder, parameters, ids_bt1, masks, train=True)
    monkeypatch.setattr("fsrf_jax.models.encoder.samples_at_once", lambda *_: 2)
    assert_close(trained(encoder, parameters, ids_bt1, masks, train=True), whole)


@pytest.mark.parametrize("train", [False, True])
def test_views_in_one_pass_are_those_of_a_pass_for_each(train):
    """Without dropout; what one view alone observes counts in that view alone."""
    encoder = ModalityEncoder(dataclasses.replace(AWARE, dropout=0.0))
    masks = observed(3)
    parameters = case.parameters_of(encoder, X_BTF, VALID_BT, masks, train=False)
    _, together = trained(encoder, parameters, X_BTF, masks, train=train)
    for i in range(3):
        rows = slice(i * B, (i + 1) * B)
        _, alone = trained(encoder, parameters, X_BTF, masks[rows], train=train)
        np.testing.assert_allclose(together[rows], alone, rtol=1e-5, atol=1e-6)


def test_what_no_view_observes_may_be_nan():
    encoder, masks = ModalityEncoder(AWARE), observed(2)
    unseen = ~(masks.reshape(2, B, T).any(0) & VALID_BT)[..., None]
    parameters = case.parameters_of(encoder, X_BTF, VALID_BT, masks, train=False)
    expected = trained(encoder, parameters, X_BTF, masks, train=True)
    found = trained(encoder, parameters, jnp.where(unseen, jnp.nan, X_BTF), masks, train=True)
    assert unseen.any()
    assert_close(found, expected)


@pytest.mark.parametrize(
    ("n", "megabytes", "expected"),
    [(1, 1, 1), (32, 0.001, 32), (32, 0.5, 8), (33, 0.5, 9), (7, 100, 1), (32, 4, 1), (32, 2, 2)],
)
def test_how_many_samples_at_once(n, megabytes, expected):
    if jax.device_count() > 1:
        pytest.skip("with several devices all of them")
    assert chunks.samples_at_once(n, round(megabytes * 2**20)) == expected


def test_accelerators_take_all_samples_at_once(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert chunks.samples_at_once(1000, 10**9) == 1000


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 4, 2), (5, 1, 0)])
def test_words_of_some_rows_are_those_of_all(shape):
    key, rows = jax.random.key(3), jnp.asarray([4, 0, 2, 2], jnp.int32)
    every = jax.random.bits(key, shape, jnp.uint32)
    np.testing.assert_array_equal(layers.random_words(key, shape), every)
    found = layers.random_words(key, (4, *shape[1:]), rows)
    np.testing.assert_array_equal(found, every[rows])
