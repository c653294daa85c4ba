"""What a method is to all the rest of the project: the protocol that training and evaluation know.

A method is a frozen dataclass; its fields are its config section `method`. Numbers among them
(`fsrf_jax.options.number`) are arrays inside a compiled step and never compile anew. Everything it
does is a pure function of pytrees; it knows nothing of files, configs, loops or devices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
from flax.core import FrozenDict

from fsrf_jax.losses.task import Task
from fsrf_jax.missing import Missing
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.types import Batch, Codes, Step, View

Parameters = dict[str, Any]
"""Two pytrees: `inference`, all that a prediction needs, and `training`, what only losses need."""


@dataclass(frozen=True)
class Setting:
    """What a method is applied to, the same for every method of a comparison.

    Attributes:
        task: what is predicted.
        model: sizes and kinds of the shared bricks.
        vocabulary: number of token ids of each modality that has them, for `Encoders`.
    """

    task: Task
    model: ModelOptions
    vocabulary: Mapping[str, int] = FrozenDict()


class Teacher(NamedTuple):
    """What is trained first, and then frozen.

    Attributes:
        method: what it is trained by.
        missing: under which missingness.
        run: run folder of one that is trained already; None: it is still to be trained.
    """

    method: "Method"
    missing: Missing
    run: str | None = None


class Method(Protocol):
    """One way to learn from incomplete views. Terms without available samples are exactly 0.

    A method that inherits from this class has no need of `check`, `check_task` and `teacher_method`
    where it has nothing to refuse, and nobody teaches it.
    """

    @property
    def name(self) -> str:
        """Its key in `METHODS`."""

    @property
    def views(self) -> int:
        """Incomplete views of each sample in a step, at least 1."""

    @property
    def complete_view(self) -> bool:
        """Whether a view with nothing missing follows them."""

    def check(self) -> None:
        """Raise a ValueError, which begins with an option's name, if options contradict."""
        return

    def check_task(self, task: Task) -> None:
        """The same, if options do not fit the task."""
        return

    def term_weights(self, progress: jax.Array) -> dict[str, jax.Array]:
        """The weight of every loss term except `task`, by the term's name.

        Args:
            progress: share of the training that is done with this step, in (0, 1]: what a warm-up
                or a schedule depends on. The names do not depend on it.
        """

    def teacher_method(self) -> Teacher | None:
        """Whom it learns from, or None."""
        return None

    def init(self, setting: Setting, example: Batch, key: jax.Array) -> Parameters:
        """Parameters for arrays of the example's shapes (its number of rows does not matter)."""

    def loss(
        self, setting: Setting, parameters: Parameters, teacher: Any, step: Step
    ) -> dict[str, jax.Array]:
        """Every raw term, not yet weighted: `task`, and the names of `term_weights`.

        Args:
            setting: task and bricks.
            parameters: of `init`.
            teacher: the teacher's inference parameters; None without a teacher.
            step: batch and views: `self.views` incomplete ones, then the complete one where there
                is one.
        """

    def predict(self, setting: Setting, inference: Any, view: View) -> jax.Array:
        """Predictions of one view, see `Task.prediction`; numbers are at their defaults here."""

    def codes(self, setting: Setting, inference: Any, view: View) -> Codes | None:
        """The codes of one view, as far as the method has some."""
