"""Which frames are observed: random masks for training, keyed masks for testing.

Uniform numbers become masks by one set of rules, `Missing`. In training the numbers come from a
JAX key; for validation and test they are a function of (mask seed, sample id, modality), whatever
the batch, the device or the machine. Masks of different modalities, views, samples and steps are
independent. Padding never counts as observed.

Example:
    >>> import jax, jax.numpy as jnp
    >>> valid = {"audio": jnp.ones((1, 9), bool), "language": jnp.ones((1, 5), bool)}
    >>> half = fsrf_jax.missing.Missing(max_rate=0.5, fixed_rate=True)
    >>> view = fsrf_jax.missing.random_view(jax.random.key(0), valid, half)
    >>> {m: mask.shape for m, mask in view.items()}
    {'audio': (1, 9), 'language': (1, 5)}
"""

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from flax.core import FrozenDict

from fsrf_jax import subsets
from fsrf_jax.options import expect, number
from fsrf_jax.types import ByModality


@dataclass(frozen=True)
class Missing:
    """Modality random missing (MRM): a random subset of modalities, then random frames."""

    max_rate: float = number(1.0, 0, 1)
    """Each modality's frame-missing rate is drawn from U(0, max_rate)."""
    fixed_rate: bool = False
    """Each modality's frame-missing rate is max_rate itself."""
    shared_rate: bool = False
    """One rate for all modalities of a sample."""
    pattern: Literal["frames", "block"] = "frames"
    """Drop frames one by one, or one contiguous block."""
    subset_weights: dict[str, float] = field(default_factory=dict)
    """Odds of each available subset, as {language+audio: 2.0, ...}, where `all` stands for all
    modalities; a sample that has none of these, and all samples if empty: all alike."""
    modality_rate: float | None = None
    """Share of missing modalities, in place of subset_weights: a sample keeps one, drawn alike, and
    loses each other one with the probability min(1, rate M / (M - 1)); 0: no modality is lost."""
    whole_share: float = number(0.0, 0, 1)
    """Share of samples, modality by modality, whose frame-missing rate is 0 instead."""

    def __post_init__(self) -> None:
        """Freeze the mapping, so that the whole is hashable."""
        object.__setattr__(self, "subset_weights", FrozenDict(self.subset_weights))

    def check(self) -> None:
        """Refuse options that do not fit each other; see `fsrf_jax.options.check`."""
        rate = self.modality_rate
        usable = rate is None or 0 <= rate <= 1
        expect(usable, "modality_rate", rate, "null, or a number from 0 to 1")
        one = rate is None or not self.subset_weights
        expect(one, "modality_rate", rate, "null, because missing.subset_weights draw subsets")

    def check_subsets(self, modalities: tuple[str, ...]) -> None:
        """Refuse subsets of other modalities than these, and odds that cannot be drawn from."""
        key, odds_by_subset = "subset_weights", self.subset_weights
        for subset, odds in odds_by_subset.items():
            unknown = set(subsets.subset_names(subset, modalities)) - set(modalities)
            names = f"names of data.modalities ({', '.join(modalities)}) joined by +"
            expect(not unknown, key, subset, names)
            usable = math.isfinite(odds) and odds >= 0
            expect(usable, f"{key}.{subset}", odds, "a number of at least 0")
        different = {frozenset(subsets.subset_names(s, modalities)) for s in odds_by_subset}
        once = len(different) == len(odds_by_subset)
        usable = not odds_by_subset or (once and sum(odds_by_subset.values()) > 0)
        expect(usable, key, dict(odds_by_subset), "each subset once, and odds above 0")


@struct.dataclass
class Uniforms:
    """Numbers in [0, 1) that decide the masks of one view.

    Attributes:
        subset: [b], decides which modalities are available.
        rate: [b] per modality, decides the frame-missing rate.
        frames: [b, t] per modality; the frame with the smallest number is dropped first.
    """

    subset: jax.Array
    rate: ByModality
    frames: ByModality


def draw_uniforms(key: jax.Array, valid: ByModality) -> Uniforms:
    """Independent uniforms for masks shaped like `valid`, bool [b, t] per modality."""
    names = sorted(valid)  # the order of a dictionary does not survive jit
    lengths = [valid[m].shape[1] for m in names]
    # One draw for all: each costs more to compile than all that is done with its numbers.
    u = jax.random.uniform(key, (valid[names[0]].shape[0], 1 + len(names) + sum(lengths)))
    ends = list(itertools.accumulate(lengths, initial=1 + len(names)))
    return Uniforms(
        subset=u[:, 0],
        rate={m: u[:, 1 + i] for i, m in enumerate(names)},
        frames={m: u[:, ends[i] : ends[i + 1]] for i, m in enumerate(names)},
    )


def random_view(key: jax.Array, valid: ByModality, missing: Missing) -> ByModality:
    """Observed frames, bool [b, t] per modality, of one random view; pure, for compiled steps."""
    return observe(draw_uniforms(key, valid), valid, missing)


def observe(uniforms: Uniforms, valid: ByModality, missing: Missing) -> ByModality:
    """Turn uniforms into the observed frames of one view.

    A sample that has any valid frame keeps at least one; one that has none observes nothing.

    Args:
        uniforms: see `Uniforms`.
        valid: bool [b, t] per modality.
        missing: how masks are drawn.

    Returns:
        bool [b, t] per modality, a subset of `valid`.
    """
    chex.assert_rank(list(valid.values()), 2)
    names = sorted(valid)  # the order of a dictionary does not survive jit
    has_bm = jnp.stack([valid[m].any(axis=1) for m in names], axis=1)
    chosen_bm = _choose_subset(uniforms.subset, has_bm, names, missing)
    candidates: ByModality = {}
    observed: ByModality = {}
    for i, m in enumerate(names):
        rate_b = _frame_rate(uniforms.rate[names[0] if missing.shared_rate else m], missing)
        if missing.pattern == "block":
            dropped_bt = _block(uniforms.frames[m], rate_b, valid[m])
        else:
            dropped_bt = uniforms.frames[m] < rate_b[:, None]
        candidates[m] = valid[m] & chosen_bm[:, i][:, None]
        observed[m] = candidates[m] & ~dropped_bt
    return _keep_one(observed, candidates, uniforms.frames)


def _frame_rate(u_b: jax.Array, missing: Missing) -> jax.Array:
    """The frame-missing rate [b] of a modality, from one number in [0, 1) a sample."""
    share = missing.whole_share
    # What lies above the share is uniform again once it is stretched; a share of 1 leaves nothing.
    rest_b = (u_b - share) / jnp.maximum(1 - share, 1e-6)
    rate_b = missing.max_rate * (jnp.ones_like(u_b) if missing.fixed_rate else rest_b)
    return jnp.where(u_b < share, 0.0, rate_b)


def _choose_subset(
    u_b: jax.Array, has_bm: jax.Array, modalities: Sequence[str], missing: Missing
) -> jax.Array:
    """Draw [b, m] availability: a non-empty subset of what each sample has."""
    subsets_sm = subsets.all_subsets(len(modalities))
    if missing.modality_rate is None:
        named = [
            (subsets.subset_names(subset, tuple(modalities)), weight)
            for subset, weight in missing.subset_weights.items()
        ]
        weights_bs = jnp.asarray(subsets.subset_odds(modalities, named))[None]
    else:
        drop = subsets.modality_drop(missing.modality_rate, len(modalities))
        weights_bs = jnp.asarray(subsets.keep_one_odds(subsets_sm, drop))[has_bm.sum(axis=1)]
    possible_bs = ~(subsets_sm[None] & ~has_bm[:, None, :]).any(axis=2)
    weights_bs = jnp.where(possible_bs, weights_bs, 0.0)
    # A sample that has none of the weighted subsets draws from all that it has.
    weights_bs = jnp.where(weights_bs.sum(axis=1, keepdims=True) > 0, weights_bs, possible_bs)
    cumulative_bs = jnp.cumsum(weights_bs, axis=1)
    below_bs = cumulative_bs <= u_b[:, None] * cumulative_bs[:, -1:]
    # Rounding may leave no subset above the number: stop at the last possible one.
    last_b = (possible_bs & (weights_bs > 0)) * jnp.arange(len(subsets_sm))[None]
    index_b = jnp.minimum(below_bs.sum(axis=1), last_b.max(axis=1))
    return jnp.asarray(subsets_sm)[index_b] & has_bm


def _block(u_bt: jax.Array, rate_b: jax.Array, valid_bt: jax.Array) -> jax.Array:
    """A run of round(rate * length) neighbouring valid frames; the first number says where."""
    rank_bt = jnp.cumsum(valid_bt, axis=1) - 1
    length_b = valid_bt.sum(axis=1)
    size_b = jnp.round(rate_b * length_b).astype(jnp.int32)
    start_b = jnp.floor(u_bt[:, 0] * (length_b - size_b + 1)).astype(jnp.int32)
    return (rank_bt >= start_b[:, None]) & (rank_bt < (start_b + size_b)[:, None])


def _keep_one(observed: ByModality, candidates: ByModality, u: ByModality) -> ByModality:
    """Where a sample lost every frame, give back the candidate frame that was last to go."""
    empty_b = ~jnp.stack([o.any(axis=1) for o in observed.values()]).any(axis=0)
    best_mb = jnp.stack([jnp.where(c, u[m], -1.0).max(axis=1) for m, c in candidates.items()])
    best_b = best_mb.max(axis=0)
    kept = {}
    for m, candidate_bt in candidates.items():
        last_bt = candidate_bt & (u[m] == best_b[:, None])
        first_of_ties = last_bt & (jnp.cumsum(last_bt, axis=1) == 1)
        kept[m] = observed[m] | (first_of_ties & empty_b[:, None])
    return kept


def completeness(valid: ByModality, observed: ByModality) -> jax.Array:
    """How much of each sample is observed, float32 [b] in [0, 1].

    The mean, over the modalities that a sample has, of the observed share of its valid frames:
    a modality counts alike however many frames it has. 0 for a sample that has none.

    Args:
        valid: bool [b, t] per modality.
        observed: bool [b, t] per modality; what it says of frames that are not valid is ignored.
    """
    names = sorted(valid)  # the order of a dictionary does not survive jit
    length_bm = jnp.stack([valid[m].sum(axis=1) for m in names], axis=1)
    seen_bm = jnp.stack([(valid[m] & observed[m]).sum(axis=1) for m in names], axis=1)
    share_bm = seen_bm / jnp.maximum(length_bm, 1)
    return share_bm.sum(axis=1) / jnp.maximum((length_bm > 0).sum(axis=1), 1)


def keyed_uniforms(mask_seed: int, ids: Sequence[str], valid: Mapping[str, np.ndarray]) -> Uniforms:
    """Uniforms that depend on (mask seed, sample id, modality) and on nothing else.

    Counter-based (Philox keyed by a hash of the three), so that any program on any machine
    draws the same numbers for a sample, whatever the order, the batch or the padding.

    Args:
        mask_seed: any integer.
        ids: the samples' names, n of them.
        valid: bool [n, t] per modality, only for its names and lengths.

    Returns:
        float32 uniforms as NumPy arrays.
    """

    def stream(*name: str | int) -> np.random.Philox:
        text = "\0".join(map(str, name))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.random.Philox(key=np.frombuffer(digest, "<u8").astype(np.uint64))

    def draw(bits: np.random.Philox, size: int) -> np.ndarray:
        return ((bits.random_raw(size) >> np.uint64(40)) / 2**24).astype(np.float32)

    rate: dict[str, np.ndarray] = {}
    frames: dict[str, np.ndarray] = {}
    for m, valid_nt in valid.items():
        t = valid_nt.shape[1]
        drawn = np.stack([draw(stream(mask_seed, i, "modality", m), t + 1) for i in ids])
        rate[m], frames[m] = drawn[:, 0], drawn[:, 1:]
    subset = np.concatenate([draw(stream(mask_seed, i, "subset"), 1) for i in ids])
    return Uniforms(subset=subset, rate=rate, frames=frames)  # type: ignore[arg-type]


def observe_at(
    uniforms: Uniforms, valid: Mapping[str, np.ndarray], subset: Sequence[str], rate: float
) -> dict[str, np.ndarray]:
    """Test masks: the given modalities only, each frame dropped with the given rate.

    With the same uniforms the masks are nested: a frame missing at one rate is missing at every
    higher one. Rate 0 keeps every valid frame, rate 1 keeps none.

    Args:
        uniforms: from `keyed_uniforms`.
        valid: bool [n, t] per modality.
        subset: names of the available modalities.
        rate: frame-missing rate in [0, 1].

    Returns:
        bool [n, t] per modality.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"A frame-missing rate lies in [0, 1], found {rate}.")
    return {
        m: np.asarray(v) & (np.asarray(uniforms.frames[m]) >= rate) & (m in subset)
        for m, v in valid.items()
    }
