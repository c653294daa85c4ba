"""What all divergences keep, besides the contract in test_measures.py."""

import chex
import measures_reference as reference
import numpy as np
import pytest
from losses_reference import codes_and_weights
from measures_case import value_and_gradients

from fsrf_jax.losses.divergences import DIVERGENCES

every = pytest.mark.parametrize("name", sorted(DIVERGENCES))


def test_every_divergence_has_a_reference():
    assert set(reference.DIVERGENCES) == set(DIVERGENCES)


@every
def test_equal_codes(name):
    x_bd, _, w_b = codes_and_weights(3)
    for size in (1, 100):
        value, gradients = value_and_gradients(name, size * x_bd, size * x_bd, w_b)
        chex.assert_tree_all_finite(gradients)
        if name != "infonce":
            np.testing.assert_allclose(value, 0, atol=1e-6)
            chex.assert_trees_all_close(gradients, (0 * x_bd, 0 * x_bd), atol=2e-6)


@every
@pytest.mark.parametrize("weights_b", [[1.0], [0.0, 3.0, *[0.0] * 7]], ids=["alone", "by weights"])
def test_one_sample(name, weights_b):
    x_bd, y_bd, _ = codes_and_weights(5, b=len(weights_b))
    value, gradients = value_and_gradients(name, x_bd, y_bd, weights_b)
    chex.assert_tree_all_finite(gradients)
    expected = reference.value(name, x_bd, y_bd, np.array(weights_b))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@every
def test_collapsed_codes_stay_finite(name):
    """All rows at one point, and the other codes at another or spread out."""
    x_bd, y_bd, w_b = codes_and_weights(9)
    x_bd[:] = x_bd[0]
    chex.assert_tree_all_finite(value_and_gradients(name, x_bd, y_bd, w_b))
    y_bd[:] = y_bd[0]
    value, gradients = value_and_gradients(name, x_bd, y_bd, w_b)
    chex.assert_tree_all_finite(gradients)
    if name != "coral":  # which is blind to means
        assert value > 0.01


@every
def test_far_from_the_origin_digits_stay(name):
    if name in ("cosine", "infonce", "cmd"):  # which feel where the origin is
        return
    x_bd, y_bd, w_b = codes_and_weights(11)
    near, _ = value_and_gradients(name, x_bd, y_bd, w_b)
    far, _ = value_and_gradients(name, x_bd + 1000, y_bd + 1000, w_b)
    np.testing.assert_allclose(near, far, rtol=1e-3)


@every
def test_equal_widths_are_asked_for(name):
    x_bd, y_bd, w_b = codes_and_weights(0)
    with pytest.raises(AssertionError):
        DIVERGENCES[name](x_bd, y_bd[:, :1], w_b)
