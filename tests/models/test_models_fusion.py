import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest

from fsrf_jax.errors import ConfigError
from fsrf_jax.models.fusion import KINDS, Fusion

MODALITIES = ("language", "audio")
B, D = 4, 8
FUSION = Fusion(MODALITIES, heads=2, layers=1, expansion=2, dropout=0.0)
H = {m: case.normal(i, B, D) for i, m in enumerate(MODALITIES)}
S = {m: case.normal(5 + i, B, D) for i, m in enumerate(MODALITIES)}
AVAILABLE = {"language": jnp.asarray([1.0, 1, 0, 0]), "audio": jnp.asarray([1.0, 0, 1, 0])}
FUSIONS = {kind: dataclasses.replace(FUSION, kind=kind) for kind in KINDS}
PARAMETERS = {
    kind: case.parameters_of(fusion, H, S, AVAILABLE, train=False)
    for kind, fusion in FUSIONS.items()
}
every = pytest.mark.parametrize("kind", KINDS)


@partial(jax.jit, static_argnums=0)
def fuse(kind, h, s, available):
    variables = {"params": PARAMETERS[kind]}
    return FUSIONS[kind].apply(variables, h, s, available, train=False)


@partial(jax.jit, static_argnums=0)
def gradients_of_row(kind, row):
    def value(parameters, h, s):
        fused_bd = FUSIONS[kind].apply({"params": parameters}, h, s, AVAILABLE, train=False)
        return (fused_bd[row] * case.normal(9, D)).sum()

    return jax.grad(value, (0, 1, 2))(PARAMETERS[kind], H, S)


@every
def test_shape(kind):
    assert fuse(kind, H, S, AVAILABLE).shape == (B, D)


@every
def test_a_missing_token_stands_for_an_absent_modality(kind):
    for row in range(B):
        parameters, *codes = gradients_of_row(kind, row)
        for slot, (m, code) in enumerate((m, c) for m in MODALITIES for c in codes):
            present = AVAILABLE[m][row] > 0
            assert (np.abs(code[m][row]).max() > 0) == present
            assert (np.abs(parameters["missing"][slot]).max() > 0) == (not present)
            if kind == "transformer":
                assert np.abs(parameters["slot"][slot]).max() > 0
            case.assert_zero(jnp.delete(code[m], row, axis=0))
        if kind == "transformer":
            assert np.abs(parameters["class"]).max() > 0


@every
def test_the_codes_of_an_absent_modality_have_no_influence(kind):
    fused = fuse(kind, H, S, AVAILABLE)
    other = {m: jnp.where(AVAILABLE[m][:, None] > 0, x, 1e3) for m, x in H.items()}
    np.testing.assert_array_equal(fuse(kind, other, S, AVAILABLE), fused)


@every
def test_the_missing_token_replaces_the_code(kind):
    """An absent modality gives the same as a present one whose code is that token."""
    missing = PARAMETERS[kind]["missing"]
    fused = fuse(kind, H, S, AVAILABLE)
    h, s = (
        {
            m: jnp.where(AVAILABLE[m][:, None] > 0, code[m], missing[2 * i + j][None])
            for i, m in enumerate(MODALITIES)
        }
        for j, code in enumerate((H, S))
    )
    whole = {m: jnp.ones(B) for m in MODALITIES}
    np.testing.assert_allclose(fuse(kind, h, s, whole), fused, rtol=1e-5, atol=1e-6)


@every
def test_slots_are_told_apart(kind):
    whole = {m: jnp.ones(B) for m in MODALITIES}
    swapped = {"language": H["audio"], "audio": H["language"]}
    assert np.abs(fuse(kind, H, S, whole) - fuse(kind, S, H, whole)).max() > 1e-2
    assert np.abs(fuse(kind, H, S, whole) - fuse(kind, swapped, S, whole)).max() > 1e-2


@every
def test_nothing_available_is_finite(kind):
    nothing = {m: jnp.zeros(B) for m in MODALITIES}
    fused = fuse(kind, H, S, nothing)
    assert np.isfinite(fused).all()
    np.testing.assert_allclose(fused, jnp.tile(fused[:1], (B, 1)), rtol=1e-6)


def test_the_parameters_of_each_kind():
    transformer = {"Block_0", "LayerNorm_0", "class", "missing", "slot"}
    assert FUSION.kind == "transformer"
    assert set(PARAMETERS["transformer"]) == transformer
    assert set(PARAMETERS["concatenation"]) == {"LayerNorm_0", "Perceptron_0", "missing"}


def test_unknown_kinds_are_refused():
    with pytest.raises(ConfigError) as error:
        dataclasses.replace(FUSION, kind="sum")
    expected = "kind: found 'sum', expected one of concatenation, transformer."
    assert str(error.value) == expected


def test_concatenation_against_float64():
    """Tokens side by side, two dense layers with GELU, normalisation, sample by sample."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), PARAMETERS["concatenation"])
    first, second = (p["Perceptron_0"][name] for name in ("Dense_0", "Dense_1"))
    assert first["kernel"].shape == (4 * D, 2 * D)
    fused = fuse("concatenation", H, S, AVAILABLE)
    for b in range(B):
        tokens = []
        for i, m in enumerate(MODALITIES):
            codes = (H[m][b], S[m][b])
            tokens += codes if AVAILABLE[m][b] > 0 else list(p["missing"][2 * i : 2 * i + 2])
        hidden = np.concatenate(tokens, dtype=np.float64) @ first["kernel"] + first["bias"]
        cube = np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)
        mixed = 0.5 * hidden * (1 + np.tanh(cube)) @ second["kernel"] + second["bias"]
        mixed = (mixed - mixed.mean()) / np.sqrt(mixed.var() + 1e-6)
        expected = mixed * p["LayerNorm_0"]["scale"] + p["LayerNorm_0"]["bias"]
        np.testing.assert_allclose(fused[b], expected, rtol=1e-4, atol=1e-5)


def test_dropout_of_concatenation():
    fusion = dataclasses.replace(FUSIONS["concatenation"], dropout=0.5)

    @jax.jit
    def run(key):
        variables = {"params": PARAMETERS["concatenation"]}
        return fusion.apply(variables, H, S, AVAILABLE, train=True, rngs={"dropout": key})

    assert np.abs(run(jax.random.key(0)) - run(jax.random.key(1))).max() > 1e-2
