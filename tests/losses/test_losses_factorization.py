from functools import partial
from itertools import combinations

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest

from fsrf_jax.losses import factorization
from fsrf_jax.losses.dependence import cross_correlation
from fsrf_jax.losses.divergences import infonce
from fsrf_jax.losses.factorization import mean_valid_frame
from fsrf_jax.losses.task import regression

BATCH = reference.example_batch()
TARGET = {m: mean_valid_frame(BATCH.features[m], BATCH.valid[m]) for m in BATCH.features}
l1 = partial(regression, kind="l1")

TERMS = {
    "homogeneous": lambda c, a, w: factorization.homogeneous(c, w, infonce),
    "heterogeneous": lambda c, a, w: factorization.heterogeneous(c, a, BATCH.labels, w, l1),
    "noise": lambda c, a, w: factorization.noise(c, a, BATCH.labels, w, bound=3.0, floor=1.0),
    "redundancy": lambda c, a, w: factorization.redundancy(c, w, cross_correlation),
    "reconstruction": lambda c, a, w: factorization.reconstruction(c, a, TARGET, w),
}
every = pytest.mark.parametrize("name", sorted(TERMS))


def view(available=None, seed=0):
    outputs = reference.example_outputs(seed, available=available)
    return jax.tree.map(lambda x: x[0], (outputs.codes, outputs.auxiliary))


def as_float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def expected(name, codes, auxiliary, weights_b):
    """The term in NumPy: its value and weight."""
    codes, auxiliary, target = as_float64(codes), as_float64(auxiliary), as_float64(TARGET)
    y, w = as_float64(BATCH.labels), as_float64(weights_b)
    h, s, n, a = codes.homogeneous, codes.heterogeneous, codes.noise, codes.available
    pairs = list(combinations(reference.MODALITIES, 2))
    terms = []
    if name == "homogeneous":
        for m, o in pairs:
            weight = a[m] * a[o] * w
            terms.append((reference.infonce(h[m], h[o], weight), weight.sum()))
    for m in reference.MODALITIES:
        weight = a[m] * w
        if weight.sum() == 0:
            continue
        if name == "heterogeneous":
            value = np.average(np.abs(auxiliary.heterogeneous[m] - y), weights=weight)
            terms.append((value, weight.sum()))
        if name == "noise":
            error = np.average(np.minimum(np.abs(auxiliary.noise[m] - y), 3), weights=weight)
            floor = np.maximum(0, 1 - reference.std(n[m], weight)).mean()
            terms.append((error + floor, weight.sum()))
        if name == "redundancy":
            for x, z in [(h[m], s[m]), (h[m], n[m]), (s[m], n[m])]:
                terms.append((reference.cross_correlation(x, z, weight), weight.sum()))
        if name == "reconstruction":
            value = reference.mse(auxiliary.reconstruction[m], target[m], weight)
            terms.append((value, weight.sum()))
    if name == "redundancy":
        for m, o in pairs:
            weight = a[m] * a[o] * w
            terms.append((reference.cross_correlation(s[m], s[o], weight), weight.sum()))
    terms = [term for term in terms if term[1] > 0]
    return np.mean([v for v, _ in terms]), np.sum([w for _, w in terms])


@every
def test_value(name):
    codes, auxiliary = view()
    term = jax.jit(TERMS[name])(codes, auxiliary, BATCH.weights)
    np.testing.assert_allclose(term, expected(name, codes, auxiliary, BATCH.weights), rtol=1e-5)


@every
def test_value_with_an_absent_modality(name):
    codes, auxiliary = view({"language": 1, "audio": 0, "vision": 1})
    term = jax.jit(TERMS[name])(codes, auxiliary, BATCH.weights)
    np.testing.assert_allclose(term, expected(name, codes, auxiliary, BATCH.weights), rtol=1e-5)


@every
def test_one_modality_available(name):
    codes, auxiliary = view({"language": 0, "audio": 1, "vision": 0})
    term = jax.jit(TERMS[name])(codes, auxiliary, BATCH.weights)
    if name == "homogeneous":
        assert (term.value, term.weight) == (0, 0)
    else:
        values = expected(name, codes, auxiliary, BATCH.weights)
        np.testing.assert_allclose(term, values, rtol=1e-5)


@every
@pytest.mark.parametrize("nothing", ["all missing", "all weights zero"])
def test_without_weight_zero_and_zero_gradient(name, nothing):
    available = {m: float(nothing != "all missing") for m in reference.MODALITIES}
    weights_b = BATCH.weights * (nothing != "all weights zero")

    def value(trees):
        term = TERMS[name](*trees, weights_b)
        return term.value, term.weight

    (result, weight), gradients = jax.jit(jax.value_and_grad(value, has_aux=True))(view(available))
    assert (result, weight) == (0, 0)
    chex.assert_trees_all_equal(gradients, jax.tree.map(jnp.zeros_like, gradients))


@every
def test_what_is_not_available_has_no_gradient(name):
    codes, auxiliary = view()
    available = codes.available

    def value(trees):
        codes, auxiliary = trees
        return TERMS[name](codes.replace(available=available), auxiliary, BATCH.weights).value

    codes_gradient, auxiliary_gradient = jax.jit(jax.grad(value))((codes, auxiliary))
    used = 0.0
    for m in reference.MODALITIES:
        counts_b = np.asarray(available[m] * BATCH.weights) > 0
        gradients = [
            codes_gradient.homogeneous[m],
            codes_gradient.heterogeneous[m],
            codes_gradient.noise[m],
            auxiliary_gradient.heterogeneous[m],
            auxiliary_gradient.noise[m],
            auxiliary_gradient.reconstruction[m],
        ]
        for gradient in gradients:
            assert np.isfinite(gradient).all()
            np.testing.assert_array_equal(gradient[~counts_b], 0)
            used += np.abs(gradient).sum()
    assert used > 0


@every
def test_the_order_of_the_modalities_does_not_matter(name):
    codes, auxiliary = view()

    def reverse(tree):
        return {m: tree[m] for m in reversed(list(tree))}

    other = codes.replace(available=reverse(codes.available))
    chex.assert_trees_all_equal(
        TERMS[name](codes, auxiliary, BATCH.weights), TERMS[name](other, auxiliary, BATCH.weights)
    )


def test_redundancy_has_12_pairs_for_3_modalities():
    """Every code is one number: the products of the two say which pairs were formed."""
    codes, _ = view(dict.fromkeys(reference.MODALITIES, 1))
    values = iter([2.0, 3, 5, 7, 11, 13, 17, 19, 23])
    h, s, n = ({m: jnp.full((16, 1), next(values)) for m in reference.MODALITIES} for _ in "hsn")
    codes = codes.replace(homogeneous=h, heterogeneous=s, noise=n)

    def product(x_bd, y_bd, weights_b):
        return x_bd[0, 0] * y_bd[0, 0]

    pairs = [2 * 7, 2 * 17, 7 * 17, 3 * 11, 3 * 19, 11 * 19, 5 * 13, 5 * 23, 13 * 23]
    pairs += [7 * 11, 7 * 13, 11 * 13]
    term = factorization.redundancy(codes, BATCH.weights, product)
    np.testing.assert_allclose(term.value, np.mean(pairs), rtol=1e-6)
    np.testing.assert_allclose(term.weight, 12 * BATCH.weights.sum())


def test_one_modality_in_all():
    codes, auxiliary = view()
    codes = codes.replace(available={"audio": codes.available["audio"]})
    assert TERMS["homogeneous"](codes, auxiliary, BATCH.weights) == (0, 0)
    assert TERMS["redundancy"](codes, auxiliary, BATCH.weights).value > 0


def test_noise_error_is_bounded_and_then_has_no_gradient():
    codes, auxiliary = view(dict.fromkeys(reference.MODALITIES, 1))
    far = auxiliary.replace(noise=jax.tree.map(lambda x: x + 100, auxiliary.noise))

    def value(auxiliary):
        return factorization.noise(
            codes, auxiliary, BATCH.labels, BATCH.weights, bound=3.0, floor=0.0
        ).value

    result, gradients = jax.value_and_grad(value)(far)
    np.testing.assert_allclose(result, 3, rtol=1e-6)
    chex.assert_trees_all_equal(gradients, jax.tree.map(jnp.zeros_like, gradients))


@pytest.mark.parametrize("floor", [0.0, 0.5, 1.0])
def test_variance_floor(floor):
    x_bd, _, w_b = reference.codes_and_weights(0)
    value = factorization.variance_floor(x_bd, w_b, floor=floor)
    hinge = np.maximum(0, floor - reference.std(x_bd, w_b)).mean()
    np.testing.assert_allclose(value, hinge, rtol=1e-5, atol=1e-7)


def test_variance_floor_of_nothing_and_of_zeros():
    zeros, ones = jnp.zeros((5, 3)), jnp.ones(5)
    floor = partial(factorization.variance_floor, floor=1.0)
    for weights_b, expected_value in ((ones, 1), (0 * ones, 0)):
        value, gradient = jax.value_and_grad(floor)(zeros, weights_b)
        assert value == expected_value
        np.testing.assert_array_equal(gradient, zeros)


def test_noise_and_variance_floor_gradients_against_finite_differences():
    codes, auxiliary = view()
    with jax.enable_x64(True):
        to_float64 = partial(jax.tree.map, lambda x: jnp.asarray(x, jnp.float64))
        codes, auxiliary = to_float64(codes), to_float64(auxiliary)
        labels, weights = to_float64(BATCH.labels), to_float64(BATCH.weights)

        @jax.jit
        def value(x_bd, prediction_b):
            return factorization.noise(
                codes.replace(noise=codes.noise | {"audio": x_bd}),
                auxiliary.replace(noise=auxiliary.noise | {"audio": prediction_b}),
                labels,
                weights,
                bound=3.0,
                floor=1.3,
            ).value

        chex.assert_numerical_grads(value, (codes.noise["audio"], auxiliary.noise["audio"]), 1)


def test_mean_valid_frame():
    features = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    valid = np.array([[True, False, True, False], [False] * 4])
    expected_bf = np.stack([(features[0, 0] + features[0, 2]) / 2, np.zeros(3)])
    np.testing.assert_allclose(jax.jit(mean_valid_frame)(features, valid), expected_bf)


def test_mse_of_reconstruction_is_per_feature():
    codes, auxiliary = view(dict.fromkeys(reference.MODALITIES, 1))
    off_by_2 = auxiliary.replace(reconstruction=jax.tree.map(lambda x: x + 2, TARGET))
    term = factorization.reconstruction(codes, off_by_2, TARGET, BATCH.weights)
    np.testing.assert_allclose(term.value, 4, rtol=1e-5)
    assert term.weight == 3 * BATCH.weights.sum()


def test_shapes_are_checked():
    codes, auxiliary = view()
    with pytest.raises(AssertionError):
        TERMS["noise"](codes, auxiliary, BATCH.weights[:, None])
