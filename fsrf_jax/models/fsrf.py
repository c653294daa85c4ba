"""The whole network, and the heads that only its losses need."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax import missing
from fsrf_jax.losses.task import gaussian_moments
from fsrf_jax.models.encoder import ModalityEncoder
from fsrf_jax.models.factorization import Factorizer
from fsrf_jax.models.fusion import Fusion
from fsrf_jax.models.initialise import randomise
from fsrf_jax.models.layers import Perceptron, dense
from fsrf_jax.types import Auxiliary, Batch, ByModality, Codes, Outputs

Parameters = dict[str, dict]  # {"network": ..., "auxiliary": ...}


@jax.custom_vjp
def reverse_gradient(x: jax.Array) -> jax.Array:
    """x itself, with the gradient's sign turned (Ganin and Lempitsky, 2015)."""
    return x


reverse_gradient.defvjp(lambda x: (x, None), lambda _, gradient: (-gradient,))


class Network(nn.Module):
    """Encoders, factorization, fusion and the head: all that inference needs.

    Attributes:
        modalities: names; the order of the fusion's slots.
        width: d of every code; even, and a multiple of `heads`.
        heads: attention heads, everywhere.
        encoder_layers: Transformer blocks of each modality's encoder.
        fusion_layers: Transformer blocks of the fusion.
        expansion: width of a block's hidden layer as a multiple of d.
        kernel: frames under the encoders' convolution.
        dropout: rate everywhere.
        mask_aware: see `ModalityEncoder`.
        pool: see `ModalityEncoder`.
        missing_frame: see `ModalityEncoder`.
        fusion: kind of `Fusion`.
        random_noise: see `Factorizer`.
        head: what the head's output means: number, gaussian, class or binary.
        outputs: width of the head: 1 for a number, 2 for a gaussian, one a class or task.
    """

    modalities: tuple[str, ...]
    width: int = 40
    heads: int = 4
    encoder_layers: int = 1
    fusion_layers: int = 1
    expansion: int = 2
    kernel: int = 3
    dropout: float = 0.1
    mask_aware: bool = True
    pool: str = "mean"
    missing_frame: str = "zero"
    fusion: str = "transformer"
    random_noise: bool = False
    head: str = "number"
    outputs: int = 1

    @nn.compact
    def __call__(
        self, features: ByModality, valid: ByModality, observed: ByModality, *, train: bool
    ) -> tuple[Codes, jax.Array]:
        """Codes and the head's raw output [b, o] of one view.

        Args:
            features: normalised, [b, t, f] per modality.
            valid: bool [b, t] per modality, False for padding.
            observed: bool [b, t] per modality, False for missing frames.
            train: turns dropout on; needs the random stream `dropout`.
        """
        pooled: ByModality = {}
        available: ByModality = {}
        for m in self.modalities:
            encoder = ModalityEncoder(
                self.width,
                self.heads,
                self.encoder_layers,
                self.expansion,
                self.kernel,
                self.dropout,
                self.mask_aware,
                pool=self.pool,
                missing_frame=self.missing_frame,
                name=f"encoder_{m}",
            )
            pooled[m], available[m] = encoder(features[m], valid[m], observed[m], train=train)
        factorizer = Factorizer(self.modalities, self.width, self.dropout, self.random_noise)
        homogeneous, heterogeneous, noise, moments = factorizer(pooled, available, train=train)
        fusion = Fusion(
            self.modalities,
            self.heads,
            self.fusion_layers,
            self.expansion,
            self.dropout,
            kind=self.fusion,
        )
        fused = fusion(homogeneous, heterogeneous, available, train=train)
        codes = Codes(available, pooled, homogeneous, heterogeneous, noise, moments, fused)
        return codes, dense(self.outputs, name="head")(fused)


class AuxiliaryHeads(nn.Module):
    """Heads that only the losses need: task heads on S_m and on N_m, decoders.

    Attributes:
        target_widths: (modality, f) pairs, the widths the decoders give back.
        hidden: hidden width of every head.
        outputs: width of the task heads, as the network's.
        heterogeneous: "task": task heads on [sg(H_m), S_m]; "task_alone": on S_m;
            "modality": one classifier of the modality on S_m; "contrastive": none.
        noise: "adversarial": task heads on N_m behind a reversed gradient; "uniform": on N_m;
            "bottleneck", "dependence": none.
        crossed: decode from S_m and H_n of every other modality, instead of H_m, S_m, N_m.
    """

    target_widths: tuple[tuple[str, int], ...]
    hidden: int
    outputs: int = 1
    heterogeneous: str = "task"
    noise: str = "adversarial"
    crossed: bool = False

    @nn.compact
    def __call__(self, codes: Codes) -> Auxiliary:
        """What the heads give for codes [b, d]; `frozen_noise` is left to `apply_heads`."""
        return Auxiliary(
            heterogeneous=self._heterogeneous(codes),
            noise=self._noise(codes),
            frozen_noise={},
            reconstruction={m: self._decode(codes, m, f) for m, f in self.target_widths},
        )

    def _heterogeneous(self, codes: Codes) -> ByModality:
        s_mbd = self._stack(codes.heterogeneous)
        if self.heterogeneous == "contrastive":
            return {}
        if self.heterogeneous == "modality":
            classifier = Perceptron(self.hidden, len(self.target_widths), name="modality")
            return self._by_modality(classifier(s_mbd, train=False))
        if self.heterogeneous == "task":
            h_mbd = jax.lax.stop_gradient(self._stack(codes.homogeneous))
            s_mbd = jnp.concatenate([h_mbd, s_mbd], axis=-1)
        return self._task_heads("heterogeneous", s_mbd)

    def _noise(self, codes: Codes) -> ByModality:
        n_mbd = self._stack(codes.noise)
        if self.noise == "adversarial":
            return self._task_heads("adversary", reverse_gradient(n_mbd))
        return self._task_heads("adversary", n_mbd) if self.noise == "uniform" else {}

    def _decode(self, codes: Codes, m: str, f: int) -> jax.Array:
        h, s, n = codes.homogeneous, codes.heterogeneous, codes.noise
        decoder = Perceptron(self.hidden, f, name=f"decoder_{m}")
        if not self.crossed:
            return decoder(jnp.concatenate([h[m], s[m], n[m]], axis=-1), train=False)
        others_bod = jnp.stack([h[o] for o in sorted(h) if o != m], axis=1)
        s_bod = jnp.broadcast_to(s[m][:, None, :], others_bod.shape)
        return decoder(jnp.concatenate([others_bod, s_bod], axis=-1), train=False)

    def _task_heads(self, name: str, x_mbd: jax.Array) -> ByModality:
        """One head for each modality, with parameters of its own."""
        heads = nn.vmap(
            lambda head, x_bd: head(x_bd, train=False),
            variable_axes={"params": 0},
            split_rngs={"params": True},
        )
        return self._by_modality(heads(Perceptron(self.hidden, self.outputs, name=name), x_mbd))

    def _stack(self, code: ByModality) -> jax.Array:
        return jnp.stack([code[m] for m, _ in self.target_widths])

    def _by_modality(self, raw_mbo: jax.Array) -> ByModality:
        return {m: raw_mbo[i] for i, (m, _) in enumerate(self.target_widths)}


def init(network: Network, auxiliary: AuxiliaryHeads, batch: Batch, key: jax.Array) -> Parameters:
    """Parameters of both modules, for arrays of the batch's shapes."""
    inputs = batch.features, batch.valid, batch.valid
    variables = network.init(key, *inputs, train=False)
    codes, _ = network.apply(variables, *inputs, train=False)
    parameters = {
        "network": variables["params"],
        "auxiliary": auxiliary.init(key, codes)["params"],
    }
    return randomise(parameters, key)


def forward_views(
    network: Network,
    auxiliary: AuxiliaryHeads,
    parameters: Parameters,
    batch: Batch,
    views: Sequence[ByModality],
    key: jax.Array,
) -> Outputs:
    """Training outputs of several views in one pass, stacked along the batch axis.

    Args:
        network: the network.
        auxiliary: the training heads.
        parameters: of both.
        batch: b complete utterances.
        views: k observation masks, each bool [b, t] per modality.
        key: for dropout.

    Returns:
        outputs whose every array has a leading axis k.
    """
    k, b = len(views), batch.labels.shape[0]

    def repeat(x: jax.Array) -> jax.Array:
        return jnp.concatenate([x] * k)

    views_passed: Any = network.apply(
        {"params": parameters["network"]},
        jax.tree.map(repeat, batch.features),
        jax.tree.map(repeat, batch.valid),
        jax.tree.map(lambda *masks: jnp.concatenate(masks), *views),
        train=True,
        rngs={"dropout": key},
    )
    codes, prediction = views_passed
    heads = apply_heads(auxiliary, parameters["auxiliary"], codes)
    completeness = jnp.concatenate([missing.completeness(batch.valid, view) for view in views])
    outputs = Outputs(codes, prediction, completeness, heads)
    return jax.tree.map(lambda x: x.reshape(k, b, *x.shape[1:]), outputs)


def apply_heads(auxiliary: AuxiliaryHeads, parameters: dict, codes: Codes) -> Auxiliary:
    """What all heads give; for uniform noise, those on N_m once learn and once are held still."""
    heads: Any = auxiliary.apply({"params": parameters}, codes)
    if auxiliary.noise != "uniform":
        return heads
    held_codes = dataclasses.replace(codes, noise=jax.lax.stop_gradient(codes.noise))
    learning: Any = auxiliary.apply({"params": parameters}, held_codes)
    held: Any = auxiliary.apply({"params": jax.lax.stop_gradient(parameters)}, codes)
    return heads.replace(noise=learning.noise, frozen_noise=held.noise)


def predict(
    network: Network,
    parameters: Parameters,
    features: ByModality,
    valid: ByModality,
    observed: ByModality,
) -> jax.Array:
    """Predictions of one view, without dropout; only `parameters["network"]` is read.

    Returns:
        [b] numbers; [b, 2], mean and log-variance, of a gaussian head; [b, o] class or task
        probabilities.
    """
    variables = {"params": parameters["network"]}
    outputs: Any = network.apply(variables, features, valid, observed, train=False)
    raw_bo = outputs[1]
    if network.head == "gaussian":
        return jnp.stack(gaussian_moments(raw_bo), axis=1)
    if network.head == "class":
        return jax.nn.softmax(raw_bo)
    return jax.nn.sigmoid(raw_bo) if network.head == "binary" else raw_bo[:, 0]
