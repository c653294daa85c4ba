"""One modality's sequence becomes one vector: convolution, Transformer, pooling."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from fsrf_jax.data.tokens import UNKNOWN
from fsrf_jax.models import attention
from fsrf_jax.models.chunks import Packed, map_packed, one_cache, pack, recomputed, rows_at_once
from fsrf_jax.models.initialise import kernel_scale, token_scale
from fsrf_jax.models.layers import (
    KEYS,
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
    def __call__(
        self, h_nsd: jax.Array, mask_ns: jax.Array, place: Place | None = None
    ) -> jax.Array:
        """From frames to codes [n, d]; `place` says which rows and frames these are; None: all."""
        o = self.options
        h_nsd = Dropout(o.dropout)(h_nsd, train=self.train, place=place)
        if o.pool == "cls":
            class_d = o.computed(self.param("class", token_scale, (o.width,)))
            h_nsd, place = prepend(class_d, h_nsd), place and place.with_token()
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


class Unmixed(NamedTuple):
    """One modality's frames before they see each other, and what makes codes of them."""

    h_ntd: jax.Array
    mask_nt: jax.Array  # False for frames that are not to be seen
    variables: Any  # of a Mixer: parameters, and the keys of its dropout in training


class ModalityEncoder(nn.Module):
    """Z = Pool(Transformer(Conv1D(X * O) + positions)), as in HRLF: the frames before `mixed`.

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
    ) -> tuple[Unmixed, jax.Array]:
        """Encode one modality of b samples, each in k views: n = k * b.

        Args:
            x_btf: normalised features, or token ids, int32 [b, t, 1].
            valid_bt: False for padding.
            observed_nt: False for a missing frame; its features are not looked at. The b rows of
                the first view come first.
            train: turns dropout on.

        Returns:
            The frames with the parameters of their mixer, which are among those of this module,
            and the availability float32 [n]: 0 where nothing is observed.
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
        variables = self._of_mixer(h_ntd, mask_nt, train=train)
        return Unmixed(h_ntd, mask_nt, variables), available_n

    def _of_mixer(self, h_ntd: jax.Array, mask_nt: jax.Array, *, train: bool) -> Any:
        """The variables of this modality's Mixer."""
        if self.is_initializing():
            mixer = Mixer(self.options, train)
            nn.share_scope(self, mixer)  # the mixer is a part of the encoder, not a child
            mixer(h_ntd, mask_nt)
        parameters = self.variables["params"]
        mine = {"embedding", "frames", "missing_frame"}
        variables = {"params": {k: v for k, v in parameters.items() if k not in mine}}
        if not train:
            return variables
        assert self.scope is not None  # the encoder is being initialised or applied
        rngs: Any = dict(self.scope.rngs)
        # Of one frame, to learn which keys: nothing else of it is computed, or differentiated.
        still, *given = jax.lax.stop_gradient((variables, h_ntd[:1, :1], mask_nt[:1, :1]))
        mixer = Mixer(self.options, train, parent=None)
        _, keys = mixer.apply(still, *given, rngs=rngs, mutable=[KEYS])
        return {**variables, **keys}

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


def mixed(options: ModelOptions, modalities: Sequence[Unmixed], *, train: bool) -> list[jax.Array]:
    """The codes [n, d] of each modality; where nothing is observed they mean nothing.

    An accelerator does modalities of one shape at once, with as many operations as for one of them.
    On one CPU that saves nothing: each has its cache to itself (benchmarks/notes.md).
    """
    of_one = partial(_codes, options, train)
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, modality in enumerate(modalities):
        alike.setdefault(modality.h_ntd.shape, []).append(i)
    codes: dict[int, jax.Array] = {}
    for shape, numbers in alike.items():
        group = [modalities[i] for i in numbers]
        if len(group) == 1 or one_cache(*shape):
            found = [of_one(modality) for modality in group]
        else:
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *group)
            found = list(jax.vmap(of_one)(stacked))
        codes |= dict(zip(numbers, found, strict=True))
    return [codes[i] for i in range(len(modalities))]


def _codes(options: ModelOptions, train: bool, modality: Unmixed) -> jax.Array:
    """`mixed` of one modality: all rows at once, or packed and some at a time."""
    h_ntd, mask_nt, variables = modality
    n, t, _ = h_ntd.shape
    mixer = Mixer(options, train, parent=None)
    at_once = rows_at_once(n, mixer.bytes_each(t))
    if at_once == n:

        def mix(h_ntd: jax.Array) -> Any:
            return mixer.apply(variables, h_ntd, mask_nt)

        return recomputed(mix, attention.KEPT)(h_ntd) if options.recompute else mix(h_ntd)

    def mix_packed(packed: Packed) -> Any:
        mask_ns = jnp.arange(packed.x.shape[1])[None] < packed.counts[:, None]
        return mixer.apply(variables, packed.x, mask_ns, Place(packed.rows, packed.frames, t))

    return map_packed(mix_packed, pack(h_ntd, mask_nt), at_once, attention.KEPT)


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
        unmixed, available = [], []
        for m in sorted(features):
            encoder = ModalityEncoder(self.options, self.vocabulary.get(m), name=m)
            given = features[m], valid[m], observed[m]
            frames, available_n = encoder(*given, train=train)
            unmixed.append(frames)
            available.append(available_n)
        z_mbd, available_mb = (
            jnp.stack(mixed(self.options, unmixed, train=train)),
            jnp.stack(available),
        )
        return where_available(available_mb, z_mbd), available_mb
