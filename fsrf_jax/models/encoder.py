"""One modality's sequence becomes one vector: convolution, Transformer, pooling."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.initialise import kernel_scale, token_scale
from fsrf_jax.models.layers import (
    Block,
    Dropout,
    FrameConvolution,
    prepend,
    sinusoidal_positions,
    where_available,
)
from fsrf_jax.ranges import expect


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
MISSING_FRAMES = ("learned", "zero")


class ModalityEncoder(nn.Module):
    """Z = Pool(Transformer(Conv1D(X * O) + positions)), as in HRLF.

    Attributes:
        width: d of the code.
        heads: attention heads.
        layers: Transformer blocks.
        expansion: width of a block's hidden layer as a multiple of d.
        kernel: frames under the convolution.
        dropout: rate on the embedded frames and in the blocks.
        mask_aware: attention and pooling run over the observed frames; False: over all valid
            frames, so that a missing frame is seen as what stands in for it.
        pool: "mean" over frames; "last" frame; "attention": mean weighted by a learned score;
            "cls": a learned class token in front of the frames, which needs a block.
        missing_frame: what stands in for a valid frame that is missing, before the convolution:
            "zero", or a "learned" vector [f] that starts at zero. With `mask_aware` only the
            convolution of the neighbours sees it.
    """

    width: int
    heads: int
    layers: int
    expansion: int
    kernel: int
    dropout: float
    mask_aware: bool
    pool: str = "mean"
    missing_frame: str = "zero"

    def __post_init__(self) -> None:
        """Refuse unknown names, and a class token that would never see a frame."""
        known = ", ".join(sorted(POOLS))
        expect(self.pool in POOLS, "pool", self.pool, f"one of {known}")
        known = ", ".join(MISSING_FRAMES)
        found = self.missing_frame
        expect(found in MISSING_FRAMES, "missing_frame", found, f"one of {known}")
        blind = self.pool == "cls" and self.layers < 1
        expect(not blind, "layers", self.layers, "1 or more for pool cls")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x_btf: jax.Array, valid_bt: jax.Array, observed_bt: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Encode one modality.

        Args:
            x_btf: normalised features.
            valid_bt: False for padding.
            observed_bt: False for a missing frame; its features are not looked at.
            train: turns dropout on.

        Returns:
            Z [b, d], zero where nothing is observed, and the availability float32 [b].
        """
        observed_bt = observed_bt & valid_bt
        available_b = observed_bt.any(axis=1).astype(jnp.float32)
        mask_bt = observed_bt if self.mask_aware else valid_bt
        visible_btf = jnp.where(observed_bt[..., None], x_btf, 0.0)
        if self.missing_frame == "learned":
            stand_in_f = self.param("missing_frame", nn.initializers.zeros, x_btf.shape[-1:])
            missing_bt = valid_bt & ~observed_bt
            visible_btf = jnp.where(missing_bt[..., None], stand_in_f[None, None], visible_btf)
        h_btd = FrameConvolution(self.width, self.kernel, name="frames")(visible_btf)
        positions_td = sinusoidal_positions(h_btd.shape[1], self.width)
        h_btd = Dropout(self.dropout)(h_btd + positions_td[None], train=train)
        if self.pool == "cls":
            h_btd = prepend(self.param("class", token_scale, (self.width,)), h_btd)
            mask_bt = jnp.pad(mask_bt, ((0, 0), (1, 0)), constant_values=True)
        for _ in range(self.layers):
            h_btd = Block(self.heads, self.expansion, self.dropout)(h_btd, mask_bt, train=train)
        z_bd = POOLS[self.pool](nn.LayerNorm()(h_btd), mask_bt)
        return where_available(available_b, z_bd), available_b
