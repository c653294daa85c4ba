import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest

from fsrf_jax.models.encoder import ModalityEncoder, masked_mean

B, T, F = 4, 6, 3
AWARE = ModalityEncoder(
    width=8, heads=2, layers=1, expansion=2, kernel=3, dropout=0.0, mask_aware=True
)
UNAWARE = dataclasses.replace(AWARE, mask_aware=False)
both = pytest.mark.parametrize("encoder", [AWARE, UNAWARE], ids=["aware", "unaware"])

X_BTF = case.normal(0, B, T, F)
VALID = jnp.asarray([[1] * 6, [1] * 6, [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], bool)
OBSERVED = jnp.asarray([[1, 0, 1, 1, 0, 1], [0] * 6, [1, 1, 1, 0, 0, 1], [0, 1, 1, 0, 1, 1]], bool)
PARAMETERS = case.parameters_of(AWARE, X_BTF, VALID, OBSERVED, train=False)


@partial(jax.jit, static_argnums=0)
def encode(encoder, x_btf, valid_bt=VALID, observed_bt=OBSERVED):
    return encoder.apply({"params": PARAMETERS}, x_btf, valid_bt, observed_bt, train=False)


def test_masked_mean():
    x_btd = case.normal(1, B, T, 2)
    mean_bd, gradient = (
        jax.jit(masked_mean)(x_btd, OBSERVED),
        jax.grad(lambda x: masked_mean(x, OBSERVED).sum())(x_btd),
    )
    for b, mask_t in enumerate(np.asarray(OBSERVED)):
        expected_d = np.asarray(x_btd)[b, mask_t].mean(axis=0) if mask_t.any() else np.zeros(2)
        np.testing.assert_allclose(mean_bd[b], expected_d, rtol=1e-5, atol=1e-6)
        share = 1 / max(mask_t.sum(), 1)
        np.testing.assert_allclose(gradient[b], share * mask_t[:, None] * np.ones(2), rtol=1e-6)


@both
def test_missing_and_padding_frames_are_not_looked_at(encoder):
    seen = OBSERVED & VALID
    z_bd, available_b = encode(encoder, X_BTF)
    np.testing.assert_array_equal(available_b, [1, 0, 1, 1])
    case.assert_zero(z_bd[1])
    changed = encode(encoder, jnp.where(seen[..., None], X_BTF, 1e3))[0]
    np.testing.assert_array_equal(changed, z_bd)
    gradient = jax.jit(jax.grad(lambda x: (encode(encoder, x)[0] * case.normal(3, B, 8)).sum()))(
        X_BTF
    )
    case.assert_zero(gradient[~seen])
    assert (np.abs(gradient[seen]).max(axis=1) > 0).all()


@both
def test_padding_behind_has_no_influence(encoder):
    longer_btf = jnp.pad(X_BTF, ((0, 0), (0, 3), (0, 0)), constant_values=7)
    longer_valid, longer_observed = (jnp.pad(mask, ((0, 0), (0, 3))) for mask in (VALID, OBSERVED))
    for observed in (longer_observed, jnp.ones_like(longer_observed)):
        z_bd, _ = encode(encoder, X_BTF, VALID, observed[:, :T])
        longer_bd, _ = encode(encoder, longer_btf, longer_valid, observed)
        np.testing.assert_allclose(longer_bd, z_bd, rtol=1e-4, atol=1e-5)


def test_only_the_unaware_encoder_attends_to_missing_frames():
    """With the missing frames counted as valid or as padding: no difference to the aware one."""
    without = VALID & OBSERVED
    aware, unaware = encode(AWARE, X_BTF)[0], encode(UNAWARE, X_BTF)[0]
    np.testing.assert_allclose(encode(AWARE, X_BTF, without)[0], aware, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encode(UNAWARE, X_BTF, without)[0], aware, rtol=1e-5, atol=1e-6)
    assert np.abs(unaware - aware)[jnp.asarray([0, 2, 3])].max() > 1e-2


@both
def test_nothing_observed_gives_no_gradient_to_the_parameters(encoder):
    def value(parameters, observed_bt):
        z_bd, _ = encoder.apply({"params": parameters}, X_BTF, VALID, observed_bt, train=False)
        return (z_bd * case.normal(3, B, 8)).sum()

    gradient = jax.jit(jax.grad(value))
    case.assert_zero(gradient(PARAMETERS, jnp.zeros_like(OBSERVED)))
    for leaf in jax.tree.leaves(gradient(PARAMETERS, OBSERVED)):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


def test_samples_do_not_see_each_other():
    z_bd, _ = encode(AWARE, X_BTF)
    changed, _ = encode(AWARE, X_BTF.at[0].add(1.0))
    np.testing.assert_array_equal(changed[1:], z_bd[1:])
    assert np.abs(changed[0] - z_bd[0]).max() > 1e-2


def test_the_order_of_the_frames_matters():
    whole = jnp.ones_like(VALID)
    z_bd, _ = encode(AWARE, X_BTF, whole, whole)
    other, _ = encode(AWARE, X_BTF[:, ::-1], whole, whole)
    assert np.abs(z_bd - other).min() > 1e-5


def test_dropout_in_training():
    encoder = dataclasses.replace(AWARE, dropout=0.5)

    @jax.jit
    def run(key):
        rngs = {"dropout": key}
        variables = {"params": PARAMETERS}
        return encoder.apply(variables, X_BTF, VALID, OBSERVED, train=True, rngs=rngs)[0]

    one, other = run(jax.random.key(0)), run(jax.random.key(1))
    assert np.abs(one - other)[0].max() > 1e-2
    case.assert_zero(one[1])
