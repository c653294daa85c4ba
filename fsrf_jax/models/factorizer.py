"""DHF: one code of a modality becomes a homogeneous, a heterogeneous and a noise code."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.layers import Perceptron, where_available

# Softly limits the log-variance of a random noise code: exp of it must stay finite.
LARGEST_LOG_VARIANCE = 6.0


class Factorizer(nn.Module):
    """H_m = E_H(Z_m) by one encoder for all modalities; S_m = E_S_m(Z_m), N_m = E_N_m(Z_m).

    Attributes:
        width: d of every code.
        dropout: rate inside the encoders.
        random_noise: E_N_m gives mean and log-variance of a Gaussian, from which training draws
            N_m; otherwise N_m is its mean.
    """

    width: int
    dropout: float
    random_noise: bool = False

    @nn.compact
    def __call__(
        self, z_mbd: jax.Array, available_mb: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array, tuple[jax.Array, jax.Array] | None]:
        """Factorize Z; codes are zero where a modality is absent.

        Returns:
            H, S, N, each [m, b, d]; and mean and log-variance of a random N, or None.
        """

        def shared(encoder: Perceptron, z_mbd: jax.Array) -> jax.Array:
            return encoder(z_mbd, train=train)

        private = nn.vmap(
            shared, variable_axes={"params": 0}, split_rngs={"params": True, "dropout": True}
        )

        def encode(how: Callable, name: str, width: int = self.width) -> jax.Array:
            return how(Perceptron(2 * self.width, width, self.dropout, name=name), z_mbd)

        h_mbd = where_available(available_mb, encode(shared, "homogeneous"))
        s_mbd = where_available(available_mb, encode(private, "heterogeneous"))
        if not self.random_noise:
            return h_mbd, s_mbd, where_available(available_mb, encode(private, "noise")), None
        mean_mbd, raw_mbd = jnp.split(encode(private, "noise", 2 * self.width), 2, axis=-1)
        log_variance_mbd = LARGEST_LOG_VARIANCE * jnp.tanh(raw_mbd / LARGEST_LOG_VARIANCE)
        n_mbd = mean_mbd
        if train:
            chance_mbd = jax.random.normal(self.make_rng("dropout"), mean_mbd.shape)
            n_mbd = mean_mbd + jnp.exp(log_variance_mbd / 2) * chance_mbd
        return h_mbd, s_mbd, where_available(available_mb, n_mbd), (mean_mbd, log_variance_mbd)
