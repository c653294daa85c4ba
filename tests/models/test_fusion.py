import dataclasses
from functools import partial
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest

from fsrf_jax.arguments import make_parser, parse
from fsrf_jax.errors import ConfigError
from fsrf_jax.models.fusion import Fusion
from fsrf_jax.models.options import ModelOptions

KINDS = get_args(get_type_hints(ModelOptions)["fusion"])
M, B, D = 2, 4, 8
FUSIONS = {kind: Fusion(dataclasses.replace(case.OPTIONS, fusion=kind)) for kind in KINDS}
H = case.normal(0, M, B, D)
S = case.normal(5, M, B, D)
AVAILABLE = jnp.asarray([[1.0, 1, 0, 0], [1.0, 0, 1, 0]])
WHOLE = jnp.ones((M, B))
PARAMETERS = {
    kind: case.parameters_of(fusion, [H, S], AVAILABLE, train=False)
    for kind, fusion in FUSIONS.items()
}
every = pytest.mark.parametrize("kind", KINDS)


@partial(jax.jit, static_argnums=0)
def fuse(kind, h_mbd, s_mbd, available_mb):
    variables = {"params": PARAMETERS[kind]}
    return FUSIONS[kind].apply(variables, [h_mbd, s_mbd], available_mb, train=False)


@partial(jax.jit, static_argnums=0)
def gradients_of_row(kind, row):
    def value(parameters, h_mbd, s_mbd):
        variables = {"params": parameters}
        fused_bd = FUSIONS[kind].apply(variables, [h_mbd, s_mbd], AVAILABLE, train=False)
        return (fused_bd[row] * case.normal(9, D)).sum()

    return jax.grad(value, (0, 1, 2))(PARAMETERS[kind], H, S)


@every
def test_shape(kind):
    fused_bd = fuse(kind, H, S, AVAILABLE)
    assert fused_bd.shape == (B, D)
    assert fused_bd.dtype == jnp.float32


@every
def test_a_missing_token_stands_for_an_absent_modality(kind):
    for row in range(B):
        parameters, *codes = gradients_of_row(kind, row)
        for slot, (i, code) in enumerate((i, c) for i in range(M) for c in codes):
            present = AVAILABLE[i, row] > 0
            assert (np.abs(code[i, row]).max() > 0) == present
            assert (np.abs(parameters["missing"][slot]).max() > 0) == (not present)
            if kind == "transformer":
                assert np.abs(parameters["slot"][slot]).max() > 0
            case.assert_zero(jnp.delete(code[i], row, axis=0))
        if kind == "transformer":
            assert np.abs(parameters["class"]).max() > 0


@every
def test_the_codes_of_an_absent_modality_have_no_influence(kind):
    fused = fuse(kind, H, S, AVAILABLE)
    h, s = (jnp.where(AVAILABLE[..., None] > 0, x, 1e3) for x in (H, S))
    np.testing.assert_array_equal(fuse(kind, h, S, AVAILABLE), fused)
    np.testing.assert_array_equal(fuse(kind, H, s, AVAILABLE), fused)


@every
def test_the_missing_token_replaces_the_code(kind):
    """An absent modality gives the same as a present one whose code is that token."""
    missing_sd = PARAMETERS[kind]["missing"]
    fused = fuse(kind, H, S, AVAILABLE)
    h, s = (
        jnp.where(AVAILABLE[..., None] > 0, code, missing_sd[j::2][:, None])
        for j, code in enumerate((H, S))
    )
    np.testing.assert_allclose(fuse(kind, h, s, WHOLE), fused, rtol=1e-5, atol=1e-6)


@every
def test_slots_are_told_apart(kind):
    fused = fuse(kind, H, S, WHOLE)
    assert np.abs(fused - fuse(kind, S, H, WHOLE)).max() > 1e-2
    assert np.abs(fused - fuse(kind, H[::-1], S, WHOLE)).max() > 1e-2


@every
def test_nothing_available_is_finite(kind):
    fused = fuse(kind, H, S, jnp.zeros((M, B)))
    assert np.isfinite(fused).all()
    np.testing.assert_allclose(fused, jnp.tile(fused[:1], (B, 1)), rtol=1e-6)


def test_the_parameters_of_each_kind():
    transformer = {"Block_0", "LayerNorm_0", "class", "missing", "slot"}
    assert ModelOptions().fusion == "transformer"
    assert set(PARAMETERS["transformer"]) == transformer
    assert set(PARAMETERS["concatenation"]) == {"LayerNorm_0", "Perceptron_0", "missing"}


def test_unknown_kinds_are_refused():
    assert set(KINDS) == {"concatenation", "transformer"}
    with pytest.raises(ConfigError) as error:
        parse(make_parser("train", ""), ["--model.fusion", "sum"])
    assert "model.fusion" in str(error.value)
    assert "one of 'transformer', 'concatenation'" in str(error.value)


def test_concatenation_against_float64():
    """Tokens side by side, two dense layers with GELU, normalisation, sample by sample."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), PARAMETERS["concatenation"])
    first, second = (p["Perceptron_0"][name] for name in ("Dense_0", "Dense_1"))
    assert first["kernel"].shape == (4 * D, 2 * D)
    fused = fuse("concatenation", H, S, AVAILABLE)
    for b in range(B):
        tokens = []
        for i in range(M):
            codes = (H[i, b], S[i, b])
            tokens += codes if AVAILABLE[i, b] > 0 else list(p["missing"][2 * i : 2 * i + 2])
        hidden = np.concatenate(tokens, dtype=np.float64) @ first["kernel"] + first["bias"]
        cube = np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)
        mixed = 0.5 * hidden * (1 + np.tanh(cube)) @ second["kernel"] + second["bias"]
        mixed = (mixed - mixed.mean()) / np.sqrt(mixed.var() + 1e-6)
        expected = mixed * p["LayerNorm_0"]["scale"] + p["LayerNorm_0"]["bias"]
        np.testing.assert_allclose(fused[b], expected, rtol=1e-4, atol=1e-5)


@every
def test_dropout(kind):
    fusion = Fusion(dataclasses.replace(FUSIONS[kind].options, dropout=0.5))

    @jax.jit
    def run(key):
        variables = {"params": PARAMETERS[kind]}
        return fusion.apply(variables, [H, S], AVAILABLE, train=True, rngs={"dropout": key})

    assert np.abs(run(jax.random.key(0)) - run(jax.random.key(1))).max() > 1e-2
