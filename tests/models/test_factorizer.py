from functools import partial

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np

from fsrf_jax.models.factorizer import LARGEST_LOG_VARIANCE, Factorizer

FACTORIZER = Factorizer(width=8, dropout=0.25)
M, B = 3, 5
POOLED = case.normal(0, M, B, 8)
AVAILABLE = jnp.asarray([[1.0, 0, 1, 0, 1], [1.0] * 5, [0.0] * 5])
ALL = jnp.ones((M, B))
PARAMETERS = case.parameters_of(FACTORIZER, POOLED, ALL, train=False)


@partial(jax.jit, static_argnames="train")
def factorize(parameters, z_mbd, available_mb, train=False, key=None):
    rngs = {"dropout": key} if train else {}
    return FACTORIZER.apply({"params": parameters}, z_mbd, available_mb, train=train, rngs=rngs)


def test_one_encoder_for_the_homogeneous_codes_and_private_ones_for_the_others():
    same = jnp.stack([POOLED[0]] * M)
    h, s, n, moments = factorize(PARAMETERS, same, ALL)
    assert moments is None
    assert h.shape == s.shape == n.shape == (M, B, 8)
    for i in range(1, M):
        np.testing.assert_allclose(h[i], h[0], rtol=1e-5, atol=1e-6)
        for private in (s, n):
            assert np.abs(private[i] - private[0]).max() > 0.1
    assert all(np.abs(h[i] - s[i]).max() > 0.1 for i in range(M))
    assert all(np.abs(n[i] - s[i]).max() > 0.1 for i in range(M))
    assert PARAMETERS["homogeneous"]["Dense_0"]["kernel"].shape == (8, 16)
    assert PARAMETERS["heterogeneous"]["Dense_0"]["kernel"].shape == (3, 8, 16)
    assert PARAMETERS["noise"]["Dense_1"]["kernel"].shape == (3, 16, 8)


def test_zero_and_no_gradient_where_unavailable():
    for code in factorize(PARAMETERS, POOLED, AVAILABLE)[:3]:
        case.assert_zero(code[0, 1::2])
        case.assert_zero(code[2])
        assert (np.abs(code[1]).max(axis=1) > 0).all()

    def value(parameters, z_mbd):
        return sum((code**2).sum() for code in factorize(parameters, z_mbd, AVAILABLE)[:3])

    of_parameters, of_pooled = jax.grad(value, (0, 1))(PARAMETERS, POOLED)
    case.assert_zero(of_pooled[2])
    case.assert_zero(of_pooled[0, 1::2])
    assert np.abs(of_pooled[0, ::2]).max(axis=1).min() > 0
    for name in ("heterogeneous", "noise"):
        for leaf in jax.tree.leaves(of_parameters[name]):
            case.assert_zero(leaf[2])
            assert np.abs(leaf[:2]).max() > 0


def test_a_modality_has_codes_of_its_own_only():
    changed = POOLED.at[0].add(1)
    before, after = (factorize(PARAMETERS, z_mbd, ALL)[:3] for z_mbd in (POOLED, changed))
    for old, new in zip(before, after, strict=True):
        for i in range(M):
            assert (np.abs(old[i] - new[i]).max() > 0.1) == (i == 0)


def test_dropout_differs_between_modalities():
    same = jnp.stack([POOLED[0]] * M)
    h, *_ = factorize(PARAMETERS, same, ALL, True, jax.random.key(0))
    assert np.abs(h[0] - h[1]).max() > 0.05
    alike = jax.tree.map(lambda x: jnp.stack([x[0]] * M), PARAMETERS["noise"])
    _, _, n, _ = factorize(PARAMETERS | {"noise": alike}, same, ALL, True, jax.random.key(0))
    assert np.abs(n[0] - n[1]).max() > 0.05


def test_a_random_noise_code_is_drawn_in_training_only():
    factorizer = Factorizer(width=8, dropout=0.0, random_noise=True)
    parameters = case.parameters_of(factorizer, POOLED, AVAILABLE, train=False)
    apply = jax.jit(factorizer.apply, static_argnames="train")
    variables = {"params": parameters}
    *_, n, (mean, log_variance) = apply(variables, POOLED, AVAILABLE, train=False)
    assert mean.shape == log_variance.shape == (M, B, 8)
    available = np.asarray(AVAILABLE) > 0
    np.testing.assert_array_equal(n[available], mean[available])
    case.assert_zero(n[~available])
    keys = jax.random.split(jax.random.key(0), 2000)
    draw = jax.vmap(lambda k: apply(variables, POOLED, ALL, train=True, rngs={"dropout": k})[2])
    drawn = draw(keys)
    std = jnp.exp(log_variance / 2)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * std.max() / 2000**0.5)
    np.testing.assert_allclose(drawn.std(axis=0) / std, 1, atol=0.1)
    absent = apply(variables, POOLED, AVAILABLE, train=True, rngs={"dropout": keys[0]})[2]
    case.assert_zero(absent[~available])


def test_the_log_variance_of_a_random_noise_code_is_limited():
    factorizer = Factorizer(width=8, dropout=0.0, random_noise=True)
    parameters = case.parameters_of(factorizer, POOLED, ALL, train=False)
    *_, (_, log_variance) = factorizer.apply({"params": parameters}, 1e6 * POOLED, ALL, train=False)
    assert np.abs(log_variance).max() <= LARGEST_LOG_VARIANCE == 6
