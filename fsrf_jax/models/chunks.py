"""Rows a few at a time, so that what an encoder makes of them stays in a CPU's cache.

An encoder's arrays between input and code are hundreds of times as large as the code. Of a whole
batch they go to memory and come back, and on a CPU that is most of the time of a training step
(benchmarks/notes.md). Rows do not see each other before they are codes, so some can be done before
the others begin; the gradient computes them again rather than read them back. And since each few
are a step of their own, what is missing in all of them need not be computed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

BUDGET = 2 * 2**20
"""Bytes that the rows of a chunk may need. Between a half and the double of it, it hardly matters
on a core with 2 MB of its own; with fewer rows at a time, more of them are alike in length."""


def one_cache(*sizes: Any) -> bool:
    """Whether the program runs on one CPU, and so gains from parts that fit a cache.

    An accelerator has more to do at a time, the more it is given. Over several devices the rows are
    spread, and rows of one part would lie on one of them. In an exported program sizes may be
    symbols, and the device is not known.
    """
    known = all(isinstance(size, int) for size in sizes)
    return known and jax.default_backend() == "cpu" and jax.device_count() == 1


def rows_at_once(n: int, bytes_each: int) -> int:
    """How many of n samples are encoded together: all but where there is `one_cache`."""
    if not one_cache(n, bytes_each):
        return n
    chunks = max(1, min(n, round(n * bytes_each / BUDGET)))
    return -(-n // chunks)


def recomputed(function: Any, kept: str, prevent_cse: bool = True) -> Any:
    """The function; for its gradient all but the arrays named `kept` is computed again."""
    policy = jax.checkpoint_policies.save_only_these_names(kept)
    return jax.checkpoint(function, prevent_cse=prevent_cse, policy=policy)


class Packed(NamedTuple):
    """Rows of frames with those that count in front, so that the others need not be computed."""

    x: jax.Array  # [n, t, d]
    frames: jax.Array  # int32 [n, t], which frame of its row stands here
    counts: jax.Array  # int32 [n], how many of a row count
    rows: jax.Array  # int32 [n], the number of each row among all


def pack(x_ntd: jax.Array, mask_nt: jax.Array) -> Packed:
    """Rows with their frames of mask_nt in front, in order; those with most of them come first."""
    n, t, d = x_ntd.shape
    count_n = mask_nt.sum(axis=1, dtype=jnp.int32)
    rows_n = jnp.argsort(-count_n).astype(jnp.int32)
    frames_nt = jnp.argsort(~mask_nt[rows_n], axis=1).astype(jnp.int32)
    place_i = (rows_n[:, None] * t + frames_nt).ravel()
    x_ntd = _permuted(x_ntd.reshape(n * t, d), place_i, _inverse(place_i)).reshape(n, t, d)
    return Packed(x_ntd, frames_nt, count_n[rows_n], rows_n)


def map_packed(
    function: Callable[[Packed], jax.Array], packed: Packed, at_once: int, kept: str
) -> jax.Array:
    """`function` [n, d] of some packed rows after the others, in the order before they were packed;
    computed again for the gradient.

    Where half of the frames, or none, hold all that count, no others are computed: incomplete
    samples take as much time as is in them. A row without any is 0.

    Args:
        function: takes c rows with any number of frames, and gives [c, d].
        packed: n rows.
        at_once: c.
        kept: name of the arrays that the gradient does not compute again.
    """
    n, t, _ = packed.x.shape
    chunks = -(-n // at_once)
    half = -(-t // 2)

    # In a loop nothing outside could be shared with what is computed again. Not around the choice:
    # its branches would hand all that they compute to one another, as zeros.
    whole = recomputed(function, kept, prevent_cse=False)

    def short(rows: Packed) -> jax.Array:
        return whole(rows._replace(x=rows.x[:, :half], frames=rows.frames[:, :half]))

    def none(rows: Packed) -> jax.Array:
        found = jax.eval_shape(function, rows)
        return jnp.zeros(found.shape, found.dtype)

    def some(rows: Packed) -> jax.Array:
        most = rows.counts[0]
        needed = (most > 0).astype(jnp.int32) + (most > half)
        return jax.lax.switch(needed, [none, short, whole], rows)

    def apart(x: jax.Array) -> jax.Array:
        fill = [(0, chunks * at_once - n)] + [(0, 0)] * (x.ndim - 1)
        return jnp.pad(x, fill).reshape(chunks, at_once, *x.shape[1:])

    found = jax.lax.map(some, jax.tree.map(apart, packed))
    found_nd = found.reshape(-1, found.shape[-1])[:n]
    return _permuted(found_nd, _inverse(packed.rows), packed.rows)


@jax.custom_vjp
def _permuted(x_nd: jax.Array, order_n: jax.Array, back_n: jax.Array) -> jax.Array:
    """x_nd[order_n], whose gradient is taken by the inverse order: a scatter takes far longer."""
    del back_n
    return x_nd[order_n]


_permuted.defvjp(
    lambda x_nd, order_n, back_n: (x_nd[order_n], back_n),
    lambda back_n, gradient_nd: (gradient_nd[back_n], None, None),
)


def _inverse(order_n: jax.Array) -> jax.Array:
    """Where each number stands in a permutation of 0, 1, .."""
    numbers_n = jnp.arange(len(order_n), dtype=order_n.dtype)
    return jnp.zeros_like(order_n).at[order_n].set(numbers_n, unique_indices=True)
