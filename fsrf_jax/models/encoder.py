"""One modality's sequence becomes one vector: convolution, Transformer, pooling."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from fsrf_jax.data.tokens import UNKNOWN
from fsrf_jax.models.initialise import kernel_scale, token_scale
from fsrf_jax.models.layers import (
    Block,
    Dropout,
    FrameConvolution,
    prepend,
    sinusoidal_positions,
    where_available,
)
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.types import ByModality


def masked_mean(x_btd: jax.Array, mask_bt: jax.Array) -> jax.Array:
    """Mean [b, d] of the frames where mask_bt is True; zeros, without gradient, where none is."""
    weight_bt = mask_bt.astype(x_btd.dtype)
    total_bd = jnp.einsum("btd,bt->bd", x_btd, weight_bt)
    return total_bd / jnp.maximum(weight_bt.sum(axis=1), 1.0)[:, None]


def last_frame(x_btd: jax.Array, mask_bt: jax.Array) -> jax.Array:
    """The last frame [b, d] where mask_bt is True; zeros, without gradient, where none is."""
    until_bt = jnp.cumsum(mask_bt, axis=1)
    return masked_mean(x_btd, mask_bt & (until_bt == until_bt[:, -1:]))


def attended_mean(x_btd: jax.Array, mask_bt: jax.Array) -> jax.Array:
    """Mean [b, d] weighted by the softmax, over the frames of mask_bt, of a learned score.

    Zeros, without gradient, where mask_bt has no frame. Must be called inside a module, which
    then owns the score's parameters.
    """
    # A bias would shift all scores alike, and the softmax would take it out again.
    score = nn.Dense(1, use_bias=False, kernel_init=kernel_scale, name="score")
    weight_bt = jax.nn.softmax(score(x_btd)[..., 0], axis=1, where=mask_bt)
    return jnp.einsum("btd,bt->bd", x_btd, weight_bt)


def first_position(x_btd: jax.Array, mask_bt: jax.Array) -> jax.Array:
    """What stands in front [b, d]: the class token."""
    del mask_bt  # all the other ways to pool need it
    return x_btd[:, 0]


POOLS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "attention": attended_mean,
    "cls": first_position,
    "last": last_frame,
    "mean": masked_mean,
}


def embed(embedding_vd: jax.Array, ids_bt1: jax.Array) -> jax.Array:
    """The rows [b, t, d] of a table for token ids; an id beyond it has the row of `UNKNOWN`."""
    ids_bt = ids_bt1[..., 0]
    return embedding_vd[jnp.where(ids_bt < len(embedding_vd), ids_bt, UNKNOWN)]


def target_frames(encoders: Mapping[str, Any], features: ByModality) -> ByModality:
    """What a reconstruction may aim at, [b, t, f] per modality: of token ids their embeddings.

    They are held still, so that they do not become easy to decode; and each has mean 0 and standard
    deviation 1, as standard scores have: they begin small, and would count for nothing.

    Args:
        encoders: parameters of `Encoders`.
        features: what these are given.
    """

    def frames(embedding_vd: jax.Array, ids_bt1: jax.Array) -> jax.Array:
        return jax.nn.standardize(embed(jax.lax.stop_gradient(embedding_vd), ids_bt1))

    return {
        m: frames(encoders[m]["embedding"], x) if "embedding" in encoders[m] else x
        for m, x in features.items()
    }


class ModalityEncoder(nn.Module):
    """Z = Pool(Transformer(Conv1D(X * O) + positions)), as in HRLF.

    Attributes:
        options: sizes and kinds. With `mask_aware`, a learned `missing_frame` [f], which starts
            at zero, is only seen by the convolution of its neighbours.
        vocabulary: number of token ids, which get a learned embedding [vocabulary, d]: that is
            then X. None: X is numbers.
    """

    options: ModelOptions
    vocabulary: int | None = None

    @nn.compact
    def __call__(
        self, x_btf: jax.Array, valid_bt: jax.Array, observed_bt: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Encode one modality.

        Args:
            x_btf: normalised features, or token ids, int32 [b, t, 1].
            valid_bt: False for padding.
            observed_bt: False for a missing frame; its features are not looked at.
            train: turns dropout on.

        Returns:
            Z [b, d], zero where nothing is observed, and the availability float32 [b].
        """
        o = self.options
        observed_bt = observed_bt & valid_bt
        available_b = observed_bt.any(axis=1).astype(jnp.float32)
        mask_bt = observed_bt if o.mask_aware else valid_bt
        if self.vocabulary is not None:
            shape = self.vocabulary, o.width
            x_btf = embed(self.param("embedding", token_scale, shape), x_btf)
        visible_btf = jnp.where(observed_bt[..., None], x_btf, 0.0)
        if o.missing_frame == "learned":
            stand_in_f = self.param("missing_frame", nn.initializers.zeros, x_btf.shape[-1:])
            missing_bt = valid_bt & ~observed_bt
            visible_btf = jnp.where(missing_bt[..., None], stand_in_f[None, None], visible_btf)
        # One draw for all frames: what is dropped cannot be read from the next frame.
        dropout = Dropout(o.feature_dropout, name="features")
        visible_btf = visible_btf * dropout(jnp.ones_like(visible_btf[:, :1]), train=train)
        convolution = FrameConvolution(o.width, o.kernel, o.input_scale, name="frames")
        h_btd = convolution(visible_btf)
        positions_td = sinusoidal_positions(h_btd.shape[1], o.width)
        h_btd = Dropout(o.dropout)(h_btd + positions_td[None], train=train)
        if o.pool == "cls":
            h_btd = prepend(self.param("class", token_scale, (o.width,)), h_btd)
            mask_bt = jnp.pad(mask_bt, ((0, 0), (1, 0)), constant_values=True)
        for _ in range(o.encoder_layers):
            h_btd = Block(o.heads, o.expansion, o.dropout)(h_btd, mask_bt, train=train)
        z_bd = POOLS[o.pool](nn.LayerNorm()(h_btd), mask_bt)
        return where_available(available_b, z_bd), available_b


class Encoders(nn.Module):
    """One encoder per modality; their codes have one shape and are stacked.

    Attributes:
        options: of every encoder.
        vocabulary: number of token ids of each modality that has them.
    """

    options: ModelOptions
    vocabulary: Mapping[str, int] = FrozenDict()

    @nn.compact
    def __call__(
        self, features: ByModality, valid: ByModality, observed: ByModality, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Z [m, b, d] and availability float32 [m, b] of the sorted modalities.

        Args:
            features: normalised, [b, t, f] per modality; token ids are int32 [b, t, 1].
            valid: bool [b, t] per modality, False for padding.
            observed: bool [b, t] per modality, False for missing frames.
            train: turns dropout on; needs the random stream `dropout`.
        """
        encoded = []
        for m in sorted(features):
            encoder = ModalityEncoder(self.options, self.vocabulary.get(m), name=m)
            encoded.append(encoder(features[m], valid[m], observed[m], train=train))
        z_mbd, available_mb = (jnp.stack(arrays) for arrays in zip(*encoded, strict=True))
        return z_mbd, available_mb
