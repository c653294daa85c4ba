"""The loss that is trained: the task, and every other term times its weight."""

from collections.abc import Callable, Collection
from functools import partial
from itertools import combinations
from operator import itemgetter

import chex
import jax
import jax.numpy as jnp

from fsrf_jax.losses import distillation, factorization, heterogeneous, noise, reconstruction
from fsrf_jax.losses.averaging import Term, average, mean_of_active
from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.divergences import DIVERGENCES, Divergence
from fsrf_jax.losses.options import LossOptions, MeasureOptions
from fsrf_jax.losses.task import label_codes, task_loss
from fsrf_jax.types import Auxiliary, Batch, ByModality, Codes, LossWeights, Outputs


def total_loss(
    outputs: Outputs, batch: Batch, weights: LossWeights, options: LossOptions
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The task loss plus every other term times its weight, `L_task + sum_i w_i L_i`.

    Args:
        outputs: of k views of the batch; the last one is complete where an option asks for it.
        batch: the complete samples.
        weights: scalars, one a term; the divergences between views are those that have a weight.
        options: static; pass it to jit as such, or close over it.

    Returns:
        The scalar to minimise, and every raw (unweighted) term by name: `task`, the names of
        `LossWeights.by_name`, and `total`. Terms are means over the views (pairs of views) that
        have any weight.
    """
    chex.assert_rank([outputs.prediction, batch.weights], [3, 1])
    chex.assert_equal_shape_prefix([outputs.prediction[0], batch.labels, batch.weights], 1)
    task = partial(task_loss, kind=options.task.kind)
    in_views = jax.vmap(task, in_axes=(0, None, None))
    raw = {"task": jnp.mean(in_views(outputs.prediction, batch.labels, batch.weights))}

    label_codes_be = label_codes(batch.labels, outputs.prediction.shape[-1], kind=options.task.kind)
    of_view = partial(_factorization, batch=batch, label_codes_be=label_codes_be, options=options)
    of_views = jax.vmap(of_view)(
        outputs.codes, outputs.auxiliary, _targets(outputs, batch, options)
    )
    raw |= {name: mean_of_active(*term) for name, term in of_views.items()}
    raw |= _distillation(outputs, batch.weights, weights.feature_distillation, options)

    total = raw["task"]
    for name, weight in weights.by_name().items():
        total = total + weight * raw[name]
    return total, raw | {"total": total}


def _targets(outputs: Outputs, batch: Batch, options: LossOptions) -> ByModality:
    """What the decoders of every view aim at, [k, b, f] per modality."""
    target = options.reconstruction.target
    if target == "view":
        return jax.lax.stop_gradient(outputs.codes.pooled)
    if target == "complete":
        one = {m: jax.lax.stop_gradient(z_kbd[-1]) for m, z_kbd in outputs.codes.pooled.items()}
    else:
        one = {
            m: reconstruction.mean_valid_frame(batch.features[m], batch.valid[m])
            for m in batch.features
        }
    k = len(outputs.prediction)
    return {m: jnp.broadcast_to(x_bf[None], (k, *x_bf.shape)) for m, x_bf in one.items()}


def _factorization(
    codes: Codes,
    auxiliary: Auxiliary,
    target: ByModality,
    *,
    batch: Batch,
    label_codes_be: jax.Array,
    options: LossOptions,
) -> dict[str, Term]:
    """The terms of one view."""
    w_b = batch.weights
    decoded = reconstruction.crossed if options.reconstruction.crossed else reconstruction.own
    return {
        "homogeneous": factorization.homogeneous(
            codes, w_b, _divergence(options.homogeneous.divergence, options.measures)
        ),
        "heterogeneous": _heterogeneous(codes, auxiliary, batch, label_codes_be, options),
        "noise": _noise(codes, auxiliary, batch, label_codes_be, options),
        "variance_floor": noise.spread(codes, w_b, floor=options.noise.floor),
        "redundancy": factorization.redundancy(
            codes,
            w_b,
            DEPENDENCE[options.redundancy.dependence],
            hold_homogeneous=options.redundancy.held == "homogeneous",
        ),
        "reconstruction": decoded(codes, auxiliary, target, w_b),
    }


def _heterogeneous(
    codes: Codes,
    auxiliary: Auxiliary,
    batch: Batch,
    label_codes_be: jax.Array,
    options: LossOptions,
) -> Term:
    chosen, kind = options.heterogeneous, options.task.kind
    if chosen.kind == "modality":
        return heterogeneous.modality(codes, auxiliary, batch.weights)
    if chosen.kind == "contrastive":
        return heterogeneous.contrastive(
            codes,
            label_codes_be,
            batch.weights,
            temperature=chosen.temperature,
            bandwidth=chosen.bandwidth,
        )
    return heterogeneous.task(codes, auxiliary, batch.labels, batch.weights, task_kind=kind)


def _noise(
    codes: Codes,
    auxiliary: Auxiliary,
    batch: Batch,
    label_codes_be: jax.Array,
    options: LossOptions,
) -> Term:
    chosen, kind = options.noise, options.task.kind
    labels, w_b = batch.labels, batch.weights
    if chosen.kind == "bottleneck":
        return noise.bottleneck(codes, w_b)
    if chosen.kind == "dependence":
        measure = DEPENDENCE[chosen.dependence]
        return noise.dependence(codes, label_codes_be, w_b, measure)
    if chosen.kind == "uniform":
        return noise.uniform(codes, auxiliary, labels, w_b, task_kind=kind)
    return noise.adversarial(codes, auxiliary, labels, w_b, task_kind=kind, bound=chosen.bound)


def _distillation(
    outputs: Outputs, weights_b: jax.Array, named: Collection[str], options: LossOptions
) -> dict[str, jax.Array]:
    """The terms between views, means over all pairs of views; 0 for a single view."""
    chosen = options.distillation
    divergences = {name: _divergence(name, options.measures) for name in sorted(named)}
    views = [jax.tree.map(itemgetter(k), outputs.codes) for k in range(len(outputs.prediction))]
    disagreement = _disagreement(options)
    terms: dict[str, list[Term]] = {f"feature_distillation.{name}": [] for name in divergences}
    terms["prediction_distillation"] = []
    for i, j in combinations(range(len(views)), 2) if chosen.direction != "off" else ():
        to_i_b, to_j_b = (
            weights_b
            * distillation.teaching_weights(
                outputs.completeness[learner],
                outputs.completeness[teacher],
                direction=chosen.direction,
                weigh_teacher=chosen.weigh_teacher,
            )
            for learner, teacher in ((i, j), (j, i))
        )
        of_codes = distillation.features(
            views[i], views[j], to_i_b, to_j_b, divergences, chosen.codes
        )
        for name, term in of_codes.items():
            terms[f"feature_distillation.{name}"].append(term)
        y_i, y_j = outputs.prediction[i], outputs.prediction[j]
        of_heads = distillation.predictions(y_i, y_j, to_i_b, to_j_b, disagreement)
        terms["prediction_distillation"].append(of_heads)
    return {name: average(of_pairs).value for name, of_pairs in terms.items()}


def _disagreement(options: LossOptions) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """How two predictions differ."""
    form, chosen = options.task.form, options.distillation
    name = chosen.prediction
    if name == "auto":
        name = "squared" if form == "number" else "kl"
    if name == "kl":
        kl = distillation.binary_kl if form == "binary" else distillation.kl
        return partial(kl, temperature=chosen.temperature)
    return distillation.PREDICTION[name]


def _divergence(name: str, options: MeasureOptions) -> Divergence:
    """The divergence of that name with its static options filled in."""
    return partial(DIVERGENCES[name], **options.of(name))
