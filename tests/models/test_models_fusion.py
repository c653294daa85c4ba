import jax
import jax.numpy as jnp
import models_case as case
import numpy as np

from fsrf_jax.models.fusion import Fusion

MODALITIES = ("language", "audio")
B, D = 4, 8
FUSION = Fusion(MODALITIES, heads=2, layers=1, expansion=2, dropout=0.0)
H = {m: case.normal(i, B, D) for i, m in enumerate(MODALITIES)}
S = {m: case.normal(5 + i, B, D) for i, m in enumerate(MODALITIES)}
AVAILABLE = {"language": jnp.asarray([1.0, 1, 0, 0]), "audio": jnp.asarray([1.0, 0, 1, 0])}
PARAMETERS = case.parameters_of(FUSION, H, S, AVAILABLE, train=False)


@jax.jit
def fuse(parameters, h, s, available):
    return FUSION.apply({"params": parameters}, h, s, available, train=False)


@jax.jit
def gradients_of_row(row, parameters=PARAMETERS):
    def value(parameters, h, s):
        return (fuse(parameters, h, s, AVAILABLE)[row] * case.normal(9, D)).sum()

    return jax.grad(value, (0, 1, 2))(parameters, H, S)


def test_shape():
    assert fuse(PARAMETERS, H, S, AVAILABLE).shape == (B, D)


def test_a_missing_token_stands_for_an_absent_modality():
    for row in range(B):
        parameters, *codes = gradients_of_row(row)
        for slot, (m, code) in enumerate((m, c) for m in MODALITIES for c in codes):
            present = AVAILABLE[m][row] > 0
            assert (np.abs(code[m][row]).max() > 0) == present
            assert (np.abs(parameters["missing"][slot]).max() > 0) == (not present)
            assert np.abs(parameters["slot"][slot]).max() > 0
            case.assert_zero(jnp.delete(code[m], row, axis=0))
        assert np.abs(parameters["class"]).max() > 0


def test_the_codes_of_an_absent_modality_have_no_influence():
    fused = fuse(PARAMETERS, H, S, AVAILABLE)
    other = {m: jnp.where(AVAILABLE[m][:, None] > 0, x, 1e3) for m, x in H.items()}
    np.testing.assert_array_equal(fuse(PARAMETERS, other, S, AVAILABLE), fused)


def test_the_missing_token_replaces_the_code():
    """An absent modality gives the same as a present one whose code is that token."""
    missing = PARAMETERS["missing"]
    fused = fuse(PARAMETERS, H, S, AVAILABLE)
    h, s = (
        {
            m: jnp.where(AVAILABLE[m][:, None] > 0, code[m], missing[2 * i + j][None])
            for i, m in enumerate(MODALITIES)
        }
        for j, code in enumerate((H, S))
    )
    whole = {m: jnp.ones(B) for m in MODALITIES}
    np.testing.assert_allclose(fuse(PARAMETERS, h, s, whole), fused, rtol=1e-5, atol=1e-6)


def test_slots_are_told_apart():
    whole = {m: jnp.ones(B) for m in MODALITIES}
    swapped = {"language": H["audio"], "audio": H["language"]}
    assert np.abs(fuse(PARAMETERS, H, S, whole) - fuse(PARAMETERS, S, H, whole)).max() > 1e-2
    assert np.abs(fuse(PARAMETERS, H, S, whole) - fuse(PARAMETERS, swapped, S, whole)).max() > 1e-2


def test_nothing_available_is_finite():
    nothing = {m: jnp.zeros(B) for m in MODALITIES}
    fused = fuse(PARAMETERS, H, S, nothing)
    assert np.isfinite(fused).all()
    np.testing.assert_allclose(fused, jnp.tile(fused[:1], (B, 1)), rtol=1e-6)
