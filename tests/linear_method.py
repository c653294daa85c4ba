"""A method that is none of the project's: linear, and with all that a method may have.

It proves that training and inference know no more of a method than its protocol says.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from fsrf_jax.losses.task import Task
from fsrf_jax.methods import Parameters, Setting, Teacher
from fsrf_jax.missing import Missing
from fsrf_jax.options import number
from fsrf_jax.types import Batch, ByModality, Codes, Step, View


@dataclass(frozen=True)
class Linear:
    """One weight for each feature of the mean observed frame, no codes of its own.

    Its terms are `task`, `clock` (the progress it is given), `views` (how many it is given) and,
    with a teacher, `teaching`.
    """

    name: Literal["linear"] = "linear"
    views: int = 2
    complete_view: bool = False
    taught: float = number(0.0, 0)
    with_teacher: bool = False
    has: tuple[str, ...] | None = None
    forgotten: str | None = None

    def check(self) -> None:
        """Nothing contradicts."""

    def check_task(self, task: Task) -> None:
        """Every task fits."""

    def teacher_method(self) -> Teacher | None:
        return Teacher(Linear(views=1), Missing(max_rate=0.0)) if self.with_teacher else None

    def term_weights(self, progress: jax.Array) -> dict[str, jax.Array]:
        weights = {"clock": progress, "views": jnp.zeros(())}
        weights |= {"teaching": self.taught} if self.with_teacher else {}
        return {name: w for name, w in weights.items() if name != self.forgotten}

    def init(self, setting: Setting, example: Batch, key: jax.Array) -> Parameters:
        names = sorted(example.features)
        width = sum(example.features[m].shape[-1] for m in names)
        kernel = 0.3 * jax.random.normal(key, (width, setting.task.head_width))
        return {"inference": {"kernel": kernel}, "training": {}}

    def loss(
        self, setting: Setting, parameters: Parameters, teacher: Any, step: Step
    ) -> dict[str, jax.Array]:
        task, batch, views = setting.task, step.batch, step.views
        assert (teacher is not None) == self.with_teacher
        inputs = batch.features, batch.valid
        raws = [_raw(parameters["inference"], *inputs, view) for view in views]
        terms = {
            "task": jnp.mean(
                jnp.stack([task.loss(raw, batch.labels, batch.weights) for raw in raws])
            ),
            "clock": step.progress,
            "views": jnp.float32(len(views)),
        }
        if self.with_teacher:
            whole = _raw(teacher, *inputs, batch.valid)
            gaps = [jnp.square(raw - whole).mean(axis=1) * batch.weights for raw in raws]
            terms["teaching"] = jnp.mean(jnp.stack(gaps))
        return terms

    def predict(self, setting: Setting, inference: Any, view: View) -> jax.Array:
        return setting.task.prediction(_raw(inference, *view))

    def codes(self, setting: Setting, inference: Any, view: View) -> Codes | None:
        """`pooled` and `fused` are all that it could have; None without any."""
        if self.has is None:
            return None
        features, valid, observed = view
        names = sorted(features)
        width = max(x.shape[-1] for x in features.values())
        mean = {m: _mean_frame(features[m], valid[m] & observed[m]) for m in names}
        pooled = [jnp.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in mean.values()]
        every = {
            "pooled": jnp.stack(pooled),
            "fused": _raw(inference, *view),
        }
        seen = [(valid[m] & observed[m]).any(axis=1) for m in names]
        return Codes(
            modalities=tuple(names),
            available=jnp.stack(seen).astype(jnp.float32),
            **{name: every[name] for name in self.has},
        )


def _raw(inference: Any, features: ByModality, valid: ByModality, seen: ByModality) -> jax.Array:
    x = [_mean_frame(features[m], valid[m] & seen[m]) for m in sorted(features)]
    return jnp.concatenate(x, axis=-1) @ inference["kernel"]


def _mean_frame(x_btf: jax.Array, seen_bt: jax.Array) -> jax.Array:
    """Zero where nothing is observed; what is not observed may hold anything."""
    total_bf = jnp.where(seen_bt[..., None], x_btf, 0).sum(axis=1)
    return total_bf / jnp.maximum(seen_bt.sum(axis=1), 1)[:, None]
