"""MISA: modality-invariant and -specific representations (Hazarika et al., ACM MM 2020).

arXiv:2005.03545, whose equations and code are public. Here it learns from incomplete views, on the
encoders and the fusion that all methods share: the paper's LSTMs, BERT, and two-layer head on all
six attended codes are not what is compared. Added for missing modalities: a term counts a sample
only where its modality, or both of a pair, are available, and a learned `[missing]` token stands
for an absent code.

    L = L_task + 1.0 L_similarity + 1.8 L_difference + 1.0 L_reconstruction

The paper's 0.3 is of the sum over the six pairs of three modalities, of which L_difference is the
mean here. It grows with the number of samples in a batch (`losses.dependence.orthogonality`), so
that its weight fits one batch size.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax

from fsrf_jax.losses import factorization, reconstruction
from fsrf_jax.losses.averaging import Term
from fsrf_jax.losses.dependence import orthogonality
from fsrf_jax.losses.moments import cmd
from fsrf_jax.methods.method import Method, Parameters, Setting
from fsrf_jax.methods.passes import mean_over_views, of_view, of_views, task_loss
from fsrf_jax.models.encoder import Encoders
from fsrf_jax.models.fusion import Fusion
from fsrf_jax.models.initialise import initialise
from fsrf_jax.models.layers import Perceptron, dense, per_modality, where_available
from fsrf_jax.options import number, split, within
from fsrf_jax.types import Batch, Codes, Step, View


class Factors(NamedTuple):
    """All that the network makes of one view; of k views each array has a leading axis k."""

    available: jax.Array  # a_m, [m, b]
    pooled: jax.Array  # u_m, [m, b, d]
    shared: jax.Array  # h_m^c, [m, b, d]
    private: jax.Array  # h_m^p, [m, b, d]
    fused: jax.Array  # [1, b, d]
    raw: jax.Array  # what the head gives, [1, b, o]


class Network(nn.Module):
    """u_m to h_m^c = E_c(u_m) and h_m^p = E_p_m(u_m), to the fusion of all of them, to y.

    Attributes:
        setting: task and bricks.
    """

    setting: Setting

    @nn.compact
    def __call__(self, view: View, *, train: bool) -> Factors:
        """What one view becomes."""
        model, task = self.setting.model, self.setting.task
        encoders = Encoders(model, self.setting.vocabulary, name="encoders")
        u_mbd, available_mb = encoders(*view, train=train)
        encoder = partial(Perceptron, 2 * model.width, model.width, model.dropout)
        c_mbd = encoder(name="shared")(u_mbd, train=train)
        p_mbd = per_modality(encoder(name="private"), u_mbd, train=train)
        c_mbd, p_mbd = where_available(available_mb, c_mbd), where_available(available_mb, p_mbd)
        fused_bd = Fusion(model, name="fusion")([c_mbd, p_mbd], available_mb, train=train)
        raw_bo = dense(task.head_width, name="head")(fused_bd)
        return Factors(available_mb, u_mbd, c_mbd, p_mbd, fused_bd[None], raw_bo[None])


class Constraints(nn.Module):
    """The paper's three losses of one view."""

    @nn.compact
    def __call__(self, view: Factors, modalities: tuple[str, ...], batch: Batch) -> dict[str, Term]:
        """All terms of the view; a pair counts where both of its modalities are available."""
        c_mbd, p_mbd, available_mb = view.shared, view.private, view.available
        # L_similarity: mean over the pairs of modalities of CMD_5(h_m^c, h_n^c).
        similarity = factorization.homogeneous(c_mbd, available_mb, batch.weights, cmd)
        # L_difference: mean squared entry of X^T Y, centred columns and rows of length 1, of the
        # pairs (h_m^c, h_m^p) and (h_m^p, h_n^p). The mean over them, where the paper has the sum.
        difference = factorization.redundancy(
            c_mbd, p_mbd, None, available_mb, batch.weights, orthogonality, hold_homogeneous=False
        )
        # L_reconstruction: mean over m of |u_m - D_m(h_m^c + h_m^p)|^2 / d. Nothing is held still.
        width = p_mbd.shape[-1]
        decoded_mbd = per_modality(Perceptron(width, width, name="decoders"), c_mbd + p_mbd)
        target, decoded = (
            dict(zip(modalities, x_mbd, strict=True)) for x_mbd in (view.pooled, decoded_mbd)
        )
        weights_mb = available_mb * batch.weights[None]
        return {
            "similarity": similarity,
            "difference": difference,
            "reconstruction": reconstruction.direct(decoded, target, weights_mb),
        }


@dataclass(frozen=True)
class Weights:
    """How much each term counts: L = L_task + sum_i w_i L_i. A weight of 0 removes its term."""

    similarity: float = number(1.0, 0)
    """Shared codes of the modalities have the same moments."""
    difference: float = number(1.8, 0)
    """Shared and private codes are orthogonal; 0.3 for each of the paper's six pairs."""
    reconstruction: float = number(1.0, 0)
    """Both together give back the modality's encoding."""


@dataclass(frozen=True)
class Misa(Method):
    """The method MISA; see `fsrf_jax.methods.method.Method` for what its functions are."""

    name: Literal["misa"] = "misa"
    """The method."""
    views: int = within(2, 1)
    """Incomplete views of each training sample; FSRF has 2."""
    complete_view: bool = False
    """One more view of each training sample, with nothing missing."""
    weights: Weights = field(default_factory=Weights)
    """How much each term counts; changing one never compiles anew."""

    def term_weights(self, progress: jax.Array) -> dict[str, jax.Array]:
        """Constant."""
        del progress
        return split(self.weights)[1]

    def init(self, setting: Setting, example: Batch, key: jax.Array) -> Parameters:
        """Of `Network` for inference, of the decoders for training."""
        network_key, decoders_key = jax.random.split(key)
        whole = View.whole(example)
        inference = initialise(Network(setting), network_key, whole, train=False)
        view = of_view(Network(setting), inference, whole)
        modalities = tuple(sorted(example.features))
        decoders = initialise(Constraints(), decoders_key, view, modalities, example)
        return {"inference": inference, "training": decoders}

    def loss(
        self, setting: Setting, parameters: Parameters, teacher: Any, step: Step
    ) -> dict[str, jax.Array]:
        """L_task and the three terms, each a mean over the views that have weight."""
        del teacher
        network, inference = Network(setting), parameters["inference"]
        seen: Factors = of_views(network, inference, step)
        terms = {"task": task_loss(setting.task, seen.raw, step.batch)}
        constraints = partial(Constraints().apply, {"params": parameters["training"]})
        constrain = partial(
            constraints, modalities=tuple(sorted(step.batch.features)), batch=step.batch
        )
        of_each: Any = jax.vmap(constrain)(seen)
        return terms | mean_over_views(of_each)

    def predict(self, setting: Setting, inference: Any, view: View) -> jax.Array:
        """One pass, without dropout."""
        return setting.task.prediction(of_view(Network(setting), inference, view).raw[0])

    def codes(self, setting: Setting, inference: Any, view: View) -> Codes:
        """u, h^c as the homogeneous and h^p as the heterogeneous codes, and the fused one."""
        seen = of_view(Network(setting), inference, view)
        return Codes(
            modalities=tuple(sorted(view.features)),
            available=seen.available,
            pooled=seen.pooled,
            homogeneous=seen.shared,
            heterogeneous=seen.private,
            fused=seen.fused[0],
        )
