"""DHF: one code of a modality becomes a homogeneous, a heterogeneous and a noise code."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.layers import Perceptron, per_modality, where_available

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

        def encoder(name: str, width: int = self.width) -> Perceptron:
            return Perceptron(2 * self.width, width, self.dropout, name=name)

        def private(name: str, width: int = self.width) -> jax.Array:
            return per_modality(encoder(name, width), z_mbd, train=train)

        h_mbd = where_available(available_mb, encoder("homogeneous")(z_mbd, train=train))
        s_mbd = where_available(available_mb, private("heterogeneous"))
        if not self.random_noise:
            return h_mbd, s_mbd, where_available(available_mb, private("noise")), None
        mean_mbd, raw_mbd = jnp.split(private("noise", 2 * self.width), 2, axis=-1)
        log_variance_mbd = LARGEST_LOG_VARIANCE * jnp.tanh(raw_mbd / LARGEST_LOG_VARIANCE)
        n_mbd = mean_mbd
        if train:
            chance_mbd = jax.random.normal(self.make_rng("dropout"), mean_mbd.shape)
            n_mbd = mean_mbd + jnp.exp(log_variance_mbd / 2) * chance_mbd
        return h_mbd, s_mbd, where_available(available_mb, n_mbd), (mean_mbd, log_variance_mbd)
