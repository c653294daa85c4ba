"""A tiny recipe and data set; one compiled epoch serves all tests of a file."""

import dataclasses
import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np

from fsrf_jax import sharding
from fsrf_jax.losses import Task
from fsrf_jax.methods import Fsrf
from fsrf_jax.missing import Missing, keyed_uniforms, observe
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import split
from fsrf_jax.training import loop
from fsrf_jax.training.optimizer import OptimizerOptions, scheduled
from fsrf_jax.training.state import Recipe, init_states
from fsrf_jax.training.validation import Validation
from fsrf_jax.types import Batch

FRAMES = {"language": 4, "audio": 4}  # alike: encoded at once, where several devices are
FEATURES = {"language": 3, "audio": 2}
SAMPLES, STEPS, VALIDATION = 22, 3, 9
WEIGHTS = (
    *("homogeneous", "heterogeneous", "noise", "variance_floor", "redundancy", "reconstruction"),
    *("feature_distillation.mmd", "feature_distillation.mse", "prediction_distillation"),
)
EPOCHS = 8  # in all, of the schedule as well
LEARNING_RATE = 3e-3
MESH = sharding.data_mesh()
PREPARATION = {"mean": np.arange(3, dtype=np.float32)}


def make_recipe(method=None, **changed):
    """A recipe made of new objects, whatever was made before."""
    usual = Recipe(
        method=Fsrf() if method is None else method,
        task=Task("l1"),
        model=ModelOptions(width=8, heads=2, dropout=0.1),
        missing=Missing(max_rate=0.5),
        optimizer=OptimizerOptions(LEARNING_RATE, weight_decay=0.01, warmup=0.1, clip_norm=1.0),
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
    )
    return dataclasses.replace(usual, **changed)


RECIPE, _ = split(make_recipe())


def make_hyper(learning_rate=LEARNING_RATE, recipe=None, others=(), **changed):
    """Every term weighs 0.3 but the changed ones; `others` by their whole names."""
    _, hyper = split(make_recipe() if recipe is None else recipe)
    given = {f"method.weights.{name}": 0.3 for name in WEIGHTS if f"method.weights.{name}" in hyper}
    for name, value in changed.items():
        (key,) = (k for k in hyper if k.startswith("method.weights.") and k.endswith(name))
        given[key] = value
    given |= {"optimizer.learning_rate": learning_rate, **dict(others)}
    assert given.keys() <= hyper.keys()
    return hyper | {name: jnp.float32(value) for name, value in given.items()}


def make_batch(n=SAMPLES, seed=0):
    """Samples whose label is readable from every modality; some padding."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=n)
    features, valid, present = {}, {}, {}
    for m, t in FRAMES.items():
        valid[m] = np.ones((n, t), bool)
        valid[m][::3, -1] = False
        present[m] = valid[m].copy()
        present[m][1::4, 1] = False  # a gap
        noise = 0.3 * rng.normal(size=(n, t, FEATURES[m]))
        features[m] = (labels[:, None, None] + noise) * present[m][..., None]
    return Batch(
        features={m: jnp.asarray(x, jnp.float32) for m, x in features.items()},
        valid={m: jnp.asarray(v) for m, v in valid.items()},
        present={m: jnp.asarray(p) for m, p in present.items()},
        labels=jnp.asarray(labels, jnp.float32),
        weights=jnp.ones(n),
    )


def make_validation():
    batch = make_batch(VALIDATION, seed=1)
    ids = [str(i) for i in range(VALIDATION)]
    views = [observe(keyed_uniforms(s, ids, batch.valid), batch.valid, Missing()) for s in (0, 1)]
    return Validation(batch, jax.tree.map(lambda *masks: jnp.stack(masks), *views))


def new_states(*seeds, recipe=RECIPE):
    """A population, one member for each seed."""
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    return init_states(recipe, make_batch(1), keys)


def make_states(*seeds, recipe=RECIPE):
    """The same, as it is given to `train_epoch`."""
    return loop.place(new_states(*seeds, recipe=recipe), MESH)


def at_step(states, step):
    """The states as if they had come to this step without a bad one."""
    step = jnp.broadcast_to(jnp.asarray(step, jnp.int32), states.step.shape)
    # A copy: what is donated may not be there twice.
    return states.replace(step=step, optimizer=scheduled(states.optimizer, jnp.copy(step)))


def make_state(seed=0, recipe=RECIPE):
    """One run, without the axis of members."""
    return loop.member(new_states(seed, recipe=recipe), 0)


@functools.cache
def inputs():
    """Data and validation as `train_epoch` takes them."""
    return sharding.replicate((make_batch(), make_validation()), MESH)


def epoch(states, *hypers, recipe=RECIPE, teacher=None):
    """One epoch of a population, a hyper for each member."""
    hypers = loop.place(loop.stack(hypers), MESH)
    return loop.train_epoch(recipe, MESH, states, *inputs(), hypers, teacher)


class Compilations(logging.Handler):
    """Counts the programs that are compiled of `train_epoch` while it is a context."""

    def __enter__(self):
        self.count = 0
        self.logger = logging.getLogger("jax._src.dispatch")
        self.before = jax.config.jax_log_compiles, self.logger.propagate
        jax.config.update("jax_log_compiles", True)
        self.logger.propagate = False
        self.logger.addHandler(self)
        return self

    def __exit__(self, *_):
        self.logger.removeHandler(self)
        logs, self.logger.propagate = self.before
        jax.config.update("jax_log_compiles", logs)

    def emit(self, record):
        self.count += record.getMessage().startswith("Finished XLA compilation of jit(train_epoch)")


def without_key_biases(inference):
    """Inference parameters without the biases of attention's keys.

    They have no influence on anything; their gradient is rounding, which Adam scales up.
    """

    def cut(path, x):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return np.delete(x, 1, 0) if name.endswith("query_key_value/bias") else x

    return jax.tree_util.tree_map_with_path(cut, inference)


def weak(tree):
    """Leaves of a weak type: they would make another program of the next call."""
    return [leaf for leaf in jax.tree.leaves(tree) if getattr(leaf, "weak_type", False)]


def as_numpy(tree):
    def copy(x):
        key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(x) if key else x)

    return jax.tree.map(copy, tree)
