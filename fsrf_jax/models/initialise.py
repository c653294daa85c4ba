"""All random parameters of our bricks from one draw.

A random draw for each of some sixty kernels takes longer to compile than the training step. So an
initialiser here gives a standard deviation in a box, `Deferred`, and `initialise` opens all boxes
with the numbers of one draw. A parameter that comes without a box, such as that of a stock Flax
module with its own initialiser, stays as it is.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from flax.core import meta


@struct.dataclass
class Deferred(meta.AxisMetadata):
    """A parameter still to be drawn from N(0, scale^2).

    Attributes:
        scale: the standard deviation of every entry, in the parameter's shape.
    """

    scale: jax.Array

    def unbox(self) -> jax.Array:
        """What a module sees of the parameter while shapes are found."""
        return self.scale

    def replace_boxed(self, val: Any) -> "Deferred":
        """The same promise for another shape."""
        return Deferred(val)

    def add_axis(self, index: int, params: dict) -> "Deferred":
        """Unchanged: under `nn.vmap` the scale has the new axis already."""
        del index, params
        return self

    def remove_axis(self, index: int, params: dict) -> "Deferred":
        """Unchanged, as in `add_axis`."""
        del index, params
        return self


def kernel_scale(
    key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32, multiple: float = 1.0
) -> Any:
    """Initialiser of a kernel: standard deviation 1 / sqrt(fan in) (LeCun et al., 1998).

    `multiple` times it, where a caller asks for that.
    """
    del key
    return Deferred(jnp.full(shape, multiple * math.prod(shape[:-1]) ** -0.5, dtype))


def token_scale(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Any:
    """Initialiser of a learned token: standard deviation 0.02."""
    del key
    return Deferred(jnp.full(shape, 0.02, dtype))


def initialise(module: nn.Module, key: jax.Array, *inputs: Any, **options: Any) -> dict:
    """Parameters of a module for inputs of these shapes, as plain dictionaries of arrays.

    Args:
        module: built of our bricks, stock Flax modules, or both.
        key: typed PRNG key.
        inputs: what the module is called with.
        options: its keyword arguments.
    """
    module_key, draw_key = jax.random.split(key)
    boxed = module.init(module_key, *inputs, **options)["params"]
    leaves, structure = jax.tree.flatten(boxed, is_leaf=_is_deferred)
    sizes = [leaf.scale.size if _is_deferred(leaf) else 0 for leaf in leaves]
    drawn = jax.random.normal(draw_key, (sum(sizes),))
    start = 0
    for i, size in enumerate(sizes):
        if size:
            scale = leaves[i].scale
            leaves[i] = scale * drawn[start : start + size].reshape(scale.shape)
            start += size
    return jax.tree.unflatten(structure, leaves)


def _is_deferred(leaf: Any) -> bool:
    return isinstance(leaf, Deferred)
