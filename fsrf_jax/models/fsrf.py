"""The whole network, and the heads that only its losses need."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

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
    """Encoders, factorization, fusion and the regression head: all that inference needs.

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

    @nn.compact
    def __call__(
        self, features: ByModality, valid: ByModality, observed: ByModality, *, train: bool
    ) -> tuple[Codes, jax.Array]:
        """Codes and predicted labels [b] of one view.

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
                name=f"encoder_{m}",
            )
            pooled[m], available[m] = encoder(features[m], valid[m], observed[m], train=train)
        factorizer = Factorizer(self.modalities, self.width, self.dropout)
        homogeneous, heterogeneous, noise = factorizer(pooled, available, train=train)
        fusion = Fusion(
            self.modalities, self.heads, self.fusion_layers, self.expansion, self.dropout
        )
        fused = fusion(homogeneous, heterogeneous, available, train=train)
        codes = Codes(available, pooled, homogeneous, heterogeneous, noise, fused)
        return codes, dense(1, name="regression")(fused)[:, 0]


class AuxiliaryHeads(nn.Module):
    """Heads that only the losses need: task heads on [sg(H_m), S_m] and on N_m, decoders.

    Attributes:
        feature_widths: (modality, f) pairs, the widths the decoders give back.
        hidden: hidden width of every head.
    """

    feature_widths: tuple[tuple[str, int], ...]
    hidden: int

    @nn.compact
    def __call__(self, codes: Codes) -> Auxiliary:
        """Predictions from the codes of one view."""
        modalities = [m for m, _ in self.feature_widths]
        h_mbd, s_mbd, n_mbd = (
            jnp.stack([code[m] for m in modalities])
            for code in (codes.homogeneous, codes.heterogeneous, codes.noise)
        )

        def task_heads(name: str, x_mbd: jax.Array) -> ByModality:
            """One head for each modality, with parameters of its own."""
            heads = nn.vmap(
                lambda head, x_bd: head(x_bd, train=False),
                variable_axes={"params": 0},
                split_rngs={"params": True},
            )
            prediction_mb = heads(Perceptron(self.hidden, 1, name=name), x_mbd)[..., 0]
            return {m: prediction_mb[i] for i, m in enumerate(modalities)}

        with_h_mbd = jnp.concatenate([jax.lax.stop_gradient(h_mbd), s_mbd], axis=-1)
        all_mbd = jnp.concatenate([h_mbd, s_mbd, n_mbd], axis=-1)
        return Auxiliary(
            heterogeneous=task_heads("heterogeneous", with_h_mbd),
            noise=task_heads("adversary", reverse_gradient(n_mbd)),
            reconstruction={
                m: Perceptron(self.hidden, f, name=f"decoder_{m}")(all_mbd[i], train=False)
                for i, (m, f) in enumerate(self.feature_widths)
            },
        )


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
    heads: Any = auxiliary.apply({"params": parameters["auxiliary"]}, codes)
    outputs = Outputs(codes, prediction, heads)
    return jax.tree.map(lambda x: x.reshape(k, b, *x.shape[1:]), outputs)


def predict(
    network: Network,
    parameters: Parameters,
    features: ByModality,
    valid: ByModality,
    observed: ByModality,
) -> jax.Array:
    """Predicted labels [b] of one view, without dropout; only `parameters["network"]` is read."""
    variables = {"params": parameters["network"]}
    outputs: Any = network.apply(variables, features, valid, observed, train=False)
    return outputs[1]
