"""The loss terms of FSRF at its default options.

Codes of k views come as [k, m, b, d], and all views, modalities or pairs go through a measure at
once: a measure takes [.., b, d] and weights [.., b], and gives [..].
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from twin.network import ByModality, Factors, Twin

BOUND, FLOOR, TEMPERATURE = 3.0, 1.0, 0.1
KERNEL_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
WEIGHTS = {
    "homogeneous": 0.03,
    "heterogeneous": 0.03,
    "noise": 0.03,
    "variance_floor": 0.1,
    "redundancy": 0.1,
    "reconstruction": 1.0,
    "feature_distillation.mmd": 0.1,
    "feature_distillation.mse": 1.0,
    "prediction_distillation": 0.03,
}


class Samples(NamedTuple):
    """Complete samples: as `fsrf_jax.types.Batch`."""

    features: ByModality
    present: ByModality
    labels: Tensor
    weights: Tensor

    def map(self, function: Any) -> "Samples":
        """A function applied to every tensor."""
        features = {m: function(x) for m, x in self.features.items()}
        present = {m: function(p) for m, p in self.present.items()}
        return Samples(features, present, function(self.labels), function(self.weights))


class Reversed(torch.autograd.Function):
    """The same number, with the gradient's sign turned."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """x."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Minus the gradient."""
        return -gradient


def weighted_mean(value_b: Tensor, weight_b: Tensor) -> Tensor:
    """Mean over the last axis by weights; 0 without weight."""
    total = weight_b.sum(dim=-1)
    return (value_b * weight_b).sum(dim=-1) / torch.where(total > 0, total, 1)


def mean_of_active(value_n: Tensor, weight_nb: Tensor) -> Tensor:
    """Mean over the last axis of the values whose weights are not all 0."""
    active_n = weight_nb.sum(dim=-1) > 0
    return torch.where(active_n, value_n, 0).sum(dim=-1) / active_n.sum(dim=-1).clamp(min=1)


def over_views(value_kn: Tensor, weight_knb: Tensor) -> Tensor:
    """Mean of the active values of each view, then of the views that have any."""
    return mean_of_active(mean_of_active(value_kn, weight_knb), weight_knb.sum(dim=-1))


def centred(x_bd: Tensor, p_b: Tensor) -> Tensor:
    """Columns about their mean by proportions."""
    return x_bd - (p_b[..., None] * x_bd).sum(dim=-2, keepdim=True)


def proportions(weight_b: Tensor) -> Tensor:
    """Weights that sum to 1 over the last axis, or are all 0."""
    total = weight_b.sum(dim=-1, keepdim=True)
    return weight_b / torch.where(total > 0, total, 1)


def infonce(x_bd: Tensor, y_bd: Tensor, weight_b: Tensor) -> Tensor:
    """Symmetric InfoNCE; rows without weight are neither anchors nor negatives."""
    unit_x, unit_y = (functional.normalize(z, dim=-1, eps=1e-6) for z in (x_bd, y_bd))
    similarity_bb = unit_x @ unit_y.transpose(-1, -2) / TEMPERATURE
    itself_bb = torch.eye(x_bd.shape[-2], dtype=torch.bool, device=x_bd.device)
    left_out_bb = (weight_b == 0)[..., None, :] & ~itself_bb
    offset_1b = torch.where(weight_b > 0, weight_b, 1).log()[..., None, :]

    def one_direction(similarity_bb: Tensor) -> Tensor:
        logits_bb = (similarity_bb + offset_1b).masked_fill(left_out_bb, -torch.inf)
        right_b = torch.diagonal(logits_bb, dim1=-2, dim2=-1)
        return weighted_mean(torch.logsumexp(logits_bb, dim=-1) - right_b, weight_b)

    return (one_direction(similarity_bb) + one_direction(similarity_bb.transpose(-1, -2))) / 2


def cross_correlation(x_bd: Tensor, y_bd: Tensor, weight_b: Tensor) -> Tensor:
    """Mean squared correlation of the columns of two codes."""
    p_b = proportions(weight_b)

    def standardised(z_bd: Tensor) -> Tensor:
        z_bd = centred(z_bd, p_b)
        variance_1d = (p_b[..., None] * z_bd.square()).sum(dim=-2, keepdim=True)
        return z_bd * torch.rsqrt(variance_1d + 1e-8)

    weighted_bd = p_b[..., None] * standardised(x_bd)
    correlation_dd = weighted_bd.transpose(-1, -2) @ standardised(y_bd)
    return correlation_dd.square().mean(dim=(-1, -2))


def variance_floor(x_bd: Tensor, weight_b: Tensor) -> Tensor:
    """How far the standard deviations of the columns are below the floor, on average."""
    p_b = proportions(weight_b)
    variance_d = (p_b[..., None] * centred(x_bd, p_b).square()).sum(dim=-2)
    varies_d = variance_d > 0
    std_d = torch.where(varies_d, torch.where(varies_d, variance_d, 1).sqrt(), 0)
    return (FLOOR - std_d).clamp(min=0).mean(dim=-1)


def mse(x_bd: Tensor, y_bd: Tensor, weight_b: Tensor) -> Tensor:
    """Mean squared error."""
    return weighted_mean((x_bd - y_bd).square().mean(dim=-1), weight_b)


def mmd(x_bd: Tensor, y_bd: Tensor, weight_b: Tensor) -> Tensor:
    """Squared maximum mean discrepancy with Gaussian kernels of several widths."""
    p_b = proportions(weight_b)
    with torch.no_grad():
        centre_1d = (p_b[..., None] * (x_bd + y_bd)).sum(dim=-2, keepdim=True) / 2
        spread_b = (x_bd - centre_1d).square().sum(-1) + (y_bd - centre_1d).square().sum(-1)
        scale_11 = weighted_mean(spread_b, weight_b).clamp(min=1e-12)[..., None, None]
    x_bd, y_bd = x_bd - centre_1d, y_bd - centre_1d

    def mean_kernel(u_bd: Tensor, v_bd: Tensor) -> Tensor:
        u2_b1, v2_1b = u_bd.square().sum(-1)[..., None], v_bd.square().sum(-1)[..., None, :]
        squared_bb = (u2_b1 + v2_1b - 2 * u_bd @ v_bd.transpose(-1, -2)).clamp(min=0)
        relative_bb = squared_bb / scale_11
        kernel_bb = sum(torch.exp(relative_bb / -c) for c in KERNEL_WIDTHS) / len(KERNEL_WIDTHS)
        return torch.einsum("...i,...ij,...j->...", p_b, kernel_bb, p_b)

    return mean_kernel(x_bd, x_bd) + mean_kernel(y_bd, y_bd) - 2 * mean_kernel(x_bd, y_bd)


def loss_terms(twin: Twin, samples: Samples, views: list[ByModality]) -> dict[str, Tensor]:
    """Every raw term of FSRF; all views go through the network at once."""
    k, b = len(views), len(samples.labels)
    features = {m: torch.cat([x] * k) for m, x in samples.features.items()}
    seen = twin(features, {m: torch.cat([view[m] for view in views]) for m in twin.names})
    raw_kb = seen.raw.view(k, b)
    error_kb = (raw_kb - samples.labels).abs()
    terms = {"task": weighted_mean(error_kb, samples.weights.expand(k, b)).mean()}
    constrained = _constraints(twin, seen, samples, k)
    return terms | constrained | _distillation(seen, raw_kb, samples.weights)


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float] = WEIGHTS) -> Tensor:
    """The task, and every other term by its weight."""
    return terms["task"] + sum(weight * terms[name] for name, weight in weights.items())


def _constraints(twin: Twin, seen: Factors, samples: Samples, k: int) -> dict[str, Tensor]:
    """Factorization: what H, S and N of each view have to be."""
    m, kb = seen.available.shape
    available_kmb = seen.available.view(m, k, -1).transpose(0, 1)
    h, s, n = (
        z.view(m, k, kb // k, -1).transpose(0, 1)
        for z in (seen.homogeneous, seen.heterogeneous, seen.noise)
    )
    first, second = (list(side) for side in zip(*combinations(range(m), 2), strict=True))
    weight_kmb = available_kmb * samples.weights
    weight_kpb = available_kmb[:, first] * available_kmb[:, second] * samples.weights

    held_h = h.detach()
    shared_x = torch.cat([s[:, first], held_h, held_h, s], dim=1)
    shared_y = torch.cat([s[:, second], s, n, n], dim=1)
    shared_w = torch.cat([weight_kpb, weight_kmb, weight_kmb, weight_kmb], dim=1)

    def error(raw_mB1: Tensor) -> Tensor:  # noqa: N803
        return (raw_mB1.view(m, k, -1).transpose(0, 1) - samples.labels).abs()

    heads = twin.task_heads(torch.cat([seen.homogeneous.detach(), seen.heterogeneous], dim=-1))
    adversary = twin.adversary(Reversed.apply(seen.noise))
    agreement_kp = infonce(h[:, first], h[:, second], weight_kpb)
    codes = torch.cat([seen.homogeneous, seen.heterogeneous, seen.noise], dim=-1)
    rebuilt_km = []
    for i, name in enumerate(twin.names):
        decoded_kbf = twin.decoders[name](codes[i]).view(k, kb // k, -1)
        target_bf = _mean_frame(samples.features[name], samples.present[name])
        rebuilt_km.append(mse(decoded_kbf, target_bf, weight_kmb[:, i]))
    shared = cross_correlation(shared_x, shared_y, shared_w)
    bounded = error(adversary).clamp(max=BOUND)
    return {
        "homogeneous": over_views(agreement_kp, weight_kpb),
        "heterogeneous": over_views(weighted_mean(error(heads), weight_kmb), weight_kmb),
        "noise": over_views(weighted_mean(bounded, weight_kmb), weight_kmb),
        "variance_floor": over_views(variance_floor(n, weight_kmb), weight_kmb),
        "redundancy": over_views(shared, shared_w),
        "reconstruction": over_views(torch.stack(rebuilt_km, dim=1), weight_kmb),
    }


def _distillation(seen: Factors, raw_kb: Tensor, weight_b: Tensor) -> dict[str, Tensor]:
    """Each pair of views: codes and predictions agree, in both directions."""
    k, b = raw_kb.shape
    fused = seen.fused[None], torch.ones_like(seen.available[:1])
    codes = torch.cat([fused[0], seen.heterogeneous, seen.homogeneous])
    shared = torch.cat([fused[1], seen.available, seen.available])
    codes, shared = codes.view(len(codes), k, b, -1), shared.view(len(shared), k, b)
    found: dict[str, list[Tensor]] = {"mmd": [], "mse": [], "predictions": []}
    for i, j in combinations(range(k), 2):
        learner = torch.cat([codes[:, i], codes[:, j]])
        teacher = torch.cat([codes[:, j], codes[:, i]]).detach()
        weight_nb = (shared[:, i] * shared[:, j] * weight_b).repeat(2, 1)
        for name, measure in (("mmd", mmd), ("mse", mse)):
            value_n = measure(learner, teacher, weight_nb)
            found[name].append(mean_of_active(value_n, weight_nb))
        error_2b = (raw_kb[[i, j]] - raw_kb[[j, i]].detach()).square()
        found["predictions"].append(weighted_mean(error_2b, weight_b.expand(2, b)).mean())
    means = {name: torch.stack(values).mean() for name, values in found.items()}
    return {
        "feature_distillation.mmd": means["mmd"],
        "feature_distillation.mse": means["mse"],
        "prediction_distillation": means["predictions"],
    }


def _mean_frame(x_btf: Tensor, present_bt: Tensor) -> Tensor:
    """Mean of the frames that have data, [b, f]; 0 without one."""
    weight_b1t = present_bt[:, None].to(x_btf.dtype)
    return torch.bmm(weight_b1t, x_btf)[:, 0] / weight_b1t.sum(dim=-1).clamp(min=1)
