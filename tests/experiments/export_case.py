"""Networks that nobody trained, and raw samples for them: what an export is made of is the same."""

import numpy as np

from fsrf_jax import arguments, sharding
from fsrf_jax.data.normalise import Normaliser
from fsrf_jax.experiments.experiment import initial_states, make_recipe
from fsrf_jax.experiments.network import Network
from fsrf_jax.options import split
from fsrf_jax.source import Shapes
from fsrf_jax.training.loop import member

SMALL = {"model.width": 8, "model.heads": 2, "data.clip": 3.0, "output.progress": False}
FEATURES = {"language": 5, "audio": 3, "vision": 1}


def network_of(overrides=None, outputs=1, vocabulary=None, widths=FEATURES):
    """The initial network of a config; vision is one column at 1e7, whose mean needs two floats."""
    config = arguments.load(SMALL | (overrides or {}))
    vocabulary = vocabulary or {}
    features = {m: 1 if m in vocabulary else f for m, f in widths.items()}
    frames = dict.fromkeys(widths, 6)
    counts = ((10,) * max(outputs, 2),) if config.task.form == "class" else ()
    shapes = Shapes(40, frames, features, outputs, (), vocabulary, counts)
    recipe, _ = split(make_recipe(config, shapes))
    parameters = member(initial_states(recipe, shapes, [0]), 0).best
    rng = np.random.default_rng(1)
    numbers = {m: f for m, f in features.items() if m not in vocabulary}
    mean = {m: 1e7 * (m == "vision") + rng.uniform(0.3, 0.4, f) for m, f in numbers.items()}
    scale = {m: rng.uniform(1, 2, f).astype(np.float32) for m, f in numbers.items()}
    # As it is after a checkpoint.
    normaliser = Normaliser.from_tree(Normaliser(mean, scale, config.data.clip).to_tree())
    return Network(config, shapes, recipe, sharding.data_mesh(), parameters, normaliser)


def raw_samples(network, n, frames, seed=0):
    """Features and lengths with padding, gaps, bad values, and whole modalities missing."""
    rng = np.random.default_rng(seed)
    features, lengths = {}, {}
    for i, (m, f) in enumerate(network.shapes.features.items()):
        t = frames + i
        if m in network.shapes.vocabulary:
            x = rng.integers(1, 2 * network.shapes.vocabulary[m], (n, t)).astype(np.int32)
            many = x[..., None]
        else:
            mean, scale = network.normaliser.mean[m], network.normaliser.scale[m]
            x = (mean + 2 * scale * rng.normal(size=(n, t, f))).astype(np.float32)
            many = x
            x[rng.random(x.shape) < 0.05] = np.nan
            x[rng.random(x.shape) < 0.02] = np.inf
        lengths[m] = rng.integers(0, t + 1, n).astype(np.int32)
        lengths[m][0] = t
        padding = np.arange(t)[None] >= lengths[m][:, None]
        many[padding | (rng.random((n, t)) < 0.1)] = 0
        features[m] = x
    return features, lengths
