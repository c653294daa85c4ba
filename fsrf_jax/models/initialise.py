"""All random parameters from one draw.

A random draw for each of some sixty kernels takes longer to compile than the training step. So
the modules' initialisers only say how large a parameter is, and one draw makes it random.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

RANDOM = ("kernel", "slot", "missing", "class")


def kernel_scale(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Initialiser: the standard deviation of a kernel, 1 / sqrt(fan in) (LeCun et al., 1998)."""
    del key
    return jnp.full(shape, math.prod(shape[:-1]) ** -0.5, dtype)


def token_scale(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Initialiser: the standard deviation of a learned token."""
    del key
    return jnp.full(shape, 0.02, dtype)


def randomise(parameters: Any, key: jax.Array) -> Any:
    """Multiply every kernel and token by standard normal numbers; biases and scales stay."""

    def size(path: tuple, leaf: jax.Array) -> int:
        return leaf.size if path[-1].key in RANDOM else 0

    leaves, structure = jax.tree_util.tree_flatten_with_path(parameters)
    numbers = jax.random.normal(key, (sum(size(*leaf) for leaf in leaves),))
    drawn, start = [], 0
    for path, leaf in leaves:
        stop = start + size(path, leaf)
        drawn.append(leaf * numbers[start:stop].reshape(leaf.shape) if stop > start else leaf)
        start = stop
    return jax.tree.unflatten(structure, drawn)
