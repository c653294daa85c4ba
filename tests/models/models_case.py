"""Options of tiny bricks, and modules with random parameters, for the tests in this folder."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fsrf_jax.models.encoder import ModalityEncoder, mixed
from fsrf_jax.models.initialise import initialise
from fsrf_jax.models.layers import where_available
from fsrf_jax.models.options import ModelOptions

OPTIONS = ModelOptions(width=8, heads=2, dropout=0.0)


class OneModality(nn.Module):
    """The encoder of one modality, from its features to its codes."""

    options: ModelOptions
    vocabulary: int | None = None

    @nn.compact
    def __call__(self, x_btf, valid_bt, observed_nt, *, train):
        """Z [n, d] and the availability [n]."""
        encoder = ModalityEncoder(self.options, self.vocabulary)
        nn.share_scope(self, encoder)
        unmixed, available_n = encoder(x_btf, valid_bt, observed_nt, train=train)
        (z_nd,) = mixed(self.options, [unmixed], train=train)
        return where_available(available_n, z_nd), available_n


def disturb(parameters, seed=0):
    """Every parameter moved a little, so that no bias is 0 and no scale is 1."""
    leaves, structure = jax.tree.flatten(parameters)
    rng = np.random.default_rng(seed)
    moved = [leaf + np.float32(0.2) * rng.normal(size=leaf.shape).astype("f4") for leaf in leaves]
    return jax.tree.unflatten(structure, moved)


def parameters_of(module, *inputs, seed=0, **settings):
    """Random parameters of a module, as after some training."""
    make = jax.jit(lambda key: initialise(module, key, *inputs, **settings))
    return disturb(make(jax.random.key(seed)))


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_zero(tree):
    for leaf in jax.tree.leaves(tree):
        np.testing.assert_array_equal(leaf, 0)


def largest(tree):
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
