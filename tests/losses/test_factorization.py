"""What is special to each term; what all terms keep is in `test_terms.py`."""

import jax
import losses_reference as reference
import numpy as np
import pytest

from fsrf_jax.losses import cross_correlation, factorization
from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.divergences import DIVERGENCES

WEIGHTS = np.asarray(reference.example_batch().weights)
ALL = np.ones((3, 16), np.float32)


def constants(*values):
    """Codes of one number for each modality."""
    return np.stack([np.full((16, 1), value, np.float32) for value in values])


def product(x_bd, y_bd, weights_b):
    return x_bd[0, 0] * y_bd[0, 0]


def test_redundancy_has_12_pairs_for_3_modalities():
    """Every code is one number: the products of the two say which pairs were formed."""
    h, s, n = constants(2, 3, 5), constants(7, 11, 13), constants(17, 19, 23)
    pairs = [2 * 7, 2 * 17, 7 * 17, 3 * 11, 3 * 19, 11 * 19, 5 * 13, 5 * 23, 13 * 23]
    pairs += [7 * 11, 7 * 13, 11 * 13]
    term = factorization.redundancy(h, s, n, ALL, WEIGHTS, product, hold_homogeneous=False)
    np.testing.assert_allclose(term.value, np.mean(pairs), rtol=1e-6)
    np.testing.assert_allclose(term.weight, 12 * WEIGHTS.sum())


def test_held_homogeneous_codes_change_the_gradient_of_nothing_else():
    view = reference.example_view()

    def gradient(hold):
        def value(codes):
            return factorization.redundancy(
                *codes, view.available_mb, WEIGHTS, cross_correlation, hold_homogeneous=hold
            ).value

        return jax.jit(jax.value_and_grad(value))((view.h_mbd, view.s_mbd, view.n_mbd))

    (held, held_slope), (free, free_slope) = gradient(True), gradient(False)
    assert held == free
    assert np.abs(free_slope[0]).max() > 1e-4
    assert (held_slope[0] == 0).all()
    for of_held, of_free in zip(held_slope[1:], free_slope[1:], strict=True):
        assert (np.abs(of_held).max((1, 2)) > 1e-5).all()
        np.testing.assert_allclose(of_held, of_free, rtol=1e-6)


def test_homogeneous_has_3_pairs_for_3_modalities():
    term = factorization.homogeneous(constants(2, 3, 5), ALL, WEIGHTS, product)
    np.testing.assert_allclose(term.value, np.mean([2 * 3, 2 * 5, 3 * 5]))


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_homogeneous_codes_of_one_modality_have_no_divergence(name):
    view = reference.example_view()

    def value(h_mbd):
        term = factorization.homogeneous(h_mbd, view.available_mb[:1], WEIGHTS, DIVERGENCES[name])
        return term.value, term

    (_, term), gradient = jax.value_and_grad(value, has_aux=True)(view.h_mbd[:1])
    assert term == (0, 0)
    np.testing.assert_array_equal(gradient, 0 * view.h_mbd[:1])


@pytest.mark.parametrize("name", sorted(DEPENDENCE))
def test_redundancy_of_one_modality_is_that_of_its_three_codes(name):
    view = reference.example_view()
    available_mb, *codes = (x[:1] for x in (view.available_mb, view.h_mbd, view.s_mbd, view.n_mbd))
    h, s, n = (code[0] for code in codes)
    measure = DEPENDENCE[name]
    term = factorization.redundancy(*codes, available_mb, WEIGHTS, measure, hold_homogeneous=True)
    w_b = available_mb[0] * WEIGHTS
    expected = np.mean([measure(h, s, w_b), measure(h, n, w_b), measure(s, n, w_b)])
    np.testing.assert_allclose(term.value, expected, rtol=1e-5)
    assert term.weight == 3 * np.sum(w_b)


def test_weights_of_pairs():
    available_mb = reference.example_view().available_mb
    first, second = factorization.pairs(3)
    assert list(zip(first, second, strict=True)) == [(0, 1), (0, 2), (1, 2)]
    weights_pb = factorization.pair_weights(available_mb, 2 * WEIGHTS)
    assert weights_pb.shape == (3, 16)
    for i, j, w_b in zip(first, second, weights_pb, strict=True):
        np.testing.assert_array_equal(w_b, 2 * available_mb[i] * available_mb[j] * WEIGHTS)
    assert factorization.pair_weights(available_mb[:1], WEIGHTS).shape == (0, 16)
