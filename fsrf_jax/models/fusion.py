"""Homogeneous and heterogeneous codes of all modalities become one vector."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.initialise import token_scale
from fsrf_jax.models.layers import Block
from fsrf_jax.types import ByModality


class Fusion(nn.Module):
    """A small Transformer over a class token and the tokens H_m, S_m; the noise code is dropped.

    Every token has a learned embedding of its slot; the code of an absent modality is replaced
    by a learned `[missing]` token of that slot.

    Attributes:
        modalities: names, in the order of the slots.
        heads: attention heads.
        layers: Transformer blocks.
        expansion: width of a block's hidden layer as a multiple of d.
        dropout: rate in the blocks.
    """

    modalities: tuple[str, ...]
    heads: int
    layers: int
    expansion: int
    dropout: float

    @nn.compact
    def __call__(
        self,
        homogeneous: ByModality,
        heterogeneous: ByModality,
        available: ByModality,
        *,
        train: bool,
    ) -> jax.Array:
        """Fuse codes [b, d] with availabilities [b] into F [b, d]."""
        codes = [c[m] for m in self.modalities for c in (homogeneous, heterogeneous)]
        code_bsd = jnp.stack(codes, axis=1)
        present_bs = jnp.stack([available[m] for m in self.modalities for _ in "HS"], axis=1) > 0
        b, s, d = code_bsd.shape
        slot_sd = self.param("slot", token_scale, (s, d))
        missing_sd = self.param("missing", token_scale, (s, d))
        class_d = self.param("class", token_scale, (d,))
        token_bsd = jnp.where(present_bs[..., None], code_bsd, missing_sd[None]) + slot_sd[None]
        class_b1d = jnp.broadcast_to(class_d, (b, 1, d))
        x_bsd = jnp.concatenate([class_b1d, token_bsd], axis=1)
        everything = jnp.ones(x_bsd.shape[:2], bool)
        for _ in range(self.layers):
            x_bsd = Block(self.heads, self.expansion, self.dropout)(x_bsd, everything, train=train)
        return nn.LayerNorm()(x_bsd[:, 0])
