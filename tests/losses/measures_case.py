"""All measures of two codes, compiled once each."""

from functools import cache

import jax
import jax.numpy as jnp

from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.divergences import DIVERGENCES

MEASURES = {**DIVERGENCES, **DEPENDENCE}
assert len(MEASURES) == len(DIVERGENCES) + len(DEPENDENCE)


@cache
def compiled(name):
    return jax.jit(jax.value_and_grad(MEASURES[name], (0, 1)))


def value_and_gradients(name, x_bd, y_bd, weights_b, dtype=jnp.float32):
    """The measure, and its gradients in x and y."""
    return compiled(name)(*(jnp.asarray(a, dtype) for a in (x_bd, y_bd, weights_b)))
