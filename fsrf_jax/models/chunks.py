"""Samples a few at a time, so that what an encoder makes of them stays in a CPU's cache.

An encoder's arrays between input and code are hundreds of times as large as the code. Of a whole
batch they go to memory and come back, and on a CPU that is most of the time of a training step
(benchmarks/notes.md). Rows do not see each other before they are codes, so some can be done before
the others begin; the gradient computes them again rather than read them back.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

BUDGET = 4 * 2**20
"""Bytes that the rows of a chunk may need. Between a half and the double of it, it hardly matters
on a core with 2 MB of its own."""


def one_cache(*sizes: Any) -> bool:
    """Whether the program runs on one CPU, and so gains from parts that fit a cache.

    An accelerator has more to do at a time, the more it is given. Over several devices the rows are
    spread, and rows of one part would lie on one of them. In an exported program sizes may be
    symbols, and the device is not known.
    """
    known = all(isinstance(size, int) for size in sizes)
    return known and jax.default_backend() == "cpu" and jax.device_count() == 1


def samples_at_once(n: int, bytes_each: int) -> int:
    """How many of n samples are encoded together: all but where there is `one_cache`."""
    if not one_cache(n, bytes_each):
        return n
    chunks = max(1, min(n, round(n * bytes_each / BUDGET)))
    return -(-n // chunks)


def map_samples(
    function: Callable[[Any], jax.Array], samples: Any, n: int, at_once: int, kept: str
) -> jax.Array:
    """`function(samples)`, of chunks of the samples one after the other; computed again for the
    gradient.

    Args:
        function: takes arrays [k, c, ..] of c samples in k views, and gives one likewise.
        samples: arrays [k, n, ..]; k need not be the same.
        n: number of samples.
        at_once: c.
        kept: name of the arrays that the gradient does not compute again.
    """
    chunks = -(-n // at_once)
    policy = jax.checkpoint_policies.save_only_these_names(kept)
    # In a loop nothing outside could be shared with what is computed again; without one the
    # compiler would find it there, and keep it.
    again = jax.checkpoint(function, prevent_cse=chunks == 1, policy=policy)
    if chunks == 1:
        return again(samples)

    def apart(x: jax.Array) -> jax.Array:
        """[k, n, ..] to [chunks, k, c, ..]; what fills up the last one is False or 0."""
        fill = [(0, 0), (0, chunks * at_once - n)] + [(0, 0)] * (x.ndim - 2)
        x = jnp.pad(x, fill).reshape(len(x), chunks, at_once, *x.shape[2:])
        return x.swapaxes(0, 1)

    found = jax.lax.map(again, jax.tree.map(apart, samples)).swapaxes(0, 1)
    return found.reshape(len(found), -1, *found.shape[3:])[:, :n]
