import jax
import jax.numpy as jnp
import numpy as np
from losses_reference import codes_and_weights
from sklearn.metrics.pairwise import rbf_kernel

from fsrf_jax.losses import kernels

mmd = jax.jit(kernels.mmd, static_argnames="multiples")


def test_mmd_agrees_with_the_kernels_of_scikit_learn():
    x_bd, y_bd, _ = codes_and_weights(12, b=20)
    pooled = np.concatenate([x_bd, y_bd]).astype(np.float64)
    scale = np.mean([((a - b) ** 2).sum() for a in pooled for b in pooled])
    expected = 0.0
    for multiple in (0.5, 3.0):
        k = rbf_kernel(pooled, gamma=1 / (multiple * scale))
        expected += (k[:20, :20].mean() + k[20:, 20:].mean() - 2 * k[:20, 20:].mean()) / 2
    value = mmd(x_bd, y_bd, np.ones(20, np.float32), multiples=(0.5, 3.0))
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_mmd_does_not_feel_which_row_belongs_to_which():
    x_bd, y_bd, _ = codes_and_weights(13)
    ones = jnp.ones(len(x_bd))
    np.testing.assert_allclose(mmd(x_bd, y_bd, ones), mmd(x_bd, y_bd[::-1], ones), rtol=1e-5)
