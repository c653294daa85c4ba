"""The task: what labels are, and how a head's raw output is compared with them.

A head gives `raw_bo [b, o]`, and labels come in three forms:

- number: labels [b]; o = 1, or 2 (mean, log-variance) for `gaussian`;
- class: labels [b] are class numbers; o logits, one a class;
- binary: labels [b, o] are 0 or 1; o logits, one a task.

A new kind is a function in `ERRORS` and its form in `FORMS`; what depends on the kind is a member
of `Task`, so that no other module compares strings.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fsrf_jax.data.labels import SMALLEST_PROBABILITY
from fsrf_jax.losses.averaging import weighted_mean
from fsrf_jax.options import expect

Form = Literal["number", "class", "binary"]

# The log-variance of a Gaussian head stays within these limits: a head that is sure and wrong
# would have a gradient without bound.
LARGEST_LOG_VARIANCE = 6.0


def gaussian_moments(raw_bo: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean [b] and log-variance [b], softly limited, of a Gaussian head's raw output [b, 2]."""
    limit = LARGEST_LOG_VARIANCE
    return raw_bo[:, 0], limit * jnp.tanh(raw_bo[:, 1] / limit)


def _l1(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    return jnp.abs(raw_bo[:, 0] - labels_b)


def _mse(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    return optax.squared_error(raw_bo[:, 0], labels_b)


def _huber(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    return optax.huber_loss(raw_bo[:, 0], labels_b)


def _gaussian(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    mean_b, log_variance_b = gaussian_moments(raw_bo)
    return (log_variance_b + jnp.square(mean_b - labels_b) * jnp.exp(-log_variance_b)) / 2


def _cross_entropy(raw_bo: jax.Array, labels_b: jax.Array) -> jax.Array:
    classes_b = labels_b.astype(jnp.int32)
    return optax.softmax_cross_entropy_with_integer_labels(raw_bo, classes_b)


def _binary_cross_entropy(raw_bo: jax.Array, labels_bo: jax.Array) -> jax.Array:
    return jnp.mean(optax.sigmoid_binary_cross_entropy(raw_bo, labels_bo), axis=-1)


ERRORS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "binary_cross_entropy": _binary_cross_entropy,
    "cross_entropy": _cross_entropy,
    "gaussian": _gaussian,
    "huber": _huber,
    "l1": _l1,
    "mse": _mse,
}

FORMS: dict[str, Form] = {
    "binary_cross_entropy": "binary",
    "cross_entropy": "class",
    "gaussian": "number",
    "huber": "number",
    "l1": "number",
    "mse": "number",
}


def squared(learner_bo: jax.Array, teacher_bo: jax.Array) -> jax.Array:
    """Squared difference of two predicted numbers, or of the means of two Gaussian heads, [b]."""
    return jnp.square(learner_bo[:, 0] - teacher_bo[:, 0])


def kl(
    learner_bo: jax.Array, teacher_bo: jax.Array, *, temperature: float | jax.Array = 1
) -> jax.Array:
    """`temperature^2 KL(teacher || learner)` of softmax(raw / temperature), [b], at least 0.

    Hinton et al. 2015 (arXiv:1503.02531); the square preserves the gradient's size.
    """
    teacher_bo = jax.nn.log_softmax(teacher_bo / temperature)
    learner_bo = jax.nn.log_softmax(learner_bo / temperature)
    return temperature**2 * jnp.sum(jnp.exp(teacher_bo) * (teacher_bo - learner_bo), axis=-1)


def binary_kl(
    learner_bo: jax.Array, teacher_bo: jax.Array, *, temperature: float | jax.Array = 1
) -> jax.Array:
    """`kl` of the two classes of each binary task, mean over the tasks, [b]."""

    def two_classes(raw_bo: jax.Array) -> jax.Array:
        return jnp.stack([raw_bo, jnp.zeros_like(raw_bo)], axis=-1)

    per_task_bo = kl(two_classes(learner_bo), two_classes(teacher_bo), temperature=temperature)
    return jnp.mean(per_task_bo, axis=-1)


def gaussian_kl(learner_bo: jax.Array, teacher_bo: jax.Array) -> jax.Array:
    """KL(teacher || learner) of two Gaussian heads in closed form, [b], at least 0."""
    mean_b, log_b = gaussian_moments(learner_bo)
    teacher_mean_b, teacher_log_b = gaussian_moments(teacher_bo)
    squared_b = jnp.square(teacher_mean_b - mean_b) * jnp.exp(-log_b)
    return (jnp.expm1(teacher_log_b - log_b) - (teacher_log_b - log_b) + squared_b) / 2


def balanced(counts: Sequence[Sequence[int]]) -> np.ndarray:
    """Class weights n / (C n_c) of each question, float32 [g, c], from the counts [g, c].

    C counts the classes that occur, so that the mean over the n samples is 1; others weigh 0.
    """
    counts_gc = np.asarray(counts, np.float64)
    occurs_gc = counts_gc > 0
    mean_g1 = counts_gc.sum(axis=1, keepdims=True) / occurs_gc.sum(axis=1, keepdims=True)
    return np.where(occurs_gc, mean_g1 / np.maximum(counts_gc, 1), 0).astype(np.float32)


PREDICTION: dict[str, Callable[..., jax.Array]] = {
    "gaussian_kl": gaussian_kl,
    "kl": kl,
    "squared": squared,
}

if TYPE_CHECKING:  # the registry is the only list of names
    TaskName = str
else:
    TaskName = Literal[tuple(sorted(ERRORS))]


@dataclass(frozen=True)
class TaskOptions:
    """The task loss."""

    kind: TaskName = "l1"
    """Of a number: absolute, squared or Huber error, or a Gaussian's likelihood; of a class or of
    binary tasks: cross-entropy."""
    class_weights: Literal["none", "balanced"] = field(default="none", kw_only=True)
    """What a sample of a class, or of 0 and 1 of a binary task, weighs in the task loss: balanced
    is n / (classes * n of the class) in training. The validation error is never weighed."""

    def check(self) -> None:
        """Raise ValueError if classes are to be weighed where there are none."""
        fits = self.class_weights == "none" or self.form != "number"
        expected = f"none, because task.kind {self.kind} predicts numbers, which have no classes"
        expect(fits, "class_weights", self.class_weights, expected)

    @property
    def form(self) -> Form:
        """What the labels are."""
        return FORMS[self.kind]


@dataclass(frozen=True)
class Task(TaskOptions):
    """The task of a data set; hashable, so that a program may take it as static.

    Everywhere: raw_bo [b, head_width], labels [b] or, for binary tasks, [b, outputs].
    """

    outputs: int = 1
    """Numbers, classes or binary tasks that the labels have."""
    class_counts: tuple[tuple[int, ...], ...] = ()
    """For balanced class weights: see `Shapes` in source.py."""

    @property
    def head_width(self) -> int:
        """Width of a head's raw output: a Gaussian has a mean and a log-variance."""
        return 2 if self.kind == "gaussian" else self.outputs

    def error(self, raw_bo: jax.Array, labels: jax.Array) -> jax.Array:
        """The error that is minimised, [b]; at least 0 but for "gaussian".

        "l1" `|e|`; "mse" `e^2`; "huber" `e^2 / 2` up to 1 and `|e| - 1/2` from there (Huber 1964);
        "gaussian" `(log v + e^2 / v) / 2`, the negative log-likelihood without its constant, for
        raw outputs mean and log v (Nix & Weigend 1994); "cross_entropy" of a softmax;
        "binary_cross_entropy" of sigmoids, mean over the tasks.
        """
        return ERRORS[self.kind](raw_bo, labels)

    def loss(self, raw_bo: jax.Array, labels: jax.Array, weights_b: jax.Array) -> jax.Array:
        """Weighted mean of `error` over the batch.

        With balanced class weights each error counts by the weight of its class as well, also in
        what the sum is divided by, so that the scale stays.

        Returns:
            A scalar; exactly 0 with zero gradient without weight.
        """
        chex.assert_rank([raw_bo, weights_b], [2, 1])
        chex.assert_equal_shape_prefix([raw_bo, labels, weights_b], 1)
        chex.assert_axis_dimension(raw_bo, 1, self.head_width)
        if self.form == "binary":
            chex.assert_equal_shape([raw_bo, labels])
        else:
            chex.assert_equal_shape([labels, weights_b])
        if self.class_weights == "none":
            return weighted_mean(self.error(raw_bo, labels), weights_b)
        categories_bg = self.categories(labels, ())
        codes_bgc = jax.nn.one_hot(categories_bg, len(self.class_counts[0]))
        of_class_bg = jnp.sum(codes_bgc * balanced(self.class_counts)[None], axis=-1)
        if self.form == "binary":
            error_bg = optax.sigmoid_binary_cross_entropy(raw_bo, labels)
        else:
            error_bg = self.error(raw_bo, labels)[:, None]
        return weighted_mean(error_bg.reshape(-1), (weights_b[:, None] * of_class_bg).reshape(-1))

    def plain_error(self, raw_bo: jax.Array, labels: jax.Array) -> jax.Array:
        """The absolute error of a number whatever the kind, else the cross-entropy; [b], >= 0.

        A head on the noise code is judged by it: the error of a number is always the absolute one,
        since a Gaussian head's log-variance could make it small, or negative.
        """
        return _l1(raw_bo, labels) if self.form == "number" else self.error(raw_bo, labels)

    def limit(self, bound: float | jax.Array) -> float | jax.Array:
        """Largest `plain_error` that counts: a number's bound, or the cross-entropy of chance."""
        if self.form == "number":
            return bound
        return math.log(max(self.outputs, 2) if self.form == "class" else 2)

    def information(self, raw_bo: jax.Array, labels: jax.Array, weights_b: jax.Array) -> jax.Array:
        """How far a prediction is from the one that is the same for all samples, [b], at least 0.

        `(raw - mean label)^2` of a number, `KL(uniform || softmax raw)` of classes, and the same
        of two classes, mean over the tasks, of binary tasks.
        """
        if self.form == "number":
            return jnp.square(raw_bo[:, 0] - weighted_mean(labels, weights_b))
        if self.form == "class":
            return -jnp.mean(jax.nn.log_softmax(raw_bo), axis=-1) - math.log(raw_bo.shape[-1])
        both_bo = jax.nn.log_sigmoid(raw_bo) + jax.nn.log_sigmoid(-raw_bo)
        return -jnp.mean(both_bo, axis=-1) / 2 - math.log(2)

    def label_codes(self, labels: jax.Array) -> jax.Array:
        """Labels as rows that can be compared: numbers [b, 1], one-hot [b, outputs], 0/1 tasks."""
        if self.form == "class":
            return jax.nn.one_hot(labels.astype(jnp.int32), self.outputs, dtype=jnp.float32)
        return labels if self.form == "binary" else labels[:, None]

    def categories(self, labels: jax.Array, cuts: Sequence[float]) -> jax.Array:
        """The category of each label, int32 [b, g]: of g = 1 question, or of g binary tasks.

        Args:
            cuts: increasing; a number is of category k if k of them are at most it. Classes and
                binary tasks need none.
        """
        if self.form == "binary":
            return (labels > 0.5).astype(jnp.int32)
        if self.form == "class":
            return labels.astype(jnp.int32)[:, None]
        at_least = labels[:, None] >= jnp.asarray(cuts, labels.dtype)[None]
        return jnp.sum(at_least, axis=1, dtype=jnp.int32)[:, None]

    def category_probabilities(
        self, raw_bo: jax.Array, cuts: Sequence[float], softness: float | jax.Array
    ) -> jax.Array:
        """Probabilities of all c categories, [b, g, c]; see `categories`.

        Of a number, `P(k) = F((c_{k+1} - y) / softness) - F((c_k - y) / softness)` with F the
        logistic function: a threshold model (McCullagh 1980). A Gaussian head counts by its mean.
        """
        if self.form == "class":
            return jax.nn.softmax(raw_bo)[:, None]
        if self.form == "binary":
            return jnp.stack([jax.nn.sigmoid(-raw_bo), jax.nn.sigmoid(raw_bo)], axis=-1)
        distance_bc = (jnp.asarray(cuts, raw_bo.dtype)[None] - raw_bo[:, :1]) / softness
        below_bc = jnp.pad(jax.nn.sigmoid(distance_bc), ((0, 0), (1, 0)))
        return jnp.diff(below_bc, axis=1, append=1.0)[:, None]

    def prediction(self, raw_bo: jax.Array) -> jax.Array:
        """What a user is given: numbers [b]; mean and log-variance [b, 2] of a Gaussian head;
        class or task probabilities [b, o].
        """
        if self.kind == "gaussian":
            return jnp.stack(gaussian_moments(raw_bo), axis=1)
        if self.form == "class":
            return jax.nn.softmax(raw_bo)
        return jax.nn.sigmoid(raw_bo) if self.form == "binary" else raw_bo[:, 0]

    def prediction_error(self, prediction: jax.Array, labels: jax.Array) -> jax.Array:
        """`plain_error` of what `prediction` gives, [b].

        A probability counts as at least `SMALLEST_PROBABILITY`, so that none is infinite.
        """
        if self.form == "class":
            classes_b1 = labels.astype(jnp.int32)[:, None]
            right_b = jnp.take_along_axis(prediction, classes_b1, axis=1)[:, 0]
            return -jnp.log(jnp.maximum(right_b, SMALLEST_PROBABILITY))
        if self.form == "binary":
            right_bo = jnp.where(labels > 0.5, prediction, 1 - prediction)
            return -jnp.log(jnp.maximum(right_bo, SMALLEST_PROBABILITY)).mean(axis=1)
        mean_b = prediction[:, 0] if self.kind == "gaussian" else prediction
        return jnp.abs(mean_b - labels)

    def disagreement(
        self,
        learner_bo: jax.Array,
        teacher_bo: jax.Array,
        *,
        kind: str = "auto",
        temperature: float | jax.Array = 1.0,
    ) -> jax.Array:
        """How far a learner's raw output is from a teacher's, [b], at least 0.

        Args:
            learner_bo: [b, head_width].
            teacher_bo: [b, head_width]; hold it still for it to teach.
            kind: "auto", or a key of `PREDICTION` that passes `check_disagreement`; auto is
                `squared` for numbers and `kl` for the others.
            temperature: of kl, above 0.
        """
        if kind == "auto":
            kind = "squared" if self.form == "number" else "kl"
        if kind == "kl":
            function = binary_kl if self.form == "binary" else kl
            return function(learner_bo, teacher_bo, temperature=temperature)
        return PREDICTION[kind](learner_bo, teacher_bo)

    def check_disagreement(self, kind: str) -> None:
        """Raise ValueError unless this kind of disagreement fits the task."""
        fits = {
            "auto": True,
            "gaussian_kl": self.kind == "gaussian",
            "kl": self.form != "number",
            "squared": self.form == "number",
        }
        expected = f"auto, or one that fits task.kind {self.kind}"
        expect(fits.get(kind, False), "prediction", kind, expected)
