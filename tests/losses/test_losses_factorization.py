"""What is special to each term; what all terms keep is in `test_losses_terms.py`."""

import chex
import jax
import losses_reference as reference
import numpy as np

from fsrf_jax.losses import cross_correlation, factorization

WEIGHTS = reference.example_batch().weights


def view(available=None):
    codes = reference.example_outputs(available=available).codes
    return jax.tree.map(lambda x: np.asarray(x)[0], codes)


def product(x_bd, y_bd, weights_b):
    return x_bd[0, 0] * y_bd[0, 0]


def test_redundancy_has_12_pairs_for_3_modalities():
    """Every code is one number: the products of the two say which pairs were formed."""
    values = iter([2.0, 3, 5, 7, 11, 13, 17, 19, 23])
    h, s, n = ({m: np.full((16, 1), next(values)) for m in reference.MODALITIES} for _ in "hsn")
    codes = view(dict.fromkeys(reference.MODALITIES, 1))
    codes = codes.replace(homogeneous=h, heterogeneous=s, noise=n)

    pairs = [2 * 7, 2 * 17, 7 * 17, 3 * 11, 3 * 19, 11 * 19, 5 * 13, 5 * 23, 13 * 23]
    pairs += [7 * 11, 7 * 13, 11 * 13]
    term = factorization.redundancy(codes, WEIGHTS, product, hold_homogeneous=False)
    np.testing.assert_allclose(term.value, np.mean(pairs), rtol=1e-6)
    np.testing.assert_allclose(term.weight, 12 * WEIGHTS.sum())


def test_held_homogeneous_codes_change_the_gradient_of_nothing_else():
    def gradient(hold):
        def value(codes):
            how = {"hold_homogeneous": hold}
            return factorization.redundancy(codes, WEIGHTS, cross_correlation, **how).value

        return jax.jit(jax.value_and_grad(value))(view())

    (held, held_slope), (free, free_slope) = gradient(True), gradient(False)
    assert held == free
    assert max(np.abs(x).max() for x in free_slope.homogeneous.values()) > 1e-4
    assert all((x == 0).all() for x in held_slope.homogeneous.values())
    for name in ("heterogeneous", "noise"):
        chex.assert_trees_all_close(getattr(held_slope, name), getattr(free_slope, name), rtol=1e-6)


def test_homogeneous_has_3_pairs_for_3_modalities():
    h = {m: np.full((16, 1), value) for m, value in zip("abc", (2.0, 3.0, 5.0), strict=True)}
    codes = view(dict.fromkeys(reference.MODALITIES, 1))
    codes = codes.replace(homogeneous=h, available=dict.fromkeys(h, np.ones(16)))
    term = factorization.homogeneous(codes, WEIGHTS, product)
    np.testing.assert_allclose(term.value, np.mean([2 * 3, 2 * 5, 3 * 5]))


def test_one_modality_in_all():
    codes = view()
    codes = codes.replace(available={"audio": codes.available["audio"]})
    assert factorization.homogeneous(codes, WEIGHTS, product) == (0, 0)
    term = factorization.redundancy(codes, WEIGHTS, product, hold_homogeneous=True)
    assert term.weight == 3 * np.sum(codes.available["audio"] * WEIGHTS)


def test_weights_of_modalities_and_pairs():
    codes = view()
    available = {m: np.asarray(codes.available[m]) for m in reference.MODALITIES}
    of_modalities = factorization.modalities(codes, WEIGHTS)
    assert [m for m, _ in of_modalities] == ["audio", "language", "vision"]
    for m, w_b in of_modalities:
        np.testing.assert_array_equal(w_b, available[m] * WEIGHTS)
    of_pairs = factorization.pairs(codes, 2 * WEIGHTS)
    names = [("audio", "language"), ("audio", "vision"), ("language", "vision")]
    assert [pair[:2] for pair in of_pairs] == names
    for m, n, w_b in of_pairs:
        np.testing.assert_array_equal(w_b, 2 * available[m] * available[n] * WEIGHTS)
