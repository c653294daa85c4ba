"""CorrKD: correlation-decoupled knowledge distillation (Li et al., CVPR 2024, arXiv:2404.16456).

A teacher is trained on complete data and frozen; a student of the same structure sees incomplete
views, and learns from it in three ways. There is no public code, and the text leaves much open.
Marks: [S] stated in the paper's text, [R] this project's reading.

- Contrastive: student and teacher codes of one sample come together, those of two samples stay a
  margin apart [S]; as squared Euclidean distance and squared hinge, of codes at length 1 [R].
- Prototype: a category's prototype is the mean code of its samples in the batch; the cosines of all
  codes with all prototypes are the teacher's [S]; by squared error, and a category that is not in
  the batch counts nothing [R].
- Response: the probability of the right category and those of all others are taken apart, and for
  each part the mutual information of student and teacher grows, by an estimator of
  Jensen-Shannon form [S]; with a product of two perceptrons as its critic [R].
- Numbers become categories by cut points; the probability that a predicted number lies between two
  of them is that under logistic noise [R].

The weights are 1, since the paper reports none. Encoders and fusion are those that all methods
share. The protocol of the same name, `evaluation.protocol`, is how results are tested, and has
nothing to do with the method.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.losses import correlation
from fsrf_jax.losses.averaging import Term
from fsrf_jax.methods.method import Method, Parameters, Setting, Teacher
from fsrf_jax.methods.passes import mean_over_views, of_view, of_views, task_loss
from fsrf_jax.missing import Missing
from fsrf_jax.models.encoder import Encoders
from fsrf_jax.models.fusion import Fusion
from fsrf_jax.models.initialise import initialise
from fsrf_jax.models.layers import Perceptron, dense
from fsrf_jax.options import expect, number, split, within
from fsrf_jax.types import Batch, Codes, Step, View

TERMS = ("contrastive", "prototype", "response")


class Joint(NamedTuple):
    """All that the network makes of one view; of k views each array has a leading axis k."""

    available: jax.Array  # a_m, [m, b]
    pooled: jax.Array  # Z_m, [m, b, d]
    fused: jax.Array  # F, [1, b, d]
    raw: jax.Array  # what the head gives, [1, b, o]


class Network(nn.Module):
    """X to Z, to the joint code F, to y; teacher and student each have one.

    Attributes:
        setting: task and bricks.
    """

    setting: Setting

    @nn.compact
    def __call__(self, view: View, *, train: bool) -> Joint:
        """What one view becomes."""
        model, task = self.setting.model, self.setting.task
        encoders = Encoders(model, self.setting.vocabulary, name="encoders")
        z_mbd, available_mb = encoders(*view, train=train)
        f_bd = Fusion(model, name="fusion")([z_mbd], available_mb, train=train)
        raw_bo = dense(task.head_width, name="head")(f_bd)
        return Joint(available_mb, z_mbd, f_bd[None], raw_bo[None])


class Distillation(nn.Module):
    """What one view of the student learns from the teacher.

    Attributes:
        method: margin and categories.
        setting: task and bricks.
    """

    method: "Corrkd"
    setting: Setting

    @nn.compact
    def __call__(self, student: Joint, teacher: Joint, batch: Batch) -> dict[str, Term]:
        """The three terms; the teacher is held still."""
        method, task = self.method, self.setting.task
        teacher = jax.lax.stop_gradient(teacher)
        # A sample of which the student sees nothing at all has nothing to learn from [R].
        w_b = batch.weights * student.available.max(axis=0) * teacher.available.max(axis=0)
        codes = student.fused[0], teacher.fused[0]
        category_bg = task.categories(batch.labels, method.cuts)
        of_student, of_teacher = (
            task.category_probabilities(view.raw[0], method.cuts, method.softness)
            for view in (student, teacher)
        )
        members_bk = correlation.members(category_bg, of_student.shape[-1])
        right, others = zip(
            correlation.disentangled(of_student, category_bg),
            correlation.disentangled(of_teacher, category_bg),
            strict=True,
        )
        response = self._unknown("right", *right, w_b) + self._unknown("others", *others, w_b)
        terms = {
            "contrastive": correlation.contrastive(*codes, w_b, margin=method.margin),
            "prototype": correlation.prototype(*codes, members_bk, w_b),
            "response": response / 2,
        }
        return {name: Term(value, jnp.sum(w_b)) for name, value in terms.items()}

    def _unknown(
        self, name: str, student_be: jax.Array, teacher_be: jax.Array, w_b: jax.Array
    ) -> jax.Array:
        """How little one part of the student's response says of the teacher's; with its critic."""
        width = self.setting.model.width
        f, g = (Perceptron(width, width, name=f"{name}_{who}") for who in ("student", "teacher"))
        return correlation.information_loss(
            f(student_be, train=False), g(teacher_be, train=False), w_b
        )


@dataclass(frozen=True)
class Weights:
    """How much each term counts: L = L_task + sum_i w_i L_i. A weight of 0 removes its term."""

    contrastive: float = number(1.0, 0)
    """Codes of one sample agree, those of others stay apart."""
    prototype: float = number(1.0, 0)
    """Codes lie to the categories as the teacher's do."""
    response: float = number(1.0, 0)
    """Predictions hold what the teacher's hold."""


NOTHING = Weights(contrastive=0.0, prototype=0.0, response=0.0)


@dataclass(frozen=True)
class Corrkd(Method):
    """The method CorrKD; see `fsrf_jax.methods.method.Method` for what its functions are."""

    name: Literal["corrkd"] = "corrkd"
    """The method."""
    views: int = within(2, 1)
    """Incomplete views of each training sample; FSRF has 2."""
    complete_view: bool = False
    """One more view of each training sample, with nothing missing."""
    teacher: str | None = None
    """Run folder of a teacher; null: it is trained first, and kept in the folder of this run."""
    weights: Weights = field(default_factory=Weights)
    """How much each term counts; with all at 0 there is no teacher."""
    margin: float = number(1.2, 0, 2)
    """How far apart codes of two samples, of length 1, should be."""
    cuts: tuple[float, ...] = (-1.5, -0.5, 0.5, 1.5)
    """Cut points, increasing, that turn numbers into categories; labels of classes need none."""
    softness: float = number(0.25, 1e-3)
    """Scale of the noise by which a predicted number may lie in the categories around it."""

    def check(self) -> None:
        """Refuse cut points that make no categories."""
        increasing = len(self.cuts) > 0 and all(
            low < high for low, high in zip(self.cuts, self.cuts[1:], strict=False)
        )
        expect(increasing, "cuts", self.cuts, "one or more increasing numbers")

    def teacher_method(self) -> Teacher | None:
        """The same network, trained by the task alone on complete samples."""
        if not any(getattr(self.weights, term) for term in TERMS):
            return None
        method = Corrkd(views=1, weights=NOTHING)  # the same teacher, whatever the margin
        return Teacher(method, Missing(max_rate=0.0, modality_rate=0.0), self.teacher)

    def term_weights(self, progress: jax.Array) -> dict[str, jax.Array]:
        """Constant."""
        del progress
        return split(self.weights)[1]

    def init(self, setting: Setting, example: Batch, key: jax.Array) -> Parameters:
        """Of `Network` for inference, of the critics for training."""
        network_key, critics_key = jax.random.split(key)
        whole = View.whole(example)
        inference = initialise(Network(setting), network_key, whole, train=False)
        view = of_view(Network(setting), inference, whole)
        critics = initialise(Distillation(self, setting), critics_key, view, view, example)
        return {"inference": inference, "training": critics}

    def loss(
        self, setting: Setting, parameters: Parameters, teacher: Any, step: Step
    ) -> dict[str, jax.Array]:
        """L_task and the three terms, over the views that have weight; 0 without a teacher."""
        network, inference = Network(setting), parameters["inference"]
        seen: Joint = of_views(network, inference, step)
        terms = {"task": task_loss(setting.task, seen.raw, step.batch)}
        if teacher is None:
            return terms | dict.fromkeys(TERMS, jnp.zeros(()))
        whole = of_view(Network(setting), teacher, View.whole(step.batch))
        distil = partial(Distillation(self, setting).apply, {"params": parameters["training"]})
        of_each: Any = jax.vmap(partial(distil, teacher=whole, batch=step.batch))(seen)
        return terms | mean_over_views(of_each)

    def predict(self, setting: Setting, inference: Any, view: View) -> jax.Array:
        """The student alone, in one pass, without dropout."""
        return setting.task.prediction(of_view(Network(setting), inference, view).raw[0])

    def codes(self, setting: Setting, inference: Any, view: View) -> Codes:
        """Z and F: nothing is factorized."""
        seen = of_view(Network(setting), inference, view)
        modalities = tuple(sorted(view.features))
        return Codes(modalities, seen.available, pooled=seen.pooled, fused=seen.fused[0])
