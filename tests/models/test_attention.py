from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import print_saved_residuals
from jax.test_util import check_grads

from fsrf_jax.models import attention, chunks

MEMBERS, B, H, T, S, C = 4, 3, 2, 7, 5, 4
ways = pytest.mark.parametrize("budget", [chunks.BUDGET, 0], ids=["together", "by head"])


@pytest.fixture(autouse=True, params=[True, False], ids=["one CPU", "elsewhere"])
def one_cpu(request, monkeypatch):
    monkeypatch.setattr(chunks, "one_cache", lambda *_: request.param)
    return request.param


def draw(scale=1.0, t=T, s=S):
    rng = np.random.default_rng(0)
    q, given = rng.normal(size=(2, MEMBERS, B, H, t, C)).astype(np.float32)
    k, v = rng.normal(size=(2, MEMBERS, B, H, s, C)).astype(np.float32)
    mask = jnp.asarray(rng.uniform(size=(MEMBERS, B, s)) < 0.6).at[:, 0].set(False)
    return np.float32(scale) * q, k, v, mask.at[:, 1:, 0].set(True), given


def plain_attention(q, k, v, mask):
    logits = jnp.einsum("bhtc,bhsc->bhts", q, k) / jnp.sqrt(jnp.float32(q.shape[-1]))
    where = jnp.broadcast_to(mask[:, None, None], logits.shape)
    return jnp.einsum("bhts,bhsc->bhtc", jax.nn.softmax(logits, axis=-1, where=where), v)


def value_and_gradient(function, q, k, v, mask, given):
    """Of the members, each by itself in one program."""

    def objective(q, k, v, mask, given):
        found = function(q, k, v, mask)
        return jnp.sum(found * given), found

    both = jax.value_and_grad(objective, (0, 1, 2), has_aux=True)
    (_, found), gradient = jax.jit(jax.vmap(both))(q, k, v, mask, given)
    return found, gradient


@ways
@pytest.mark.parametrize(("t", "s"), [(T, S), (T, T), (1, S), (T, 1)])
def test_value_and_gradient_are_those_of_the_formula(t, s, budget, monkeypatch):
    monkeypatch.setattr(chunks, "BUDGET", budget)
    drawn = draw(t=t, s=s)
    value, gradient = value_and_gradient(attention.attend, *drawn)
    wanted, of_formula = value_and_gradient(plain_attention, *drawn)
    np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-6)
    for found, expected in zip(gradient, of_formula, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert not found[:, 0].any()  # a row that attends to nothing
        assert np.abs(found[:, 1:]).max() > 0.1 or s == 1


@ways
@pytest.mark.parametrize("scale", [1e-6, 30.0, 1e4, 1e18])
def test_value_against_float64(scale, budget, monkeypatch):
    """Tiny logits, and those whose powers no float32 holds, seen or not."""
    monkeypatch.setattr(chunks, "BUDGET", budget)
    q, k, v, mask, given = draw(scale)
    value, gradient = value_and_gradient(attention.attend, q, k, v, mask, given)
    for place in np.ndindex(MEMBERS, B, H, T):
        seen = np.asarray(mask[place[:2]])
        expected = np.zeros(C)
        if seen.any():
            logits = k[place[:3]][seen].astype(np.float64) @ q[place] / np.sqrt(C)
            weights = np.exp(logits - logits.max())
            expected = weights / weights.sum() @ v[place[:3]][seen]
        np.testing.assert_allclose(value[place], expected, rtol=1e-3, atol=2e-3)
    assert all(np.isfinite(x).all() for x in gradient)


@ways
def test_gradient_against_finite_differences(budget, monkeypatch):
    monkeypatch.setattr(chunks, "BUDGET", budget)
    q, k, v, mask, given = (x[0] for x in draw())

    def objective(*inputs):
        return jnp.sum(attention.attend(*inputs, mask) * given)

    check_grads(objective, (q, k, v), order=1, modes=["rev"], rtol=2e-2, atol=2e-2)


def test_a_network_computed_again_keeps_what_attention_gave(capsys):
    """The weights are computed for the value and for the gradient, and no third time."""
    q, k, v, mask, _ = (x[0] for x in draw())
    policy = jax.checkpoint_policies.save_only_these_names(attention.KEPT)

    @partial(jax.checkpoint, policy=policy)
    def network(q, k, v):
        return jnp.sin(attention.attend(jnp.sin(q), k, v, mask))

    print_saved_residuals(network, q, k, v)
    lines = [line for line in capsys.readouterr().out.splitlines() if "argument" not in line]
    kept = [line for line in lines if f"named '{attention.KEPT}'" in line]
    assert {line.split()[0] for line in kept} == {f"f32[{B * H},{T},{C}]", f"f32[{B * H},{T}]"}
    assert all("bool" in line for line in set(lines) - set(kept))  # the mask, closed over
