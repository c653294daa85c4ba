"""DHF: one code of a modality becomes a homogeneous, a heterogeneous and a noise code."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.layers import Perceptron, where_available
from fsrf_jax.types import ByModality

# Softly limits the log-variance of a random noise code: exp of it must stay finite.
LARGEST_LOG_VARIANCE = 6.0


class Factorizer(nn.Module):
    """H_m = E_H(Z_m) by one encoder for all modalities; S_m = E_S_m(Z_m), N_m = E_N_m(Z_m).

    Attributes:
        modalities: names, each with two private encoders.
        width: d of every code.
        dropout: rate inside the encoders.
        random_noise: E_N_m gives mean and log-variance of a Gaussian, from which training draws
            N_m; otherwise N_m is its mean.
    """

    modalities: tuple[str, ...]
    width: int
    dropout: float
    random_noise: bool = False

    @nn.compact
    def __call__(
        self, pooled: ByModality, available: ByModality, *, train: bool
    ) -> tuple[ByModality, ByModality, ByModality, ByModality]:
        """Factorize Z_m [b, d] of every modality; codes are zero where a_m [b] is zero.

        Returns:
            H, S, N, each [b, d] per modality, and the moments of N, [b, 2, d] or none.
        """

        z_mbd = jnp.stack([pooled[m] for m in self.modalities])

        def shared(encoder: Perceptron, z_mbd: jax.Array) -> jax.Array:
            return encoder(z_mbd, train=train)

        private = nn.vmap(
            lambda encoder, z_bd: encoder(z_bd, train=train),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
        )

        def encode(how: Callable, name: str, width: int = self.width) -> jax.Array:
            return how(Perceptron(2 * self.width, width, self.dropout, name=name), z_mbd)

        def by_modality(code_mbd: jax.Array) -> ByModality:
            return {
                m: where_available(available[m], code_mbd[i]) for i, m in enumerate(self.modalities)
            }

        homogeneous = by_modality(encode(shared, "homogeneous"))
        heterogeneous = by_modality(encode(private, "heterogeneous"))
        if not self.random_noise:
            return homogeneous, heterogeneous, by_modality(encode(private, "noise")), {}
        mean_mbd, raw_mbd = jnp.split(encode(private, "noise", 2 * self.width), 2, axis=-1)
        log_variance_mbd = LARGEST_LOG_VARIANCE * jnp.tanh(raw_mbd / LARGEST_LOG_VARIANCE)
        noise_mbd = mean_mbd
        if train:
            chance_mbd = jax.random.normal(self.make_rng("dropout"), mean_mbd.shape)
            noise_mbd = mean_mbd + jnp.exp(log_variance_mbd / 2) * chance_mbd
        moments_mb2d = jnp.stack([mean_mbd, log_variance_mbd], axis=2)
        moments = {m: moments_mb2d[i] for i, m in enumerate(self.modalities)}
        return homogeneous, heterogeneous, by_modality(noise_mbd), moments
