"""Everything that changes while training, and everything that does not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from flax.core import FrozenDict

from fsrf_jax.losses.task import Task
from fsrf_jax.methods.method import Method, Parameters, Setting
from fsrf_jax.missing import Missing
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import number
from fsrf_jax.training.frozen import frozen_leaves
from fsrf_jax.training.optimizer import OptimizerOptions, make_optimizer, steps_and_updates
from fsrf_jax.types import Batch


@dataclass(frozen=True)
class Recipe:
    """What a run is trained by. `fsrf_jax.options.split` takes it apart:

    its static part is fixed at compilation, its numbers are arrays of the step. The functions of
    `training` take both, and put them together inside the program.

    Attributes:
        method: terms, weights, network.
        task: what is predicted.
        model: sizes and kinds of the shared bricks.
        missing: missingness of the incomplete views.
        optimizer: of the parameters.
        steps_per_epoch: number of batches an epoch is dealt into.
        epochs: number of epochs in all.
        patience: epochs without a better validation error before the end; 0: no such end.
        vocabulary: number of token ids of each modality that has them.
        freeze: groups of parameters that do not move, see `fsrf_jax.training.frozen`.
        bad_steps: number of bad steps in a row that ends training, see `training.step`.
    """

    method: Method
    task: Task
    model: ModelOptions
    missing: Missing
    optimizer: OptimizerOptions
    steps_per_epoch: int
    epochs: int = number(None, 1)
    patience: int = number(0, 0)
    vocabulary: Mapping[str, int] = FrozenDict()
    freeze: tuple[str, ...] = ()
    bad_steps: int = 10

    @property
    def setting(self) -> Setting:
        """What the method is applied to."""
        return Setting(self.task, self.model, self.vocabulary)

    @property
    def steps(self) -> int:
        """Number of steps in all."""
        return self.steps_per_epoch * self.epochs


@struct.dataclass
class TrainState:
    """All that a resumed run needs to go on, bit for bit.

    Random numbers and the order of the data are functions of `key` and `step`; nothing random
    evolves in the state. The best parameters stand in it, so that a checkpoint is always whole. In
    the training loop every leaf has a leading axis of members; a run alone is a population of one.

    Attributes:
        step: int32 scalar, steps done.
        key: typed PRNG key of the run.
        parameters: for inference and for training.
        optimizer: the optimizer's state.
        average: moving average of the inference parameters, which is what predicts.
        best: the averaged inference parameters with the best validation error so far.
        best_score: float32 scalar, that error.
        best_epoch: int32 scalar, epochs done when it was reached; 0 before the first.
    """

    step: jax.Array
    key: jax.Array
    parameters: Parameters
    optimizer: optax.OptState
    average: Any
    best: Any
    best_score: jax.Array
    best_epoch: jax.Array


def init_state(recipe: Recipe, example: Batch, key: jax.Array) -> TrainState:
    """State of one run before the first step; `example` gives the shapes of a batch."""
    parameter_key, run_key = jax.random.split(key)
    parameters = recipe.method.init(recipe.setting, example, parameter_key)
    frozen = frozen_leaves(parameters, recipe.freeze)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=run_key,
        parameters=parameters,
        # Of any number of steps: its state does not know it.
        optimizer=make_optimizer(recipe.optimizer, 1, frozen).init(parameters),
        average=parameters["inference"],
        best=parameters["inference"],
        best_score=jnp.full((), jnp.inf, jnp.float32),
        best_epoch=jnp.zeros((), jnp.int32),
    )


@jax.jit(static_argnames="recipe")
def init_states(recipe: Recipe, example: Batch, keys_p: jax.Array) -> TrainState:
    """States before the first step, one for each typed key."""
    # One by one: the batched QR of an orthogonal initialiser (GRUCell's) may never end on a CPU.
    return jax.lax.map(lambda key: init_state(recipe, example, key), keys_p)


@jax.jit
def start_from(states: TrainState, parameters: Parameters) -> TrainState:
    """States before the first step, with other parameters of the same shapes.

    The optimizer remembers nothing of parameters yet, and the moving average begins at them.
    """
    inference = parameters["inference"]
    return replace(states, parameters=parameters, average=inference, best=inference)


def bad_in_a_row(state: TrainState) -> jax.Array:
    """How many steps in a row, up to this state, were bad ones; an int32 scalar.

    The optimizer remembers the last step that changed anything, so this number needs no place of
    its own in a checkpoint.
    """
    return state.step - steps_and_updates(state.optimizer)[0]


def bad_steps(states: TrainState) -> tuple[np.ndarray, np.ndarray]:
    """How many steps up to these states were bad: in a row at their end, and in all; int32 [p]."""
    step, (last, updates) = jax.device_get((states.step, steps_and_updates(states.optimizer)))
    return step - last, step - updates


def is_complete(recipe: Recipe, state: TrainState) -> jax.Array:
    """Whether training ends here: all epochs done, or `patience` epochs without a better score.

    A bool scalar; of the states of a population, bool [p]. The recipe is one with its numbers,
    which may be arrays.
    """
    done = state.step // recipe.steps_per_epoch
    waited = done - state.best_epoch
    return (done >= recipe.epochs) | ((recipe.patience > 0) & (waited >= recipe.patience))
