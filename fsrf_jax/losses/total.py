"""The loss that is trained: the task, and every other term times its weight."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from operator import itemgetter
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.errors import ConfigError
from fsrf_jax.losses import distillation, factorization
from fsrf_jax.losses.averaging import Term, average, mean_of_active
from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.divergences import DIVERGENCES, Divergence
from fsrf_jax.losses.task import REGRESSION, regression
from fsrf_jax.types import Auxiliary, Batch, ByModality, Codes, LossWeights, Outputs


@dataclass(frozen=True)
class LossOptions:
    """What each term is, fixed when the program is compiled; how much it counts is `LossWeights`.

    Attributes:
        task_kind: error of a prediction: l1, mse or huber.
        homogeneous: divergence between the homogeneous codes of two modalities.
        temperature: of infonce, wherever it is used; above 0.
        redundancy: dependence between codes that should share nothing.
        noise_bound: largest error that the adversarial noise head is charged with, in label units;
            half the label range.
        noise_floor: standard deviation asked of every dimension of a noise code.
        feature_distillation: pairs of a weight and a divergence between the codes of two views.
        mmd_multiples: kernel widths of mmd, as multiples of the mean squared distance.
    """

    task_kind: str = "l1"
    homogeneous: str = "infonce"
    temperature: float = 0.1
    redundancy: str = "cross_correlation"
    noise_bound: float = 3.0
    noise_floor: float = 1.0
    feature_distillation: tuple[tuple[float, str], ...] = ((1.0, "mmd"), (1.0, "mse"))
    mmd_multiples: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        """Refuse values that would fail, or mean nothing, deep inside a compiled step."""
        _check_known("task_kind", self.task_kind, REGRESSION)
        _check_known("homogeneous", self.homogeneous, DIVERGENCES)
        _check_known("redundancy", self.redundancy, DEPENDENCE)
        for _, name in self.feature_distillation:
            _check_known("feature_distillation", name, DIVERGENCES)
        _check_positive("temperature", self.temperature)
        _check_positive("noise_bound", self.noise_bound)
        if self.noise_floor < 0:
            raise ConfigError(f"noise_floor is {self.noise_floor}; it must not be negative")
        if not self.mmd_multiples:
            raise ConfigError("mmd_multiples is empty; give at least one number above 0")
        for multiple in self.mmd_multiples:
            _check_positive("mmd_multiples", multiple)


def total_loss(
    outputs: Outputs, batch: Batch, weights: LossWeights, options: LossOptions
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The task loss plus every other term times its weight, `L_task + sum_i w_i L_i`.

    Args:
        outputs: of k views of the batch.
        batch: the complete samples.
        weights: scalars, one a term.
        options: static; pass it to jit as such, or close over it.

    Returns:
        The scalar to minimise, and every raw (unweighted) term by name: `task`, the fields of
        `LossWeights`, and `total`. Terms are means over the views (pairs of views) that have any
        weight.
    """
    chex.assert_rank([outputs.prediction, batch.labels, batch.weights], [2, 1, 1])
    chex.assert_equal_shape([outputs.prediction[0], batch.labels, batch.weights])
    target = {
        m: factorization.mean_valid_frame(batch.features[m], batch.valid[m]) for m in batch.features
    }
    task = partial(regression, kind=options.task_kind)
    in_views = jax.vmap(task, in_axes=(0, None, None))
    raw = {"task": jnp.mean(in_views(outputs.prediction, batch.labels, batch.weights))}

    of_view = partial(_factorization, options=options)
    of_views = jax.vmap(of_view, in_axes=(0, 0, None, None, None))(
        outputs.codes, outputs.auxiliary, target, batch.labels, batch.weights
    )
    raw |= {name: mean_of_active(*term) for name, term in of_views.items()}
    raw |= _distillation(outputs, batch.weights, options)

    total = raw["task"]
    for name, weight in vars(weights).items():
        total = total + weight * raw[name]
    return total, raw | {"total": total}


def _factorization(
    codes: Codes,
    auxiliary: Auxiliary,
    target: ByModality,
    labels_b: jax.Array,
    weights_b: jax.Array,
    *,
    options: LossOptions,
) -> dict[str, Term]:
    """The terms of one view."""
    return {
        "homogeneous": factorization.homogeneous(
            codes, weights_b, _divergence(options.homogeneous, options)
        ),
        "heterogeneous": factorization.heterogeneous(
            codes, auxiliary, labels_b, weights_b, partial(regression, kind=options.task_kind)
        ),
        "noise": factorization.noise(
            codes,
            auxiliary,
            labels_b,
            weights_b,
            bound=options.noise_bound,
            floor=options.noise_floor,
        ),
        "redundancy": factorization.redundancy(codes, weights_b, DEPENDENCE[options.redundancy]),
        "reconstruction": factorization.reconstruction(codes, auxiliary, target, weights_b),
    }


def _distillation(
    outputs: Outputs, weights_b: jax.Array, options: LossOptions
) -> dict[str, jax.Array]:
    """The terms between views, means over all pairs of views; 0 for a single view."""
    divergences = [
        (weight, _divergence(name, options)) for weight, name in options.feature_distillation
    ]
    views = [jax.tree.map(itemgetter(k), outputs.codes) for k in range(len(outputs.prediction))]
    pairs = list(combinations(range(len(views)), 2))
    of_features = [
        distillation.features(views[i], views[j], weights_b, divergences) for i, j in pairs
    ]
    of_predictions = [
        distillation.predictions(outputs.prediction[i], outputs.prediction[j], weights_b)
        for i, j in pairs
    ]
    return {
        "feature_distillation": average(of_features).value,
        "prediction_distillation": average(of_predictions).value,
    }


def _divergence(name: str, options: LossOptions) -> Divergence:
    """The divergence of that name with its static options filled in."""
    tuned: dict[str, dict[str, Any]] = {
        "infonce": {"temperature": options.temperature},
        "mmd": {"multiples": options.mmd_multiples},
    }
    return partial(DIVERGENCES[name], **tuned.get(name, {}))


def _check_known(key: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ConfigError(f"{key} is {name!r}; it must be one of: {', '.join(sorted(known))}")


def _check_positive(key: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{key} is {value}; it must be above 0")
