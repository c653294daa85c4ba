"""Building blocks: attention with a safe mask, cheap dropout, pre-norm Transformer blocks.

Width d is the last axis throughout; `mask_bt` is True where a position may be attended to.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsrf_jax.models.initialise import kernel_scale


def dense(out: int, name: str | None = None) -> nn.Dense:
    """A dense layer whose kernel is drawn by `initialise`, with all others."""
    return nn.Dense(out, kernel_init=kernel_scale, name=name)


class Dropout(nn.Module):
    """Inverted dropout whose mask costs a quarter of the random bits.

    One uint32 word gives the masks of four elements, so the rate is rounded to a multiple of
    1/256. Drawing a float for every element would be the most expensive part of a step.

    Attributes:
        rate: share of the elements set to zero, in [0, 1); an array inside a compiled program.
    """

    rate: float | jax.Array

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Drop elements of x [..., d] in training; x itself otherwise."""
        if not train or (isinstance(self.rate, float) and round(self.rate * 256) == 0):
            return x
        dropped_of_256 = jnp.round(jnp.float32(self.rate) * 256).astype(jnp.int32)
        *leading, d = x.shape
        words = jax.random.bits(self.make_rng("dropout"), (*leading, -(-d // 4)), jnp.uint32)
        bits = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*leading, -1)[..., :d]
        return jnp.where(bits >= dropped_of_256, x * (256 / (256 - dropped_of_256)), 0.0)


class FrameConvolution(nn.Module):
    """Convolution over frames with zeros beyond the ends, as one matrix product.

    On a CPU, XLA runs its own convolution slowly inside a loop, and an epoch is one. The product
    comes first and the shifts after it, since f is mostly larger than d.

    Attributes:
        width: d of the output.
        kernel: frames under the convolution; of an even number, one more lies behind than before.
        scale: of the initial weights, as a multiple of the usual ones.
    """

    width: int
    kernel: int
    scale: float = 1.0

    @nn.compact
    def __call__(self, x_btf: jax.Array) -> jax.Array:
        """Map x [b, t, f] to [b, t, d]."""
        t, k = x_btf.shape[1], self.kernel
        small = partial(kernel_scale, multiple=self.scale)
        kernel_kfd = self.param("kernel", small, (k, x_btf.shape[2], self.width))
        bias_d = self.param("bias", nn.initializers.zeros, (self.width,))
        y_btkd = jnp.einsum("btf,kfd->btkd", x_btf, kernel_kfd)
        before = (k - 1) // 2
        y_btkd = jnp.pad(y_btkd, ((0, 0), (before, k - 1 - before), (0, 0), (0, 0)))
        return sum((y_btkd[:, i : i + t, i] for i in range(k)), bias_d[None, None])


class SelfAttention(nn.Module):
    """Multi-head self-attention; a row with nothing to attend to mixes nothing in.

    Plain einsum attention is faster than `jax.nn.dot_product_attention` at the sequence lengths
    of this field, and `softmax(where=...)` keeps value and gradient finite for an empty row.

    Attributes:
        heads: number of heads; divides d.
    """

    heads: int

    @nn.compact
    def __call__(self, x_btd: jax.Array, mask_bt: jax.Array) -> jax.Array:
        """Attend from every position of x_btd to the positions where mask_bt is True."""
        d = x_btd.shape[-1]
        projection = nn.DenseGeneral(
            (3, self.heads, d // self.heads), kernel_init=kernel_scale, name="query_key_value"
        )
        q, k, v = jnp.moveaxis(projection(x_btd), -3, 0)
        logits = jnp.einsum("bthc,bshc->bhts", q, k) * (d // self.heads) ** -0.5
        where = jnp.broadcast_to(mask_bt[:, None, None, :], logits.shape)
        attention = jax.nn.softmax(logits, axis=-1, where=where)
        mixed = jnp.einsum("bhts,bshc->bthc", attention, v)
        return nn.DenseGeneral(d, axis=(-2, -1), kernel_init=kernel_scale, name="output")(mixed)


class Block(nn.Module):
    """Pre-norm Transformer block: attention, then a two-layer perceptron with GELU.

    Attributes:
        heads: attention heads.
        expansion: width of the hidden layer as a multiple of d.
        dropout: rate behind either half.
    """

    heads: int
    expansion: int
    dropout: float

    @nn.compact
    def __call__(self, x_btd: jax.Array, mask_bt: jax.Array, *, train: bool) -> jax.Array:
        """Mix the positions of x_btd; positions outside mask_bt are never attended to."""
        d = x_btd.shape[-1]
        mixed = SelfAttention(self.heads)(nn.LayerNorm()(x_btd), mask_bt)
        x_btd = x_btd + Dropout(self.dropout)(mixed, train=train)
        hidden = nn.gelu(dense(self.expansion * d)(nn.LayerNorm()(x_btd)))
        return x_btd + Dropout(self.dropout)(dense(d)(hidden), train=train)


class Perceptron(nn.Module):
    """Two dense layers with GELU and dropout between them.

    Attributes:
        hidden: width of the hidden layer.
        out: width of the output.
        dropout: rate on the hidden layer.
    """

    hidden: int
    out: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map x [..., in] to [..., out]."""
        hidden = nn.gelu(dense(self.hidden)(x))
        return dense(self.out)(Dropout(self.dropout)(hidden, train=train))


def sinusoidal_positions(t: int, d: int) -> jax.Array:
    """Fixed positional encoding [t, d] (Vaswani et al., 2017): sines, then cosines; d is even."""
    rate_d = jnp.exp(jnp.arange(d // 2) * (-jnp.log(10_000.0) / (d // 2)))
    angle_td = jnp.outer(jnp.arange(t), rate_d)
    return jnp.concatenate([jnp.sin(angle_td), jnp.cos(angle_td)], axis=-1)


def prepend(token_d: jax.Array, x_btd: jax.Array) -> jax.Array:
    """One token in front of every sequence: [b, 1 + t, d]."""
    token_b1d = jnp.broadcast_to(token_d, (x_btd.shape[0], 1, x_btd.shape[2]))
    return jnp.concatenate([token_b1d, x_btd], axis=1)


def where_available(available_b: jax.Array, x_bd: jax.Array) -> jax.Array:
    """x [.., b, d] with the rows of unavailable samples set to zero, and no gradient there."""
    return jnp.where(available_b[..., None] > 0, x_bd, 0.0)


def per_modality(perceptron: Perceptron, x_mbd: jax.Array, *, train: bool = False) -> jax.Array:
    """One perceptron per modality, each with parameters of its own: [m, b, d] to [m, b, out].

    Must be called inside a module, which then holds the parameters.
    """
    apply = nn.vmap(
        lambda module, x_bd: module(x_bd, train=train),
        variable_axes={"params": 0},
        split_rngs={"params": True, "dropout": True},
    )
    return apply(perceptron, x_mbd)


@jax.custom_vjp
def reverse_gradient(x: jax.Array) -> jax.Array:
    """x itself, with the gradient's sign turned (Ganin and Lempitsky, 2015)."""
    return x


reverse_gradient.defvjp(lambda x: (x, None), lambda _, gradient: (-gradient,))
