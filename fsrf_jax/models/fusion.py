"""The codes of all modalities become one vector."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.initialise import token_scale
from fsrf_jax.models.layers import Block, Perceptron, prepend
from fsrf_jax.models.options import ModelOptions


class Fusion(nn.Module):
    """One token for each code of each modality, then a Transformer or a perceptron over all tokens.

    A code of an absent modality is replaced by a learned `[missing]` token of its slot.

    Attributes:
        options: `fusion` is "transformer" over a class token and the tokens, each with a learned
            embedding of its slot; or "concatenation", a perceptron on all tokens side by side.
    """

    options: ModelOptions

    @nn.compact
    def __call__(
        self, codes: Sequence[jax.Array], available_mb: jax.Array, *, train: bool
    ) -> jax.Array:
        """Fuse codes, each [m, b, d], with availabilities [m, b] into F [b, d]."""
        token_bsd = self._tokens(codes, available_mb)
        fuse = self._concatenate if self.options.fusion == "concatenation" else self._attend
        return nn.LayerNorm()(fuse(token_bsd, train))

    def _tokens(self, codes: Sequence[jax.Array], available_mb: jax.Array) -> jax.Array:
        """Codes, or `[missing]` tokens in their place, [b, s, d], modality by modality."""
        (m, b, d), n = codes[0].shape, len(codes)
        code_bsd = jnp.stack(codes, axis=1).reshape(m * n, b, d).swapaxes(0, 1)
        present_bs = jnp.repeat(available_mb, n, axis=0).T > 0
        missing_sd = self.param("missing", token_scale, (m * n, d))
        return jnp.where(present_bs[..., None], code_bsd, missing_sd[None])

    def _attend(self, token_bsd: jax.Array, train: bool) -> jax.Array:
        """What a class token [b, d] gathers from the tokens."""
        slot_sd = self.param("slot", token_scale, token_bsd.shape[1:])
        class_d = self.param("class", token_scale, token_bsd.shape[2:])
        x_bsd = prepend(class_d, token_bsd + slot_sd[None])
        everything = jnp.ones(x_bsd.shape[:2], bool)
        o = self.options
        for _ in range(o.fusion_layers):
            x_bsd = Block(o.heads, o.expansion, o.dropout)(x_bsd, everything, train=train)
        return x_bsd[:, 0]

    def _concatenate(self, token_bsd: jax.Array, train: bool) -> jax.Array:
        """A perceptron [b, d] on the tokens side by side; their places tell the slots apart."""
        b, s, d = token_bsd.shape
        perceptron = Perceptron(self.options.expansion * d, d, self.options.dropout)
        return perceptron(token_bsd.reshape(b, s * d), train=train)
