import dataclasses

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest
from jax.ad_checkpoint import print_saved_residuals

from fsrf_jax.models import chunks

B, T, F = 6, 9, 5
OPTIONS = {
    "mean": case.OPTIONS,
    "two blocks, dropped": dataclasses.replace(case.OPTIONS, encoder_layers=2, dropout=0.3),
    "class token": dataclasses.replace(case.OPTIONS, pool="cls"),
    "learned frame, attention": dataclasses.replace(
        case.OPTIONS, missing_frame="learned", pool="attention"
    ),
}
every = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
X_BTF = case.normal(0, B, T, F)
VALID_BT = jnp.arange(T)[None] < jnp.asarray([9, 4, 9, 1, 7, 9])[:, None]
OBSERVED_NT = jax.random.bernoulli(jax.random.key(0), 0.6, (2 * B, T)).at[2].set(False)


def objective(options, parameters, x_btf):
    """A sum of the codes, and the codes."""
    given = {"params": parameters}, x_btf, VALID_BT, OBSERVED_NT
    rngs = {"dropout": jax.random.key(5)}
    z_nd, _ = case.OneModality(options).apply(*given, train=True, rngs=rngs)
    return (z_nd * case.normal(9, *z_nd.shape)).sum(), z_nd


def trained(options, parameters):
    """Codes and the gradient by the parameters."""
    both = jax.grad(objective, 1, has_aux=True)
    gradient, z_nd = jax.jit(both, static_argnums=0)(options, parameters, X_BTF)
    return z_nd, gradient


def parameters_of(options):
    given = X_BTF, VALID_BT, OBSERVED_NT
    return case.parameters_of(case.OneModality(options), *given, train=False)


@every
def test_bfloat16_agrees_with_float32(options):
    """Codes to one in a hundred; the gradient points where it did. All that is kept is float32."""
    parameters = parameters_of(options)
    halved = dataclasses.replace(options, precision="bfloat16")
    (z_nd, gradient), (expected_nd, of_float32) = (
        trained(o, parameters) for o in (halved, options)
    )
    assert {x.dtype for x in jax.tree.leaves((z_nd, gradient))} == {jnp.dtype("float32")}
    assert jax.tree.map(jnp.shape, parameters_of(halved)) == jax.tree.map(jnp.shape, parameters)
    error = np.linalg.norm(z_nd - expected_nd) / np.linalg.norm(expected_nd)
    assert 1e-4 < error < 1e-2
    for found, expected in zip(jax.tree.leaves(gradient), jax.tree.leaves(of_float32), strict=True):
        length = np.linalg.norm(expected)
        assert np.linalg.norm(found - expected) < 0.05 * length + 1e-3 * case.largest(of_float32)
    case.assert_zero(z_nd[2])  # nothing observed


def test_what_is_computed_again_is_the_same(monkeypatch):
    options = OPTIONS["two blocks, dropped"]
    monkeypatch.setattr(chunks, "one_cache", lambda *_: False)
    parameters = parameters_of(options)
    again = dataclasses.replace(options, recompute=True)
    found, expected = (trained(o, parameters) for o in (again, options))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_less_is_kept_of_what_is_computed_again(monkeypatch, capsys):
    monkeypatch.setattr(chunks, "one_cache", lambda *_: False)
    parameters, kept = parameters_of(case.OPTIONS), {}
    for again in (True, False):
        options = dataclasses.replace(case.OPTIONS, recompute=again)
        print_saved_residuals(lambda p, o=options: objective(o, p, X_BTF)[0], parameters)
        lines = capsys.readouterr().out.splitlines()
        shapes = [line.split("[")[1].split("]")[0] for line in lines if "argument" not in line]
        kept[again] = sum(np.prod([int(n) for n in shape.split(",") if n]) for shape in shapes)
    assert kept[True] < kept[False] / 4
