"""The end of a training whose steps give nothing but NaN and infinities."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from fsrf_jax.errors import RunError
from fsrf_jax.training.state import TrainState


class BadSteps(RunError):
    """Too many steps in a row gave NaN or an infinity.

    Attributes:
        index: the member of the population.
        state: of that member, without the axis p, before the last of these steps; none of them
            changed more than the step number.
        terms: of that step: every raw loss term, the total and the gradient's norm.
    """

    def __init__(
        self, message: str, index: int, state: TrainState, terms: Mapping[str, float]
    ) -> None:
        super().__init__(message)
        self.index, self.state, self.terms = index, state, dict(terms)

    @classmethod
    def after(
        cls,
        row: int,
        steps_per_epoch: int,
        index: int,
        state: TrainState,
        terms_s: Mapping[str, np.ndarray],
    ) -> "BadSteps":
        """The end after `row` bad steps.

        Args:
            row: how many in a row.
            steps_per_epoch: number of steps in an epoch.
            index: the member.
            state: of the member, after the last of these steps.
            terms_s: every term of every step of the epoch that this step is in.
        """
        number = int(state.step) - 1
        epoch, step = divmod(number, steps_per_epoch)
        terms = {name: float(values[step]) for name, values in terms_s.items()}
        steps = f"the last of {row} steps in a row that" if row > 1 else "a step that"
        message = (
            f"{first_bad(terms)} in epoch {epoch + 1}, step {step + 1}, {steps} gave NaN or an "
            "infinity and changed nothing. Lower optimizer.learning_rate, or look at the term's "
            "options; the same command goes on from the last checkpoint, or anew."
        )
        before = dataclasses.replace(state, step=jnp.asarray(number, state.step.dtype))
        return cls(message, index, before, terms)


def first_bad(terms: Mapping[str, float]) -> str:
    """What became NaN or infinite in a bad step of these terms, such as `noise became nan`."""
    bad = [name for name, value in terms.items() if not np.isfinite(value)]
    if not bad:
        return "the updated parameters became NaN or infinite"
    # One bad term makes the total bad as well, and this the gradient.
    name = min(bad, key=lambda name: (name == "gradient_norm", name == "total"))
    return f"{name} became {terms[name]}"
