"""DHF: one code of a modality becomes a homogeneous, a heterogeneous and a noise code."""

import flax.linen as nn
import jax

from fsrf_jax.models.layers import Perceptron, where_available
from fsrf_jax.types import ByModality


class Factorizer(nn.Module):
    """H_m = E_H(Z_m) by one encoder for all modalities; S_m = E_S_m(Z_m), N_m = E_N_m(Z_m).

    Attributes:
        modalities: names, each with two private encoders.
        width: d of every code.
        dropout: rate inside the encoders.
    """

    modalities: tuple[str, ...]
    width: int
    dropout: float

    @nn.compact
    def __call__(
        self, pooled: ByModality, available: ByModality, *, train: bool
    ) -> tuple[ByModality, ByModality, ByModality]:
        """Factorize Z_m [b, d] of every modality; codes are zero where a_m [b] is zero."""

        def encoder(name: str) -> Perceptron:
            return Perceptron(2 * self.width, self.width, self.dropout, name=name)

        def encode(module: Perceptron, m: str) -> jax.Array:
            return where_available(available[m], module(pooled[m], train=train))

        shared = encoder("homogeneous")
        homogeneous = {m: encode(shared, m) for m in self.modalities}
        heterogeneous = {m: encode(encoder(f"heterogeneous_{m}"), m) for m in self.modalities}
        noise = {m: encode(encoder(f"noise_{m}"), m) for m in self.modalities}
        return homogeneous, heterogeneous, noise
