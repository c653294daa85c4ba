"""One modality's sequence becomes one vector: convolution, Transformer, pooling."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from fsrf_jax.data.tokens import UNKNOWN
from fsrf_jax.models import attention
from fsrf_jax.models.chunks import Packed, map_packed, pack, recomputed, rows_at_once
from fsrf_jax.models.initialise import kernel_scale, token_scale
from fsrf_jax.models.layers import (
    Block,
    Dropout,
    FrameConvolution,
    Place,
    drops,
    prepend,
    shifted_sum,
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


class Mixer(nn.Module):
    """Behind the convolution: from there on the frames of a sample see each other.

    Frames outside the mask change nothing: nobody attends to them, and no pooling looks at them.

    Attributes:
        options: of the encoder.
        train: turns dropout on.
    """

    options: ModelOptions
    train: bool

    @nn.compact
    def __call__(self, h_nsd: jax.Array, mask_ns: jax.Array, place: Place) -> jax.Array:
        """From frames to codes [n, d]; `place` says which rows and frames of all these are."""
        o = self.options
        h_nsd = Dropout(o.dropout)(h_nsd, train=self.train, place=place)
        if o.pool == "cls":
            class_d = o.computed(self.param("class", token_scale, (o.width,)))
            h_nsd, place = prepend(class_d, h_nsd), place.with_token()
            mask_ns = jnp.pad(mask_ns, ((0, 0), (1, 0)), constant_values=True)
        for _ in range(o.encoder_layers):
            block = Block(o.heads, o.expansion, o.dropout)
            h_nsd = block(h_nsd, mask_ns, train=self.train, place=place)
        # From here on everything is float32, whatever the encoder computed in.
        h_nsd = nn.LayerNorm()(h_nsd.astype(jnp.promote_types(h_nsd.dtype, jnp.float32)))
        return POOLS[o.pool](h_nsd, mask_ns)

    def bytes_each(self, t: int) -> int:
        """About what one row of t frames needs, with gradients."""
        o = self.options
        of_frame = o.kernel + (9 + 3 * o.expansion) * max(o.encoder_layers, 1)
        return 4 * t * (o.width * of_frame + 3 * o.heads * t)


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
        self, x_btf: jax.Array, valid_bt: jax.Array, observed_nt: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Encode one modality of b samples, each in k views: n = k * b.

        Args:
            x_btf: normalised features, or token ids, int32 [b, t, 1].
            valid_bt: False for padding.
            observed_nt: False for a missing frame; its features are not looked at. The b rows of
                the first view come first.
            train: turns dropout on.

        Returns:
            Z [n, d], zero where nothing is observed, and the availability float32 [n].
        """
        o = self.options
        b, t = valid_bt.shape
        observed_kbt = observed_nt.reshape(-1, b, t) & valid_bt[None]
        available_n = observed_kbt.any(axis=2).ravel().astype(jnp.float32)
        if self.vocabulary is not None:
            shape = self.vocabulary, o.width
            x_btf = embed(self.param("embedding", token_scale, shape), x_btf)
        visible_btf = jnp.where(observed_kbt.any(axis=0)[..., None], x_btf, 0.0)
        k = len(observed_kbt)
        if train and drops(o.feature_dropout):
            # One draw for all frames: what is dropped cannot be read from the next frame.
            kept_n1f = jnp.ones((k * b, 1, visible_btf.shape[2]))
            kept_n1f = Dropout(o.feature_dropout, name="features")(kept_n1f, train=True)
            visible_btf = jnp.concatenate([visible_btf] * k) * kept_n1f
        visible_btf = o.computed(visible_btf)
        convolution = FrameConvolution(o.width, o.kernel, o.input_scale, name="frames")
        # A frame that one view observes and another does not: multiplied once.
        products_btwd, bias_d = convolution(visible_btf)
        stand_in_wd = jnp.zeros((o.kernel, o.width))
        if o.missing_frame == "learned":
            stand_in_f = self.param("missing_frame", nn.initializers.zeros, x_btf.shape[-1:])
            stand_in_wd = convolution(o.computed(stand_in_f[None, None]))[0][0, 0]
        h_ntd = self._convolved(products_btwd, stand_in_wd, bias_d, observed_kbt, valid_bt)
        mask_kbt = observed_kbt if o.mask_aware else jnp.broadcast_to(valid_bt, (k, b, t))
        mask_nt = mask_kbt.reshape(k * b, t)

        mixer = Mixer(o, train)
        at_once = rows_at_once(k * b, mixer.bytes_each(t))
        every = Place(jnp.arange(k * b, dtype=jnp.int32))
        if self.is_initializing() or (at_once == k * b and not o.recompute):
            nn.share_scope(self, mixer)  # the mixer is a part of the encoder, not a child
            return where_available(available_n, mixer(h_ntd, mask_nt, every)), available_n
        assert self.scope is not None  # the encoder is being applied
        rngs: Any = dict(self.scope.rngs)
        apart = partial(Mixer(o, train, parent=None).apply, rngs=rngs)
        variables = {"params": self.variables["params"]}
        if at_once == k * b:

            def mix(h_ntd: jax.Array) -> Any:
                return apart(variables, h_ntd, mask_nt, every)

            z_nd = recomputed(mix, attention.KEPT)(h_ntd)
        else:

            def mix_packed(packed: Packed) -> Any:
                mask_ns = jnp.arange(packed.x.shape[1])[None] < packed.counts[:, None]
                place = Place(packed.rows, packed.frames, t)
                return apart(variables, packed.x, mask_ns, place)

            z_nd = map_packed(mix_packed, pack(h_ntd, mask_nt), at_once, attention.KEPT)
        return where_available(available_n, z_nd), available_n

    def _convolved(
        self,
        products_btwd: jax.Array,
        stand_in_wd: jax.Array,
        bias_d: jax.Array,
        observed_kbt: jax.Array,
        valid_bt: jax.Array,
    ) -> jax.Array:
        """The convolution of every view, with positions, [k * b, t, d].

        Args:
            products_btwd: of each frame with the kernel's taps; of k * b rows, if views differ.
            stand_in_wd: those of a missing frame.
            bias_d: of the convolution.
            observed_kbt: False for missing frames.
            valid_bt: False for padding.
        """
        o = self.options
        k, b, t = observed_kbt.shape
        products_kbtwd = products_btwd.reshape(-1, b, t, o.kernel, o.width)
        missing_kbt1 = (valid_bt[None] & ~observed_kbt)[..., None]
        taps = []
        for i, stand_in_d in enumerate(stand_in_wd):
            visible = jnp.where(observed_kbt[..., None], products_kbtwd[:, :, :, i], 0.0)
            if o.missing_frame == "learned":
                visible = jnp.where(missing_kbt1, stand_in_d[None, None, None], visible)
            taps.append(visible.reshape(k * b, t, o.width))
        positions_td = o.computed(sinusoidal_positions(t, o.width))
        return shifted_sum(taps, o.computed(bias_d)) + positions_td[None]


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
        """Z [m, k * b, d] and availability float32 [m, k * b] of the sorted modalities.

        Args:
            features: normalised, [b, t, f] per modality; token ids are int32 [b, t, 1].
            valid: bool [b, t] per modality, False for padding.
            observed: bool [k * b, t] per modality, False for missing frames.
            train: turns dropout on; needs the random stream `dropout`.
        """
        encoded = []
        for m in sorted(features):
            encoder = ModalityEncoder(self.options, self.vocabulary.get(m), name=m)
            encoded.append(encoder(features[m], valid[m], observed[m], train=train))
        z_mbd, available_mb = (jnp.stack(arrays) for arrays in zip(*encoded, strict=True))
        return z_mbd, available_mb
