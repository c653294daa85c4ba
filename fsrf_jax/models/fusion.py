"""Homogeneous and heterogeneous codes of all modalities become one vector."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.initialise import token_scale
from fsrf_jax.models.layers import Block, Perceptron, prepend
from fsrf_jax.ranges import expect
from fsrf_jax.types import ByModality

KINDS = ("concatenation", "transformer")


class Fusion(nn.Module):
    """One token for each H_m and S_m, then a Transformer or a perceptron over all tokens.

    The noise code is dropped. The code of an absent modality is replaced by a learned
    `[missing]` token of its slot.

    Attributes:
        modalities: names, in the order of the slots.
        heads: attention heads of the Transformer.
        layers: Transformer blocks.
        expansion: width of a block's or the perceptron's hidden layer as a multiple of d.
        dropout: rate in the blocks or the perceptron.
        kind: "transformer" over a class token and the tokens, each with a learned embedding of
            its slot; "concatenation": a perceptron on all tokens side by side.
    """

    modalities: tuple[str, ...]
    heads: int
    layers: int
    expansion: int
    dropout: float
    kind: str = "transformer"

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        expect(self.kind in KINDS, "kind", self.kind, f"one of {', '.join(KINDS)}")
        super().__post_init__()

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
        token_bsd = self._tokens(homogeneous, heterogeneous, available)
        fuse = self._concatenate if self.kind == "concatenation" else self._attend
        return nn.LayerNorm()(fuse(token_bsd, train))

    def _tokens(
        self, homogeneous: ByModality, heterogeneous: ByModality, available: ByModality
    ) -> jax.Array:
        """Codes, or `[missing]` tokens in their place, one slot each: [b, s, d]."""
        codes = [c[m] for m in self.modalities for c in (homogeneous, heterogeneous)]
        code_bsd = jnp.stack(codes, axis=1)
        present_bs = jnp.stack([available[m] for m in self.modalities for _ in "HS"], axis=1) > 0
        missing_sd = self.param("missing", token_scale, code_bsd.shape[1:])
        return jnp.where(present_bs[..., None], code_bsd, missing_sd[None])

    def _attend(self, token_bsd: jax.Array, train: bool) -> jax.Array:
        """What a class token [b, d] gathers from the tokens."""
        slot_sd = self.param("slot", token_scale, token_bsd.shape[1:])
        class_d = self.param("class", token_scale, token_bsd.shape[2:])
        x_bsd = prepend(class_d, token_bsd + slot_sd[None])
        everything = jnp.ones(x_bsd.shape[:2], bool)
        for _ in range(self.layers):
            x_bsd = Block(self.heads, self.expansion, self.dropout)(x_bsd, everything, train=train)
        return x_bsd[:, 0]

    def _concatenate(self, token_bsd: jax.Array, train: bool) -> jax.Array:
        """A perceptron [b, d] on the tokens side by side; their places tell the slots apart."""
        b, s, d = token_bsd.shape
        perceptron = Perceptron(self.expansion * d, d, self.dropout)
        return perceptron(token_bsd.reshape(b, s * d), train=train)
