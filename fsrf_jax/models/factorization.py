"""DHF: one code of a modality becomes a homogeneous, a heterogeneous and a noise code."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

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

        z_mbd = jnp.stack([pooled[m] for m in self.modalities])

        def shared(encoder: Perceptron, z_mbd: jax.Array) -> jax.Array:
            return encoder(z_mbd, train=train)

        private = nn.vmap(
            lambda encoder, z_bd: encoder(z_bd, train=train),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
        )

        def encode(how: Callable, name: str) -> ByModality:
            code_mbd = how(Perceptron(2 * self.width, self.width, self.dropout, name=name), z_mbd)
            return {
                m: where_available(available[m], code_mbd[i]) for i, m in enumerate(self.modalities)
            }

        return (
            encode(shared, "homogeneous"),
            encode(private, "heterogeneous"),
            encode(private, "noise"),
        )
