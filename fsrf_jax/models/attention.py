"""Softmax attention whose gradient computes the weights again, and which holds few of them.

The weights [t, s] are by far the largest arrays of a network here: 500 frames have a quarter of a
million of them for each head. Kept are what comes out and the logarithm of each row's sum, as in
FlashAttention (Dao et al., 2022); on a CPU a head that would not fit the cache with the others is
done by itself.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from fsrf_jax.models import chunks

Tree = TypeVar("Tree")

KEPT = "attended"
"""What `jax.checkpoint` may keep of a network that it computes again: the result of attention."""


class Heads(NamedTuple):
    """n heads of all samples, each of width c."""

    query: jax.Array  # [n, t, c], scaled
    key: jax.Array  # [n, s, c]
    value: jax.Array  # [n, s, c]
    mask: jax.Array  # bool [n, s]


def as_laid_out(x: Tree) -> Tree:
    """Arrays that lie in memory as they are indexed.

    XLA folds a transpose into the product before or behind it; on a CPU the product then leaves the
    fast path, and attention takes up to twice as long (benchmarks/notes.md).
    """
    return jax.lax.optimization_barrier(x)


@jax.custom_vjp
def attend(
    q_bhtc: jax.Array, k_bhsc: jax.Array, v_bhsc: jax.Array, mask_bs: jax.Array
) -> jax.Array:
    """`softmax(q k^T / sqrt(c)) v`, [b, h, t, c], over the positions s where mask_bs is True.

    0 without gradient where there is none. The gradient is the usual one, written out so that every
    product of it takes the large [t, s] arrays as they lie in memory. Reverse mode only.
    """
    return _attend(q_bhtc, k_bhsc, v_bhsc, mask_bs)[0]


def _attend(
    q_bhtc: jax.Array, k_bhsc: jax.Array, v_bhsc: jax.Array, mask_bs: jax.Array
) -> tuple[jax.Array, Any]:
    heads = _heads(q_bhtc, k_bhsc, v_bhsc, mask_bs)
    mixed_ntc, sums_nt = (checkpoint_name(x, KEPT) for x in _by_head(_mix, heads))
    return mixed_ntc.reshape(q_bhtc.shape), (heads, mixed_ntc, sums_nt)


def _attend_gradient(
    seen: tuple[Heads, jax.Array, jax.Array], gradient_bhtc: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    heads, mixed_ntc, sums_nt = seen
    b, h, t, c = gradient_bhtc.shape
    gradient_ntc = gradient_bhtc.reshape(-1, t, c)
    # What the weights of a row expect of their gradient, without another look at either.
    wide = jnp.promote_types(mixed_ntc.dtype, jnp.float32)
    expected_nt = jnp.sum(gradient_ntc.astype(wide) * mixed_ntc, axis=-1)
    found = _by_head(_mix_gradient, heads, sums_nt, gradient_ntc, expected_nt)
    of_q_ntc, of_k_ncs, of_v_ncs = as_laid_out(found)
    of_k_nsc, of_v_nsc = of_k_ncs.swapaxes(1, 2), of_v_ncs.swapaxes(1, 2)
    of_q, of_k, of_v = (x.reshape(b, h, -1, c) for x in (of_q_ntc, of_k_nsc, of_v_nsc))
    return of_q * c**-0.5, of_k, of_v, None


attend.defvjp(_attend, _attend_gradient)


def _heads(q_bhtc: jax.Array, k_bhsc: jax.Array, v_bhsc: jax.Array, mask_bs: jax.Array) -> Heads:
    h, c = q_bhtc.shape[1], q_bhtc.shape[3]
    q, k, v = (x.reshape(-1, x.shape[2], c) for x in (q_bhtc * c**-0.5, k_bhsc, v_bhsc))
    return Heads(q, k, v, jnp.repeat(mask_bs, h, axis=0))


def _by_head(function: Any, heads: Heads, *more: jax.Array) -> Any:
    """`function` on all heads, or on one after the other where their weights need the memory."""
    (n, t, _), s = heads.query.shape, heads.mask.shape[1]
    if not chunks.one_cache(n, t, s) or 12 * n * t * s <= 2 * chunks.BUDGET:
        return function(heads, *more)

    def one(given: Any) -> Any:
        return jax.tree.map(lambda x: x[0], function(*jax.tree.map(lambda x: x[None], given)))

    return jax.lax.map(one, (heads, *more))


def _mix(heads: Heads) -> tuple[jax.Array, jax.Array]:
    """What the heads give [n, t, c], and the logarithm of the sum of each row's weights [n, t]."""
    logits_nts, v = _logits(heads), heads.value
    largest_nt1 = jnp.max(logits_nts, axis=-1, keepdims=True)
    largest_nt1 = jnp.where(jnp.isfinite(largest_nt1), largest_nt1, 0.0)
    powers_nts = jnp.exp(logits_nts - largest_nt1)
    if _by_one_more_column(heads):
        v = _beside(v, jnp.ones(heads.mask.shape))
        both_ntc = _product("nts,nsc->ntc", powers_nts.astype(v.dtype), v)
        mixed_ntc, sum_nt1 = both_ntc[..., :-1], both_ntc[..., -1:]
    else:
        mixed_ntc = _product("nts,nsc->ntc", powers_nts.astype(v.dtype), v)
        sum_nt1 = jnp.sum(powers_nts, axis=-1, keepdims=True)
    sum_nt1 = jnp.where(sum_nt1 > 0, sum_nt1, 1.0)
    return (mixed_ntc / sum_nt1).astype(v.dtype), (largest_nt1 + jnp.log(sum_nt1))[..., 0]


def _logits(heads: Heads) -> jax.Array:
    """`q k^T`, [n, t, s], and -inf where the mask is False."""
    q, k, _, mask_ns = heads
    if not _by_one_more_column(heads):
        return jnp.where(mask_ns[:, None], _product("ntc,nsc->nts", q, k), -jnp.inf)
    q_ntc = _beside(q, jnp.ones(q.shape[:2]))
    return _product("ntc,nsc->nts", q_ntc, _beside(k, jnp.where(mask_ns, 0.0, -jnp.inf)))


def _by_one_more_column(heads: Heads) -> bool:
    """Whether a product masks and sums on the way, which takes a pass over [t, s] less for each.

    Accelerators do both in one pass with the exponential, and want widths that are multiples of 8.
    """
    return chunks.one_cache(*heads.query.shape)


def _beside(x_nsc: jax.Array, column_ns: jax.Array) -> jax.Array:
    return jnp.concatenate([x_nsc, column_ns[..., None].astype(x_nsc.dtype)], axis=-1)


def _mix_gradient(
    heads: Heads, sums_nt: jax.Array, gradient_ntc: jax.Array, expected_nt: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The gradient by the query [n, t, c], and by key and value, [n, c, s]."""
    q, k, v, _ = heads
    weights_nts = jnp.exp(_logits(heads) - sums_nt[..., None])
    of_weights_nts = _product("ntc,nsc->nts", gradient_ntc, v)
    of_logits_nts = weights_nts * (of_weights_nts - expected_nt[..., None])
    # Both are read twice: fused into the products they would be computed twice.
    weights_nts, of_logits_nts = as_laid_out(
        (weights_nts.astype(q.dtype), of_logits_nts.astype(q.dtype))
    )
    of_q_ntc = _product("nts,nsc->ntc", of_logits_nts, k)
    of_k_ncs = _product("ntc,nts->ncs", q, of_logits_nts)
    of_v_ncs = _product("ntc,nts->ncs", gradient_ntc, weights_nts)
    return of_q_ntc.astype(q.dtype), of_k_ncs.astype(q.dtype), of_v_ncs.astype(q.dtype)


def _product(axes: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """A product whose sums are float32 at least, whatever is multiplied."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return jnp.einsum(axes, x, y, preferred_element_type=wide)
