"""The whole network, and the heads that only its losses need."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.encoder import ModalityEncoder
from fsrf_jax.models.factorization import Factorizer
from fsrf_jax.models.fusion import Fusion
from fsrf_jax.models.layers import Perceptron
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
        return codes, nn.Dense(1, name="regression")(fused)[:, 0]


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
        heterogeneous: ByModality = {}
        noise: ByModality = {}
        reconstruction: ByModality = {}
        for m, f in self.feature_widths:
            h, s, n = codes.homogeneous[m], codes.heterogeneous[m], codes.noise[m]

            def head(name: str, x: jax.Array, out: int, m: str = m) -> jax.Array:
                return Perceptron(self.hidden, out, name=f"{name}_{m}")(x, train=False)

            with_h = jnp.concatenate([jax.lax.stop_gradient(h), s], axis=-1)
            heterogeneous[m] = head("heterogeneous", with_h, 1)[:, 0]
            noise[m] = head("adversary", reverse_gradient(n), 1)[:, 0]
            reconstruction[m] = head("decoder", jnp.concatenate([h, s, n], axis=-1), f)
        return Auxiliary(heterogeneous, noise, reconstruction)


def init(network: Network, auxiliary: AuxiliaryHeads, batch: Batch, key: jax.Array) -> Parameters:
    """Parameters of both modules, for arrays of the batch's shapes."""
    network_key, auxiliary_key = jax.random.split(key)
    network_variables = network.init(
        network_key, batch.features, batch.valid, batch.valid, train=False
    )
    codes, _ = network.apply(
        network_variables, batch.features, batch.valid, batch.valid, train=False
    )
    return {
        "network": network_variables["params"],
        "auxiliary": auxiliary.init(auxiliary_key, codes)["params"],
    }


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

    codes, prediction = network.apply(
        {"params": parameters["network"]},
        jax.tree.map(repeat, batch.features),
        jax.tree.map(repeat, batch.valid),
        jax.tree.map(lambda *masks: jnp.concatenate(masks), *views),
        train=True,
        rngs={"dropout": key},
    )
    predictions = auxiliary.apply({"params": parameters["auxiliary"]}, codes)
    outputs = Outputs(codes, prediction, predictions)
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
    return network.apply(variables, features, valid, observed, train=False)[1]
