"""Building blocks: attention with a safe mask, cheap dropout, pre-norm Transformer blocks.

Width d is the last axis throughout; `mask_bt` is True where a position may be attended to.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32

from fsrf_jax.models.attention import as_laid_out, attend
from fsrf_jax.models.initialise import kernel_scale

KEYS = "dropout_keys"
"""Collection of variables: the key of every dropout, for a module that runs more than once with
the same ones. Making a key is a loop of its own in the program."""


def dense(out: int, name: str | None = None, dtype: Any = None) -> nn.Dense:
    """A dense layer whose kernel is drawn by `initialise`, with all others.

    It computes in `dtype`; None: in that of input and kernel, of which one may be wider.
    """
    return nn.Dense(out, dtype=dtype, kernel_init=kernel_scale, name=name)


def drops(rate: float | jax.Array) -> bool:
    """Whether a rate may be other than 0; that of a compiled program is known when it runs."""
    return not isinstance(rate, float) or round(rate * 256) > 0


class Place(NamedTuple):
    """Which part of a larger array [n, t, d] an array [b, s, d] is."""

    rows: jax.Array  # int32 [b], the number of each row
    frames: jax.Array  # int32 [b, s], the frames of each row
    length: int  # t

    def with_token(self) -> "Place":
        """Once `prepend` has put a token in front of every row."""
        frames_bs = jnp.pad(self.frames + 1, ((0, 0), (1, 0)))
        return Place(self.rows, frames_bs, self.length + 1)


class Dropout(nn.Module):
    """Inverted dropout whose mask costs a quarter of the random bits.

    One uint32 word gives the masks of four elements, so the rate is rounded to a multiple of
    1/256. Drawing a float for every element would be the most expensive part of a step.

    Attributes:
        rate: share of the elements set to zero, in [0, 1); an array inside a compiled program.
    """

    rate: float | jax.Array

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool, place: Place | None = None) -> jax.Array:
        """Drop elements of x [..., d] in training; x itself otherwise.

        Args:
            x: what elements are dropped of.
            train: whether any is.
            place: which part of a larger array x is: it then has the mask that it would have there.
        """
        if not (train and drops(self.rate)):
            return x
        dropped_of_256 = jnp.round(jnp.float32(self.rate) * 256).astype(jnp.int32)
        *leading, d = x.shape
        words = random_words(self._key(), (*leading, -(-d // 4)), place)
        bits = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*leading, -1)[..., :d]
        scale = (256 / (256 - dropped_of_256)).astype(x.dtype)
        return jnp.where(bits >= dropped_of_256, x * scale, 0.0)

    def _key(self) -> jax.Array:
        """The key among the variables `KEYS`; without any, the next one of the stream."""
        if self.has_variable(KEYS, "key"):
            return self.get_variable(KEYS, "key")
        key = self.make_rng("dropout")
        if not self.is_initializing():
            self.sow(KEYS, "key", key, init_fn=lambda: key, reduce_fn=lambda _, new: new)
        return key


def random_words(key: jax.Array, shape: tuple[int, ...], place: Place | None = None) -> jax.Array:
    """Random uint32; with `place`, that part of an array [n, t, d]; `shape` has its d.

    Word i of an array is a function of the key and i alone, as JAX has it by default.
    """
    if place is None:
        return jax.random.bits(key, shape, jnp.uint32)
    rows_b = place.rows.astype(jnp.uint32)
    frames_bs = rows_b[:, None] * place.length + place.frames.astype(jnp.uint32)
    words = jnp.arange(shape[-1], dtype=jnp.uint32)
    numbers = frames_bs[..., None] * shape[-1] + words[None, None]
    counts = jnp.stack([jnp.zeros_like(numbers), numbers]).ravel()
    one, other = threefry_2x32(jax.random.key_data(key), counts).reshape(2, *shape)
    return one ^ other


class FrameConvolution(nn.Module):
    """The matrix product of a convolution over frames, which `shifted_sum` makes of it.

    On a CPU, XLA runs its own convolution slowly inside a loop, and an epoch is one. The product
    comes first and the shifts after it, since f is mostly larger than d. Between the two, frames
    can be taken out as they could be before: each is a product of its own.

    Attributes:
        width: d of the output.
        kernel: frames under the convolution; of an even number, one more lies behind than before.
        scale: of the initial weights, as a multiple of the usual ones.
    """

    width: int
    kernel: int
    scale: float = 1.0

    @nn.compact
    def __call__(self, x_btf: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The products [b, t, k, d] of x [b, t, f] with the k taps, and the bias [d]."""
        small = partial(kernel_scale, multiple=self.scale)
        kernel_kfd = self.param("kernel", small, (self.kernel, x_btf.shape[2], self.width))
        bias_d = self.param("bias", nn.initializers.zeros, (self.width,))
        return jnp.einsum("btf,kfd->btkd", x_btf, kernel_kfd.astype(x_btf.dtype)), bias_d


def shifted_sum(products: Sequence[jax.Array], bias_d: jax.Array) -> jax.Array:
    """The convolution [b, t, d] of the products [b, t, d] that `FrameConvolution` gives."""
    before = (len(products) - 1) // 2
    total = bias_d[None, None]
    for i, x_btd in enumerate(products):
        total = total + _shifted(x_btd, i - before)
    return total


def _shifted(x_btd: jax.Array, by: int) -> jax.Array:
    """Frame t + `by` in the place of frame t; zeros from beyond the ends."""
    t, before, behind = x_btd.shape[1], max(0, -by), max(0, by)
    return jnp.pad(x_btd, ((0, 0), (before, behind), (0, 0)))[:, behind : behind + t]


class SelfAttention(nn.Module):
    """Multi-head self-attention; a row with nothing to attend to mixes nothing in.

    Plain einsum attention is faster than `jax.nn.dot_product_attention` at the sequence lengths
    of this field.

    Attributes:
        heads: number of heads; divides d.
    """

    heads: int

    @nn.compact
    def __call__(self, x_btd: jax.Array, mask_bt: jax.Array) -> jax.Array:
        """Attend from every position of x_btd to the positions where mask_bt is True."""
        d, dtype = x_btd.shape[-1], x_btd.dtype
        linear = partial(nn.DenseGeneral, dtype=dtype, kernel_init=kernel_scale)
        projection = linear((3, self.heads, d // self.heads), name="query_key_value")
        projected_btnhc = as_laid_out(projection(x_btd))
        parts = [as_laid_out(projected_btnhc[:, :, i].swapaxes(1, 2)) for i in range(3)]
        mixed_bhtc = as_laid_out(attend(*parts, mask_bt))
        output = linear(d, axis=(-2, -1), name="output")
        return output(as_laid_out(mixed_bhtc.swapaxes(1, 2)))


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
    def __call__(
        self,
        x_btd: jax.Array,
        mask_bt: jax.Array,
        *,
        train: bool,
        place: Place | None = None,
    ) -> jax.Array:
        """Mix the positions of x_btd; positions outside mask_bt are never attended to.

        It computes in the type of x_btd; `place` is for `Dropout`.
        """
        d, dtype = x_btd.shape[-1], x_btd.dtype
        mixed = SelfAttention(self.heads)(nn.LayerNorm(dtype=dtype)(x_btd), mask_bt)
        x_btd = x_btd + Dropout(self.dropout)(mixed, train=train, place=place)
        normal = nn.LayerNorm(dtype=dtype)(x_btd)
        hidden = nn.gelu(dense(self.expansion * d, dtype=dtype)(normal))
        added = dense(d, dtype=dtype)(hidden)
        return x_btd + Dropout(self.dropout)(added, train=train, place=place)


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
