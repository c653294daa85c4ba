"""A tiny network and batch, and modules with random parameters, for the tests in this folder."""

import jax
import jax.numpy as jnp
import numpy as np

from fsrf_jax import models
from fsrf_jax.models.initialise import randomise
from fsrf_jax.types import Batch

FRAMES = {"language": 4, "audio": 6}
FEATURES = {"language": 5, "audio": 3}
MODALITIES = tuple(FRAMES)
NETWORK = models.Network(MODALITIES, width=8, heads=2, dropout=0.0)
AUXILIARY = models.AuxiliaryHeads(tuple(FEATURES.items()), hidden=8)


def make_batch(b=5, seed=0):
    """Complete utterances; the last frames of the odd samples are padding."""
    rng = np.random.default_rng(seed)
    valid, features = {}, {}
    for m, t in FRAMES.items():
        valid[m] = np.ones((b, t), bool)
        valid[m][1::2, -2:] = False
        features[m] = rng.normal(size=(b, t, FEATURES[m])) * valid[m][..., None]
    return Batch(
        features={m: jnp.asarray(x, jnp.float32) for m, x in features.items()},
        valid={m: jnp.asarray(v) for m, v in valid.items()},
        labels=jnp.asarray(rng.normal(size=b), jnp.float32),
        weights=jnp.ones(b),
    )


def disturb(parameters, seed=0):
    """Every parameter moved a little, so that no bias is 0 and no scale is 1."""
    leaves, structure = jax.tree.flatten(parameters)
    rng = np.random.default_rng(seed)
    moved = [leaf + np.float32(0.2) * rng.normal(size=leaf.shape).astype("f4") for leaf in leaves]
    return jax.tree.unflatten(structure, moved)


def parameters_of(module, *inputs, seed=0, **settings):
    """Random parameters of a module, as after some training."""
    make = jax.jit(lambda key: module.init(key, *inputs, **settings)["params"])
    key = jax.random.key(seed)
    return disturb(randomise(make(key), key))


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_zero(tree):
    for leaf in jax.tree.leaves(tree):
        np.testing.assert_array_equal(leaf, 0)


def largest(tree):
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
