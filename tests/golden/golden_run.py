"""A short run whose every random choice is on record.

`python tests/golden/golden_run.py` renews the record.
Renew it only with a change that is meant to change the numbers of a run, and say so in the commit.
"""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np

from fsrf_jax import sharding
from fsrf_jax.config import Config, DataConfig, TrainingConfig
from fsrf_jax.data import normalise
from fsrf_jax.data.synthetic import SyntheticOptions
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.experiments.experiment import Experiment, open_experiment
from fsrf_jax.inference import make_batch
from fsrf_jax.missing import random_view
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.training.loop import stack, train_epoch
from fsrf_jax.training.validation import make_validation

RECORD = Path(__file__).with_name("fsrf.json")
STEPS = 20
SIZES = SyntheticOptions(train=8 * STEPS, valid=20, test=30, frames=6, min_frames=3)
CONFIG = Config(
    data=DataConfig(synthetic=SIZES),
    model=ModelOptions(width=16, heads=2),
    training=TrainingConfig(epochs=3, batch_size=8),
)


def record() -> dict:
    """What the run draws at the start, and its terms in the first epoch of 20 steps."""
    run = open_experiment(CONFIG)
    samples = normalise.fit(run.source.split("train"), CONFIG.data.clip)
    data = make_batch(samples.apply(run.source.split("train")))
    valid = samples.apply(run.source.split("valid"))
    validation = make_validation(valid, run.recipe.missing, CONFIG.training.validation_draws)
    states = run.initial_states([CONFIG.training.seed])
    parameters = {
        jax.tree_util.keystr(path): summary(leaf[0])
        for path, leaf in jax.tree_util.tree_leaves_with_path(states.parameters)
    }
    view = random_view(jax.random.key(0), data.valid, run.recipe.missing)
    _, terms, score = train_epoch(
        run.recipe,
        run.mesh,
        states,
        *sharding.replicate((data, validation), run.mesh),
        stack([run.hyper]),
    )
    return {
        "initial parameters": parameters,
        "masks": {
            "training": digest(view),
            "validation": digest(validation.observed),
            "test": digest(masks_of_test(run)),
        },
        "terms": {
            f"step {step}": {name: float(x[0, step - 1]) for name, x in sorted(terms.items())}
            for step in (1, STEPS)
        },
        "validation error": float(score[0]),
    }


def summary(leaf: jax.Array) -> list[float]:
    """Shape, first and last entry, sum and norm: what tells draws apart, and survives rounding."""
    x = np.asarray(leaf, np.float64).ravel()
    return [*leaf.shape, float(x[0]), float(x[-1]), float(x.sum()), float(np.linalg.norm(x))]


def masks_of_test(run: Experiment) -> dict:
    """The masks of the first random condition of the protocol."""
    condition = next(c for c in run.protocol.conditions if c.random)
    observe = make_observer(run.source.split("test"), CONFIG.evaluation.mask_seeds)
    return observe(condition, 0)


def digest(masks: dict) -> str:
    """SHA-256 of all masks by modality, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(masks):
        mask = np.asarray(masks[name])
        found.update(f"{name}{mask.shape}".encode() + np.packbits(mask).tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(), indent=1) + "\n", "utf-8")
    print(f"Written: {RECORD}")
