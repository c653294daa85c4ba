"""Late fusion: one predictor for each modality, and the mean of those that have something to see.

No term but the task's: what it reaches is the floor that any fusion of codes, distillation or
factorization has to rise above. Modalities meet only in the mean of the raw outputs, so nothing is
learnt of how they interact, and nothing is recovered.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.methods.method import Method, Parameters, Setting
from fsrf_jax.methods.passes import of_view, of_views, task_loss
from fsrf_jax.models.encoder import Encoders
from fsrf_jax.models.initialise import initialise
from fsrf_jax.models.layers import Perceptron, per_modality
from fsrf_jax.options import within
from fsrf_jax.types import Batch, Codes, Step, View


class Predictors(NamedTuple):
    """All that the network makes of one view; of k views each array has a leading axis k."""

    available: jax.Array  # a_m, [m, b]
    pooled: jax.Array  # Z_m, [m, b, d]
    raw: jax.Array  # the mean of the heads, [1, b, o]


class Network(nn.Module):
    """y = sum_m a_m head_m(Z_m) / sum_m a_m.

    Attributes:
        setting: task and bricks.
    """

    setting: Setting

    @nn.compact
    def __call__(self, view: View, *, train: bool) -> Predictors:
        """What one view becomes."""
        model, task = self.setting.model, self.setting.task
        encoders = Encoders(model, self.setting.vocabulary, name="encoders")
        z_mbd, available_mb = encoders(*view, train=train)
        heads = Perceptron(model.width, task.head_width, model.dropout, name="heads")
        raw_mbo = per_modality(heads, z_mbd, train=train)
        # Where nothing at all is observed every Z_m is 0, and all heads say what they make of that.
        nothing_b = ~available_mb.any(axis=0)
        share_mb = jnp.where(nothing_b[None], 1.0, available_mb)
        share_mb = share_mb / share_mb.sum(axis=0, keepdims=True)
        raw_bo = jnp.sum(share_mb[..., None] * raw_mbo, axis=0)
        return Predictors(available_mb, z_mbd, raw_bo[None])


@dataclass(frozen=True)
class LateFusion(Method):
    """Late fusion; see `fsrf_jax.methods.method.Method` for what its functions are."""

    name: Literal["late_fusion"] = "late_fusion"
    """The method."""
    views: int = within(2, 1)
    """Incomplete views of each training sample; FSRF has 2."""
    complete_view: bool = False
    """One more view of each training sample, with nothing missing."""

    def term_weights(self, progress: jax.Array) -> dict[str, jax.Array]:
        """There is no term but the task's."""
        del progress
        return {}

    def init(self, setting: Setting, example: Batch, key: jax.Array) -> Parameters:
        """Of `Network`; no head is for training alone."""
        whole = View.whole(example)
        return {
            "inference": initialise(Network(setting), key, whole, train=False),
            "training": {},
        }

    def loss(
        self, setting: Setting, parameters: Parameters, teacher: Any, step: Step
    ) -> dict[str, jax.Array]:
        """L_task, the mean over the views."""
        del teacher
        network, inference = Network(setting), parameters["inference"]
        seen: Predictors = of_views(network, inference, step)
        return {"task": task_loss(setting.task, seen.raw, step.batch)}

    def predict(self, setting: Setting, inference: Any, view: View) -> jax.Array:
        """One pass, without dropout."""
        return setting.task.prediction(of_view(Network(setting), inference, view).raw[0])

    def codes(self, setting: Setting, inference: Any, view: View) -> Codes:
        """Z alone: nothing is factorized, and nothing fused."""
        seen = of_view(Network(setting), inference, view)
        return Codes(tuple(sorted(view.features)), seen.available, pooled=seen.pooled)
