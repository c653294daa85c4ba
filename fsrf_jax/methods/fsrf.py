"""FSRF: factorization-guided semantic recovery (ICME 2025, arXiv:2510.16086), as defined here.

The paper's equations and code are not public. Marks say where each part comes from: [S] stated in
its abstract or summaries, [F] taken from a documented method of the same family, [R] this project's
reconstruction. docs/method.md has the whole definition, `fsrf_jax.losses` every measure.

Read from top to bottom: `Network` is the forward pass; `Constraints` is DHF, each constraint with
the head that it needs; `distil` is DAS, what the views of a sample teach each other; `Fsrf` holds
the options, and adds all of it up.

Axis letters: see `fsrf_jax.types`. sg is `stop_gradient`. Every term is a mean by the weights
w_m = a_m times the row's weight (of a pair a_m a_n), over the modalities or pairs that have any.
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.losses import distillation, factorization, heterogeneous, noise, reconstruction
from fsrf_jax.losses.averaging import Term, average
from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.distillation import DistillationOptions
from fsrf_jax.losses.divergences import DIVERGENCES, MeasureOptions, named_divergence
from fsrf_jax.losses.factorization import HomogeneousOptions, RedundancyOptions
from fsrf_jax.losses.heterogeneous import HeterogeneousOptions
from fsrf_jax.losses.noise import NoiseOptions
from fsrf_jax.losses.reconstruction import ReconstructionOptions
from fsrf_jax.losses.task import Task
from fsrf_jax.methods.method import Method, Parameters, Setting
from fsrf_jax.methods.passes import mean_over_views, of_view, of_views, task_loss, unstack_views
from fsrf_jax.missing import completeness
from fsrf_jax.models.encoder import Encoders, target_frames
from fsrf_jax.models.factorizer import Factorizer
from fsrf_jax.models.fusion import Fusion
from fsrf_jax.models.initialise import initialise
from fsrf_jax.models.layers import Perceptron, dense, per_modality, reverse_gradient
from fsrf_jax.options import expect, number, numbers, prefixed, split
from fsrf_jax.types import Batch, ByModality, Codes, Step, View


class Factors(NamedTuple):
    """All that the network makes of one view; of k views each array has a leading axis k."""

    available: jax.Array  # a_m, [m, b]
    pooled: jax.Array  # Z_m, [m, b, d]
    homogeneous: jax.Array  # H_m, [m, b, d]
    heterogeneous: jax.Array  # S_m, [m, b, d]
    noise: jax.Array  # N_m, [m, b, d]
    moments: tuple[jax.Array, jax.Array] | None  # mean and log-variance of a random N_m
    fused: jax.Array  # F, [1, b, d]
    raw: jax.Array  # what the head gives, [1, b, o]


class Network(nn.Module):
    """The forward pass, and all that inference needs: X to Z, to H, S and N, to F, to y.

    Attributes:
        method: whether the noise code is random.
        setting: task and bricks.
    """

    method: "Fsrf"
    setting: Setting

    @nn.compact
    def __call__(self, view: View, *, train: bool) -> Factors:
        """What one view becomes."""
        model, task = self.setting.model, self.setting.task
        # Z_m = Pool(Transformer_m(Conv1D(X_m * O_m) + positions)); 0 without a frame [F: HRLF].
        encoders = Encoders(model, self.setting.vocabulary, name="encoders")
        z_mbd, available_mb = encoders(*view, train=train)
        # H_m = E_H(Z_m), one encoder for all; S_m = E_S_m(Z_m), N_m = E_N_m(Z_m) [S].
        random_noise = self.method.noise.kind == "bottleneck"
        factorizer = Factorizer(model.width, model.dropout, random_noise, name="factorizer")
        h_mbd, s_mbd, n_mbd, moments = factorizer(z_mbd, available_mb, train=train)
        # F = Fuse(H_1, S_1, H_2, ..): noise is dropped, [missing] tokens fill the gaps [R].
        f_bd = Fusion(model, name="fusion")([h_mbd, s_mbd], available_mb, train=train)
        raw_bo = dense(task.head_width, name="head")(f_bd)
        codes = available_mb, z_mbd, h_mbd, s_mbd, n_mbd
        return Factors(*codes, moments, fused=f_bd[None], raw=raw_bo[None])


class Constraints(nn.Module):
    """DHF on one view: what makes H homogeneous, S heterogeneous and N noise.

    Attributes:
        method: what each term is.
        setting: task and bricks.
    """

    method: "Fsrf"
    setting: Setting

    @nn.compact
    def __call__(self, view: Factors, target: ByModality, batch: Batch) -> dict[str, Term]:
        """All terms of the view; `target` [b, f] per modality is what decoders give back."""
        w_mb = view.available * batch.weights[None]
        return {
            "homogeneous": self._homogeneous(view, batch),
            "heterogeneous": self._heterogeneous(view, w_mb, batch.labels),
            "noise": self._noise(view, w_mb, batch.labels),
            # mean_d max(0, floor - std_d(N_m)): N = 0 would be silent, and share nothing [R].
            "variance_floor": noise.spread(view.noise, w_mb, floor=self.method.noise.floor),
            "redundancy": self._redundancy(view, batch),
            "reconstruction": self._reconstruction(view, target, batch),
        }

    def _homogeneous(self, view: Factors, batch: Batch) -> Term:
        """mean_{m<n} D(H_m, H_n): the H of one sample agree [S: what; R: InfoNCE]."""
        measure = named_divergence(self.method.homogeneous.divergence, self.method.measures)
        return factorization.homogeneous(view.homogeneous, view.available, batch.weights, measure)

    def _heterogeneous(self, view: Factors, w_mb: jax.Array, labels: jax.Array) -> Term:
        """S_m adds for the task what H_m lacks [R; F: ShaSpec, MISA, DMD]."""
        chosen, task, s_mbd = self.method.heterogeneous, self.setting.task, view.heterogeneous
        if chosen.kind == "contrastive":  # like labels, like codes; no head
            options = {"temperature": chosen.temperature, "bandwidth": chosen.bandwidth}
            return heterogeneous.contrastive(s_mbd, task.label_codes(labels), w_mb, **options)
        if chosen.kind == "modality":  # one classifier for all: which modality is this of?
            logits_mbm = self._head("modality", len(s_mbd))(s_mbd, train=False)
            return heterogeneous.modality(logits_mbm, w_mb)
        if chosen.kind == "task":  # c_m([sg(H_m), S_m]): H is given, so S is asked for the rest
            h_mbd = jax.lax.stop_gradient(view.homogeneous)
            s_mbd = jnp.concatenate([h_mbd, s_mbd], axis=-1)
        raw_mbo = per_modality(self._head("heterogeneous", task.head_width), s_mbd)
        return heterogeneous.task_heads(raw_mbo, labels, w_mb, task)

    def _noise(self, view: Factors, w_mb: jax.Array, labels: jax.Array) -> Term:
        """N_m says nothing of the label [S: exists; R: form; F: MInD, DisCoM-KD]."""
        chosen, task, n_mbd = self.method.noise, self.setting.task, view.noise
        if chosen.kind == "bottleneck":  # KL(N(mean, variance) || N(0, I)); no head
            assert view.moments is not None  # see Network
            return noise.bottleneck(*view.moments, w_mb)
        if chosen.kind == "dependence":  # HSIC(N_m, y), or another measure; no head
            measure = DEPENDENCE[chosen.dependence]
            return noise.dependence(n_mbd, task.label_codes(labels), w_mb, measure)
        head = self._head("adversary", task.head_width)
        if chosen.kind == "uniform":
            # c_m learns the label from sg(N_m); held still, N_m leaves it at its best constant.
            learning_mbo = per_modality(head, jax.lax.stop_gradient(n_mbd))
            held = nn.map_variables(per_modality, "params", jax.lax.stop_gradient)
            return noise.uniform(learning_mbo, held(head, n_mbd), labels, w_mb, task)
        # min(|c_m(GRL(N_m)) - y|, bound): c_m reads the label, the encoder works against it.
        raw_mbo = per_modality(head, reverse_gradient(n_mbd))
        return noise.adversarial(raw_mbo, labels, w_mb, task, bound=chosen.bound)

    def _redundancy(self, view: Factors, batch: Batch) -> Term:
        """Dependence of (H_m, S_m), (H_m, N_m), (S_m, N_m), (S_m, S_n) [S; R: measure]."""
        chosen = self.method.redundancy
        codes = view.homogeneous, view.heterogeneous, view.noise
        measure = DEPENDENCE[chosen.dependence]
        # sg(H): it is the others that give way to H, however weak `homogeneous` is.
        held = chosen.held == "homogeneous"
        return factorization.redundancy(
            *codes, view.available, batch.weights, measure, hold_homogeneous=held
        )

    def _reconstruction(self, view: Factors, target: ByModality, batch: Batch) -> Term:
        """D_m(H_m, S_m, N_m) gives the modality back: N holds the rest [R; F: MISA, MInD]."""
        h, s, n = view.homogeneous, view.heterogeneous, view.noise
        decoded = {}
        for i, m in enumerate(sorted(target)):
            parts = [h[i], s[i], n[i]]
            if self.method.reconstruction.crossed:  # D_m(H_n, S_m): H is exchangeable [F: HRLF]
                others_bod = jnp.delete(h, i, axis=0).swapaxes(0, 1)
                parts = [others_bod, jnp.broadcast_to(s[i][:, None], others_bod.shape)]
            decoder = self._head(f"decoder_{m}", target[m].shape[-1])
            decoded[m] = decoder(jnp.concatenate(parts, axis=-1), train=False)
        if self.method.reconstruction.crossed:
            return reconstruction.crossed(decoded, target, view.available, batch.weights)
        return reconstruction.direct(decoded, target, view.available * batch.weights[None])

    def _head(self, name: str, outputs: int) -> Perceptron:
        return Perceptron(self.setting.model.width, outputs, name=name)


def distil(
    method: "Fsrf", setting: Setting, views: Factors, share_kb: jax.Array, weights_b: jax.Array
) -> dict[str, jax.Array]:
    """DAS: 1/2 [D(z1, sg z2) + D(z2, sg z1)] of codes z and predictions, mean over pairs of views.

    Both directions between two incomplete views [S]; the measures D [R]. All terms are 0 for one
    view, or with direction off. `share_kb` is how much of a sample each view observes, `weights_b`
    are the weights of the rows.
    """
    chosen = method.distillation
    names = sorted(method.weights.feature_distillation)
    measures = {name: named_divergence(name, method.measures) for name in names}
    kind, temperature = chosen.prediction, chosen.temperature
    disagree = partial(setting.task.disagreement, kind=kind, temperature=temperature)
    terms: dict[str, list[Term]] = {f"feature_distillation.{name}": [] for name in names}
    terms["prediction_distillation"] = []
    pairs = combinations(range(len(share_kb)), 2) if chosen.direction != "off" else ()
    for i, j in pairs:
        # How much each sample counts where view i learns from j, and j from i.
        direction, weigh = chosen.direction, chosen.weigh_teacher
        teach = partial(distillation.teaching_weights, direction=direction, weigh_teacher=weigh)
        to_i_b, to_j_b = (weights_b * teach(share_kb[a], share_kb[b]) for a, b in ((i, j), (j, i)))
        # F is of every sample, H_m and S_m only of those that have m in both views.
        both_mb = views.available[i] * views.available[j]
        everyone_1b = jnp.ones_like(both_mb[:1])
        aligned = [(getattr(views, code), code == "fused") for code in sorted(chosen.codes)]
        z_i_nbd, z_j_nbd = (jnp.concatenate([z[v] for z, _ in aligned]) for v in (i, j))
        shared_nb = jnp.concatenate([everyone_1b if whole else both_mb for _, whole in aligned])
        found = distillation.features(z_i_nbd, z_j_nbd, shared_nb, to_i_b, to_j_b, measures)
        for name, term in found.items():
            terms[f"feature_distillation.{name}"].append(term)
        raw_i_bo, raw_j_bo = views.raw[i, 0], views.raw[j, 0]
        term = distillation.predictions(raw_i_bo, raw_j_bo, to_i_b, to_j_b, disagree)
        terms["prediction_distillation"].append(term)
    return {name: average(of_pairs).value for name, of_pairs in terms.items()}


@dataclass(frozen=True)
class Weights:
    """How much each term counts: L = L_task + sum_i w_i L_i. A weight of 0 removes its term."""

    homogeneous: float = number(0.03, 0)
    """DHF: homogeneous codes agree."""
    heterogeneous: float = number(0.03, 0)
    """DHF: heterogeneous codes add to the task."""
    noise: float = number(0.03, 0)
    """DHF: noise codes are silent on the label."""
    variance_floor: float = number(0.1, 0)
    """DHF: noise codes do not vanish."""
    redundancy: float = number(0.1, 0)
    """DHF: codes share nothing."""
    reconstruction: float = number(1.0, 0)
    """DHF: nothing is lost."""
    feature_distillation: dict[str, float] = numbers({"mmd": 0.1, "mse": 1.0})  # noqa: RUF009
    """DAS: codes of two views agree; a weight for each divergence, by name."""
    prediction_distillation: float = number(0.03, 0)
    """DAS: predictions of two views agree."""

    def check(self) -> None:
        """Refuse unknown divergences; see `fsrf_jax.options.check`."""
        known = f"names of divergences ({', '.join(sorted(DIVERGENCES))})"
        for name in self.feature_distillation:
            expect(name in DIVERGENCES, "feature_distillation", name, known)


@dataclass(frozen=True)
class Fsrf(Method):
    """The method FSRF; see `fsrf_jax.methods.method.Method` for what its functions are."""

    name: Literal["fsrf"] = "fsrf"
    """The method."""
    complete_view: bool = False
    """A third view of each training sample, with nothing missing: a teacher that has it all."""
    weights: Weights = field(default_factory=Weights)
    """How much each term counts; changing one never compiles anew."""
    homogeneous: HomogeneousOptions = field(default_factory=HomogeneousOptions)
    """DHF: homogeneous codes agree."""
    heterogeneous: HeterogeneousOptions = field(default_factory=HeterogeneousOptions)
    """DHF: heterogeneous codes add to the task."""
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    """DHF: noise codes are silent on the label."""
    redundancy: RedundancyOptions = field(default_factory=RedundancyOptions)
    """DHF: no redundancy."""
    reconstruction: ReconstructionOptions = field(default_factory=ReconstructionOptions)
    """DHF: nothing is lost."""
    distillation: DistillationOptions = field(default_factory=DistillationOptions)
    """DAS: views teach each other."""
    measures: MeasureOptions = field(default_factory=MeasureOptions)
    """Numbers of the divergences."""

    @property
    def views(self) -> int:
        """Two incomplete views of each sample [S]."""
        return 2

    def check(self) -> None:
        """Refuse options that contradict each other."""
        target = self.reconstruction.target
        known = target != "complete" or self.complete_view
        expected = "frames or view, or method.complete_view: true"
        expect(known, "reconstruction.target", target, expected)

    def check_task(self, task: Task) -> None:
        """Refuse a disagreement of predictions that the task does not have."""
        with prefixed("distillation"):
            task.check_disagreement(self.distillation.prediction)

    def term_weights(self, progress: jax.Array) -> dict[str, jax.Array]:
        """w_i of every term; those of DAS may grow from 0, while codes have little to teach [R]."""
        _, by_term = split(self.weights)
        grown = distillation.warm_up(progress, self.distillation.warmup)
        return {t: grown * w if "distillation" in t else w for t, w in by_term.items()}

    def init(self, setting: Setting, example: Batch, key: jax.Array) -> Parameters:
        """Of `Network` for inference, of the heads in `Constraints` for training."""
        network_key, heads_key = jax.random.split(key)
        whole = View.whole(example)
        inference = initialise(Network(self, setting), network_key, whole, train=False)
        view = of_view(Network(self, setting), inference, whole)
        targets = self._targets(inference, unstack_views(view, 1), example)
        target = jax.tree.map(lambda x: x[0], targets)
        heads = initialise(Constraints(self, setting), heads_key, view, target, example)
        return {"inference": inference, "training": heads}

    def loss(
        self, setting: Setting, parameters: Parameters, teacher: Any, step: Step
    ) -> dict[str, jax.Array]:
        """L_task and every term of DHF and DAS, each a mean over the views that have weight."""
        del teacher
        # All views in ONE pass, stacked along the batch axis [F: HRLF].
        network, inference = Network(self, setting), parameters["inference"]
        seen: Factors = of_views(network, inference, step)
        terms = {"task": task_loss(setting.task, seen.raw, step.batch)}

        constraints = Constraints(self, setting).apply
        constrain = partial(constraints, {"params": parameters["training"]}, batch=step.batch)
        of_each: Any = jax.vmap(constrain)(seen, self._targets(inference, seen, step.batch))
        terms |= mean_over_views(of_each)

        share_kb = jnp.stack([completeness(step.batch.valid, view) for view in step.views])
        return terms | distil(self, setting, seen, share_kb, step.batch.weights)

    def predict(self, setting: Setting, inference: Any, view: View) -> jax.Array:
        """One network, one pass, without dropout."""
        return setting.task.prediction(of_view(Network(self, setting), inference, view).raw[0])

    def codes(self, setting: Setting, inference: Any, view: View) -> Codes:
        """Z, H, S, N and F."""
        seen = of_view(Network(self, setting), inference, view)
        return Codes(
            modalities=tuple(sorted(view.features)),
            available=seen.available,
            pooled=seen.pooled,
            homogeneous=seen.homogeneous,
            heterogeneous=seen.heterogeneous,
            noise=seen.noise,
            fused=seen.fused[0],
        )

    def _targets(self, inference: Any, views: Factors, batch: Batch) -> ByModality:
        """What the decoders of every view give back, [k, b, f] per modality."""
        if self.reconstruction.target == "frames":  # the mean frame, complete [F: MISA]
            frames = target_frames(inference["encoders"], batch.features)
            one = jax.tree.map(reconstruction.mean_frame, frames, batch.present)
            k = len(views.available)
            return jax.tree.map(lambda x_bf: jnp.broadcast_to(x_bf, (k, *x_bf.shape)), one)
        z_kmbd = jax.lax.stop_gradient(views.pooled)
        if self.reconstruction.target == "complete":  # sg(Z_m) of the complete, last view [R]
            z_kmbd = jnp.broadcast_to(z_kmbd[-1], z_kmbd.shape)
        return {m: z_kmbd[:, i] for i, m in enumerate(sorted(batch.features))}
