"""AdamW with linear warm-up, cosine decay to 0 and clipping."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fsrf_jax.options import number


@dataclass(frozen=True)
class OptimizerOptions:
    """The config section `optimizer`."""

    learning_rate: float = number(1e-3, 0)
    """Peak learning rate."""
    weight_decay: float = number(1e-4, 0)
    """Decoupled weight decay."""
    warmup: float = number(0.1, 0, 1)
    """Share of all steps spent warming up."""
    clip_norm: float = number(1.0, 1e-6)
    """Largest norm of the gradient."""
    average: float = number(0.0, 0, 1, below=True)
    """Decay of the moving average of the parameters that is validated and predicts; 0: none."""


def moving_average(options: OptimizerOptions, step: jax.Array, average: Any, new: Any) -> Any:
    """The exponential moving average of a pytree of parameters after step number `step`, from 1.

    Its decay rises from small values to that of the options, so that the first parameters, which
    know nothing, do not stay in it.
    """
    decay = jnp.minimum(options.average, step / (step + 9))
    return jax.tree.map(lambda old, x: decay * old + (1 - decay) * x, average, new)


def scheduled(state: optax.OptState, step: jax.Array) -> optax.OptState:
    """A state of `make_optimizer` whose learning rate is the one of step number `step`, from 0.

    It would count only the updates that were made, and bad steps make none.
    """
    return optax.tree.set(state, _is_count_of("ScaleByScheduleState"), count=step)


def steps_and_updates(state: optax.OptState) -> tuple[jax.Array, jax.Array]:
    """Of a state of `make_optimizer`: steps up to its last update, and the number of updates."""
    steps, updates = (
        optax.tree.get(state, "count", filtering=_is_count_of(part))
        for part in ("ScaleByScheduleState", "ScaleByAdamState")
    )
    return steps, updates


def _is_count_of(part: str) -> Callable[[Any, Any], bool]:
    def is_it(path: Any, value: Any) -> bool:
        del value
        return bool(getattr(path[-1], "tuple_name", "") == part)

    return is_it


def share_of_peak(step: jax.Array, warmup: jax.Array | float, steps: jax.Array | int) -> jax.Array:
    """The learning rate of step number `step`, from 0, as a share of its peak.

    It rises from 0 in a line over `warmup` of all steps, and falls to 0 at `steps` as half a
    cosine; one step at least is left to fall. Optax's schedule of this form has the steps as
    constants of the program, so that another number of epochs would compile anew.
    """
    rising = jnp.minimum(jnp.round(jnp.float32(warmup) * steps), steps - 1)
    falling = steps - rising
    down = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step - rising, falling) / falling))
    return jnp.where(step < rising, step / jnp.maximum(rising, 1), down)


def make_optimizer(
    options: OptimizerOptions, steps: jax.Array | int, frozen: Any = None
) -> optax.GradientTransformation:
    """Clipping by the global norm, then AdamW; the rate falls to 0 at `steps`.

    Inside a compiled step the steps and the options' numbers are arrays: runs that differ in them
    are one program. What is `frozen` (a pytree like the parameters, True there; None: nothing is)
    has no state and no part in the norm; its gradient comes back as it is.
    """

    def rate(count: jax.Array) -> jax.Array:
        return options.learning_rate * share_of_peak(count, options.warmup, steps)

    # Flattened to one vector: many small arrays cost more to compile and to run.
    optimizer = optax.flatten(
        optax.chain(
            optax.clip_by_global_norm(options.clip_norm),
            optax.adamw(rate, weight_decay=options.weight_decay),
        )
    )
    if frozen is None or not any(jax.tree.leaves(frozen)):
        return optimizer
    return optax.masked(optimizer, jax.tree.map(lambda still: not still, frozen))
