"""A tiny method and data set; one compiled epoch serves all tests in this folder."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from fsrf_jax import models
from fsrf_jax.losses import LossOptions
from fsrf_jax.missing import MissingLaw, keyed_uniforms, observe
from fsrf_jax.training import sharding
from fsrf_jax.training.state import Method, init_state, make_optimizer
from fsrf_jax.training.step import Validation
from fsrf_jax.types import Batch, HyperParameters, LossWeights

FRAMES = {"language": 4, "audio": 3}
FEATURES = {"language": 3, "audio": 2}
SAMPLES, STEPS, VALIDATION = 22, 3, 9
METHOD = Method(
    network=models.Network(tuple(FRAMES), width=8, heads=2, dropout=0.1),
    auxiliary=models.AuxiliaryHeads(tuple(FEATURES.items()), hidden=8),
    losses=LossOptions(),
    missing=MissingLaw(max_rate=0.5),
    optimizer=make_optimizer(weight_decay=0.01, warmup=0.1, clip_norm=1.0, steps=STEPS * 40),
    steps_per_epoch=STEPS,
)
MESH = sharding.data_mesh()
PREPARATION = {"mean": np.arange(3, dtype=np.float32)}


def make_batch(n=SAMPLES, seed=0):
    """Samples whose label is readable from every modality; some padding."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=n)
    features, valid = {}, {}
    for m, t in FRAMES.items():
        valid[m] = np.ones((n, t), bool)
        valid[m][::3, -1] = False
        noise = 0.3 * rng.normal(size=(n, t, FEATURES[m]))
        features[m] = (labels[:, None, None] + noise) * valid[m][..., None]
    return Batch(
        features={m: jnp.asarray(x, jnp.float32) for m, x in features.items()},
        valid={m: jnp.asarray(v) for m, v in valid.items()},
        labels=jnp.asarray(labels, jnp.float32),
        weights=jnp.ones(n),
    )


def make_validation():
    batch = make_batch(VALIDATION, seed=1)
    ids = [str(i) for i in range(VALIDATION)]
    views = [
        observe(keyed_uniforms(s, ids, batch.valid), batch.valid, MissingLaw()) for s in (0, 1)
    ]
    return Validation(batch, jax.tree.map(lambda *masks: jnp.stack(masks), *views))


LEARNING_RATE = 3e-3


def make_hyper(learning_rate=LEARNING_RATE, dropout=None, **changed):
    """Every term weighs 0.3 but the changed ones."""

    def weight(name):
        return jnp.float32(changed.get(name, 0.3))

    divergences = {name: weight(name) for name in ("mmd", "mse")}
    others = set(LossWeights.__dataclass_fields__) - {"feature_distillation"}
    weights = {name: weight(name) for name in others}
    return HyperParameters(
        weights=LossWeights(feature_distillation=divergences, **weights),
        learning_rate=jnp.float32(learning_rate),
        temperature=jnp.float32(1),
        dropout=dropout,
    )


@functools.cache
def maker():
    example = make_batch(1)
    return jax.jit(
        lambda key: init_state(METHOD, example, key), out_shardings=sharding.replicated(MESH)
    )


def make_state(seed=0):
    return maker()(jax.random.key(seed))


@functools.cache
def inputs():
    """Data, validation and hyper-parameters as `train_epoch` takes them."""
    return sharding.replicate((make_batch(), make_validation(), make_hyper()), MESH)


def as_numpy(tree):
    def copy(x):
        key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(x) if key else x)

    return jax.tree.map(copy, tree)
