"""Everything that changes while training, and everything that does not."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import struct

from fsrf_jax import models
from fsrf_jax.losses import LossOptions
from fsrf_jax.missing import MissingLaw
from fsrf_jax.models.fsrf import Parameters
from fsrf_jax.types import Batch


@dataclass(frozen=True)
class Method:
    """What is fixed at compilation.

    Attributes:
        network: the network.
        auxiliary: the heads that only the losses need.
        losses: static options of the loss terms.
        missing: law of the views' missingness.
        clean_view: whether a third view, with nothing missing, stands beside the two.
        optimizer: gradient transformation.
        steps_per_epoch: number of batches an epoch is dealt into.
    """

    network: models.Network
    auxiliary: models.AuxiliaryHeads
    losses: LossOptions
    missing: MissingLaw
    optimizer: optax.GradientTransformation
    steps_per_epoch: int
    clean_view: bool = False


@struct.dataclass
class TrainState:
    """All that a resumed run needs to go on, bit for bit.

    Random numbers and the order of the data are functions of `key` and `step`; nothing random
    evolves in the state. The best network stands in it beside the current one, so that a
    checkpoint is always whole, and many runs can train as one program.

    Attributes:
        step: int32 scalar, steps done.
        key: typed PRNG key of the run.
        parameters: of network and auxiliary heads.
        optimizer: the optimizer's state.
        best_network: the network's parameters with the best validation score so far.
        best_score: float32 scalar, its validation error.
        best_epoch: int32 scalar, epochs done when it was reached; 0 before the first.
    """

    step: jax.Array
    key: jax.Array
    parameters: Parameters
    optimizer: optax.OptState
    best_network: dict
    best_score: jax.Array
    best_epoch: jax.Array


def init_state(method: Method, example: Batch, key: jax.Array) -> TrainState:
    """State before the first step; `example` gives the shapes of a batch."""
    parameter_key, run_key = jax.random.split(key)
    parameters = models.init(method.network, method.auxiliary, example, parameter_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=run_key,
        parameters=parameters,
        optimizer=method.optimizer.init(parameters),
        best_network=parameters["network"],
        best_score=jnp.full((), jnp.inf, jnp.float32),
        best_epoch=jnp.zeros((), jnp.int32),
    )


def make_optimizer(
    *, weight_decay: float, warmup: float, clip_norm: float, steps: int
) -> optax.GradientTransformation:
    """AdamW behind clipping by the global norm; linear warm-up, then cosine to 0 at `steps`.

    The updates are those of a peak learning rate of 1: the step multiplies them by the real one,
    which is an array, so that runs with different rates are one program.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=1.0,
        warmup_steps=min(round(warmup * steps), steps - 1),  # optax: one step to fall at least
        decay_steps=steps,
    )
    # Flattened to one vector: many small arrays cost more to compile and to run.
    return optax.flatten(
        optax.chain(
            optax.clip_by_global_norm(clip_norm),
            optax.adamw(schedule, weight_decay=weight_decay),
        )
    )
