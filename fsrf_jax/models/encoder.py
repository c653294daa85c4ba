"""One modality's sequence becomes one vector: convolution, Transformer, masked mean."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.initialise import kernel_scale
from fsrf_jax.models.layers import Block, Dropout, sinusoidal_positions, where_available


def masked_mean(x_btd: jax.Array, mask_bt: jax.Array) -> jax.Array:
    """Mean [b, d] of the frames where mask_bt is True; zeros, without gradient, where none is."""
    weight_bt = mask_bt.astype(x_btd.dtype)
    total_bd = jnp.einsum("btd,bt->bd", x_btd, weight_bt)
    return total_bd / jnp.maximum(weight_bt.sum(axis=1), 1.0)[:, None]


class ModalityEncoder(nn.Module):
    """Z = mean over frames of Transformer(Conv1D(X * O) + positions), as in HRLF.

    Attributes:
        width: d of the code.
        heads: attention heads.
        layers: Transformer blocks.
        expansion: width of a block's hidden layer as a multiple of d.
        kernel: frames under the convolution.
        dropout: rate on the embedded frames and in the blocks.
        mask_aware: attention and pooling run over the observed frames; False: over all valid
            frames, so that a missing frame is seen as a zero vector.
    """

    width: int
    heads: int
    layers: int
    expansion: int
    kernel: int
    dropout: float
    mask_aware: bool

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
        convolution = nn.Conv(self.width, (self.kernel,), kernel_init=kernel_scale, name="frames")
        h_btd = convolution(visible_btf)
        positions_td = sinusoidal_positions(h_btd.shape[1], self.width)
        h_btd = Dropout(self.dropout)(h_btd + positions_td[None], train=train)
        for _ in range(self.layers):
            h_btd = Block(self.heads, self.expansion, self.dropout)(h_btd, mask_bt, train=train)
        z_bd = masked_mean(nn.LayerNorm()(h_btd), mask_bt)
        return where_available(available_b, z_bd), available_b
