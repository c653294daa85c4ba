from functools import partial

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np

from fsrf_jax.models.factorization import Factorizer

MODALITIES = ("language", "audio", "vision")
FACTORIZER = Factorizer(MODALITIES, width=8, dropout=0.25)
B = 5
POOLED = {m: case.normal(i, B, 8) for i, m in enumerate(MODALITIES)}
AVAILABLE = {
    "language": jnp.ones(B),
    "audio": jnp.asarray([1.0, 0, 1, 0, 1]),
    "vision": jnp.zeros(B),
}
ALL = {m: jnp.ones(B) for m in MODALITIES}
PARAMETERS = case.parameters_of(FACTORIZER, POOLED, ALL, train=False)


@partial(jax.jit, static_argnames="train")
def factorize(parameters, pooled, available, train=False, key=None):
    rngs = {"dropout": key} if train else {}
    return FACTORIZER.apply({"params": parameters}, pooled, available, train=train, rngs=rngs)


def test_one_encoder_for_the_homogeneous_codes_and_private_ones_for_the_others():
    same = dict.fromkeys(MODALITIES, POOLED["audio"])
    h, s, n, _ = factorize(PARAMETERS, same, ALL)
    for m in MODALITIES[1:]:
        np.testing.assert_allclose(h[m], h["language"], rtol=1e-5, atol=1e-6)
        for private in (s, n):
            assert np.abs(private[m] - private["language"]).max() > 0.1
    assert all(np.abs(h[m] - s[m]).max() > 0.1 for m in MODALITIES)
    assert all(np.abs(n[m] - s[m]).max() > 0.1 for m in MODALITIES)
    assert PARAMETERS["homogeneous"]["Dense_0"]["kernel"].shape == (8, 16)
    assert PARAMETERS["heterogeneous"]["Dense_0"]["kernel"].shape == (3, 8, 16)


def test_zero_and_no_gradient_where_unavailable():
    for code in factorize(PARAMETERS, POOLED, AVAILABLE)[:3]:
        case.assert_zero(code["audio"][1::2])
        case.assert_zero(code["vision"])
        assert (np.abs(code["language"]).max(axis=1) > 0).all()

    def value(parameters, pooled):
        codes = factorize(parameters, pooled, AVAILABLE)[:3]
        return sum((code[m] ** 2).sum() for code in codes for m in MODALITIES)

    of_parameters, of_pooled = jax.grad(value, (0, 1))(PARAMETERS, POOLED)
    case.assert_zero(of_pooled["vision"])
    case.assert_zero(of_pooled["audio"][1::2])
    assert np.abs(of_pooled["audio"][::2]).max(axis=1).min() > 0
    for name in ("heterogeneous", "noise"):
        for leaf in jax.tree.leaves(of_parameters[name]):
            case.assert_zero(leaf[2])
            assert np.abs(leaf[:2]).max() > 0


def test_a_modality_has_codes_of_its_own_only():
    changed = POOLED | {"audio": POOLED["audio"] + 1}
    before, after = (factorize(PARAMETERS, pooled, ALL)[:3] for pooled in (POOLED, changed))
    for old, new in zip(before, after, strict=True):
        for m in MODALITIES:
            assert (np.abs(old[m] - new[m]).max() > 0.1) == (m == "audio")


def test_dropout_differs_between_modalities():
    same = dict.fromkeys(MODALITIES, POOLED["audio"])
    h, *_ = factorize(PARAMETERS, same, ALL, True, jax.random.key(0))
    assert np.abs(h["audio"] - h["language"]).max() > 0.05
    alike = jax.tree.map(lambda x: jnp.stack([x[0]] * 3), PARAMETERS["noise"])
    _, _, n, _ = factorize(PARAMETERS | {"noise": alike}, same, ALL, True, jax.random.key(0))
    assert np.abs(n["audio"] - n["language"]).max() > 0.05


def test_a_random_noise_code_is_drawn_in_training_only():
    factorizer = Factorizer(MODALITIES, width=8, dropout=0.0, random_noise=True)
    parameters = case.parameters_of(factorizer, POOLED, AVAILABLE, train=False)
    apply = jax.jit(factorizer.apply, static_argnames="train")
    variables = {"params": parameters}
    *_, n, moments = apply(variables, POOLED, AVAILABLE, train=False)
    for m in MODALITIES:
        assert moments[m].shape == (B, 2, 8)
        available = AVAILABLE[m] > 0
        np.testing.assert_array_equal(n[m][available], moments[m][:, 0][available])
        case.assert_zero(n[m][~available])
    keys = jax.random.split(jax.random.key(0), 2000)
    draw = jax.vmap(lambda k: apply(variables, POOLED, ALL, train=True, rngs={"dropout": k})[2])
    drawn = draw(keys)["audio"]
    mean, log_variance = moments["audio"][:, 0], moments["audio"][:, 1]
    std = jnp.exp(log_variance / 2)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * std.max() / 2000**0.5)
    np.testing.assert_allclose(drawn.std(axis=0) / std, 1, atol=0.1)


def test_the_log_variance_of_a_random_noise_code_is_limited():
    factorizer = Factorizer(MODALITIES, width=8, dropout=0.0, random_noise=True)
    far = jax.tree.map(lambda z: 1e6 * z, POOLED)
    parameters = case.parameters_of(factorizer, POOLED, ALL, train=False)
    *_, moments = factorizer.apply({"params": parameters}, far, ALL, train=False)
    assert max(np.abs(x[:, 1]).max() for x in moments.values()) <= 6
