"""The config section `model`: sizes and kinds of the bricks that all methods share."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from fsrf_jax.options import expect, number, within


@dataclass(frozen=True)
class ModelOptions:
    """Encoders and fusion, the same for every method of a comparison."""

    width: int = within(40, 2)
    """Width d of every code; even, and a multiple of heads."""
    heads: int = within(4, 1)
    """Attention heads."""
    encoder_layers: int = within(1, 0)
    """Transformer blocks of each modality's encoder."""
    fusion_layers: int = within(1, 1)
    """Transformer blocks of the fusion."""
    expansion: int = within(2, 1)
    """Hidden width of a block as a multiple of width."""
    kernel: int = within(3, 1)
    """Frames under the encoders' convolution."""
    dropout: float = number(0.1, 0, 0.996, below=True)
    """Dropout rate, rounded to a multiple of 1/256."""
    feature_dropout: float = number(0.0, 0, 0.996, below=True, switch=True)
    """Dropout rate of input features, each in all frames of a sample alike."""
    input_scale: float = within(1.0, 0, 10)
    """Initial weights of the encoders' convolution, as a multiple of the usual ones."""
    mask_aware: bool = True
    """Attention and pooling run over observed frames; off: over all valid ones."""
    pool: Literal["mean", "last", "attention", "cls"] = "mean"
    """How frames become one vector: mean, last frame, learned attention, or a class token."""
    missing_frame: Literal["zero", "learned"] = "zero"
    """What stands in for a missing frame: zeros, or a learned vector of each modality."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What encoders compute in; parameters, codes, losses, and sums are float32 in any case."""
    recompute: bool = False
    """Encoders are computed again for the gradient rather than kept: less memory, more time."""
    fusion: Literal["transformer", "concatenation"] = "transformer"
    """Transformer over the codes, or a perceptron on all of them."""

    def computed(self, x: jax.Array) -> jax.Array:
        """x in the type that encoders compute in."""
        return x.astype(jnp.bfloat16) if self.precision == "bfloat16" else x

    def check(self) -> None:
        """Refuse sizes that do not fit each other; see `fsrf_jax.options.check`."""
        even = self.width % 2 == 0 and self.width % self.heads == 0
        expect(even, "width", self.width, f"an even multiple of model.heads ({self.heads})")
        sees = self.pool != "cls" or self.encoder_layers > 0
        expect(sees, "encoder_layers", 0, "1 or more, because model.pool is cls")
