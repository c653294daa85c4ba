"""Test masks of the conditions, and a digest by which anybody can tell that they are the same.

Everything here is NumPy on the numbers of `keyed_uniforms`, so that every machine makes the same
masks, byte for byte. Axis letters: n sample, t frame, m modality, s subset.
"""

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np

from fsrf_jax.data.dataset import Masks, Split
from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.protocols.registry import Condition, Odds
from fsrf_jax.missing import Uniforms, keyed_uniforms, observe_at
from fsrf_jax.subsets import all_subsets, modality_drop, subset_odds

Observer = Callable[[Condition, int], Masks]
"""Condition and mask seed to masks."""


def make_observer(split: Split, mask_seeds: Sequence[int]) -> Observer:
    """Condition and mask seed to the masks of a split, keyed by sample id.

    A condition masks on top of what the data lack: nothing is observed that is not present.
    """
    ids = [str(i) for i in split.ids]
    uniforms = {seed: keyed_uniforms(seed, ids, split.valid) for seed in mask_seeds}

    def observer(condition: Condition, seed: int) -> Masks:
        return observe_condition(condition, uniforms[seed], split.present)

    return observer


def observe_condition(condition: Condition, uniforms: Uniforms, valid: Masks) -> Masks:
    """The masks of a condition, a subset of `valid`.

    Args:
        condition: what is observed.
        uniforms: from `keyed_uniforms`.
        valid: bool [n, t] per modality.
    """
    if condition.law == "modalities":
        return keep_modalities(uniforms, valid, condition.rate)
    if condition.law == "subset":
        return draw_subset(uniforms, valid, condition.odds)
    return observe_at(uniforms, valid, condition.subset, condition.rate)


def keep_modalities(uniforms: Uniforms, valid: Masks, rate: float) -> Masks:
    """Test masks where whole modalities are missing and each sample keeps at least one.

    The one it keeps is drawn alike from those it has; each other one is missing with the
    probability `modality_drop`. With the same uniforms the masks are nested: a modality missing at
    one rate is missing at every higher one.

    Args:
        uniforms: from `keyed_uniforms`; `subset` draws what is kept, `rate` what is missing.
        valid: bool [n, t] per modality.
        rate: share of the modalities that is missing, in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"A share of missing modalities lies in [0, 1], found {rate}.")
    names, has_nm = _has(valid)
    kept_n = np.floor(np.asarray(uniforms.subset, np.float64) * has_nm.sum(axis=1))
    is_kept_nm = np.cumsum(has_nm, axis=1) - 1 == kept_n[:, None]
    drop = modality_drop(rate, len(names))
    stays_nm = np.stack([np.asarray(uniforms.rate[m]) >= drop for m in names], axis=1)
    return _only(valid, names, is_kept_nm | stays_nm)


def draw_subset(uniforms: Uniforms, valid: Masks, odds: Odds) -> Masks:
    """Test masks where each sample has one random subset of its modalities, whole.

    As in training: among the subsets of what a sample has, by their odds; a sample that has none
    of the subsets with odds draws from all of them alike.

    Args:
        uniforms: from `keyed_uniforms`; `subset` draws.
        valid: bool [n, t] per modality.
        odds: of the subsets; empty means all alike.
    """
    names, has_nm = _has(valid)
    subsets_sm = all_subsets(len(names))
    possible_ns = ~(subsets_sm[None] & ~has_nm[:, None, :]).any(axis=2)
    weights_ns = np.where(possible_ns, subset_odds(names, odds)[None].astype(np.float64), 0.0)
    weights_ns = np.where(weights_ns.any(axis=1, keepdims=True), weights_ns, possible_ns)
    ends_ns = np.cumsum(weights_ns, axis=1)
    number_n = np.asarray(uniforms.subset, np.float64) * ends_ns[:, -1]
    index_n = (ends_ns <= number_n[:, None]).sum(axis=1)
    # Rounding may leave no subset above the number: stop at the last one that has odds.
    last_n = ((weights_ns > 0) * np.arange(len(subsets_sm))).max(axis=1)
    return _only(valid, names, subsets_sm[np.minimum(index_n, last_n)])


def masks_digest(
    conditions: Sequence[Condition],
    mask_seeds: Sequence[int],
    ids: Sequence[str],
    valid: Masks,
    observe: Observer,
) -> str:
    """SHA-256 of all masks of an evaluation, as hexadecimal text.

    It is over, in this order: the JSON text of {"conditions": names, "ids": sorted,
    "mask_seeds": .., "modalities": sorted}, separators without spaces, non-ASCII escaped; for each
    modality the number of valid frames of each sample, as little-endian int64; and for each
    condition, mask seed and modality one bit for each valid frame, 1 for observed, sample by
    sample, the first in the highest bit, filled up with zeros to a byte. Samples follow their
    sorted ids. So it does not depend on the order of the samples, the padding, or the machine.

    Args:
        conditions: of the protocol.
        mask_seeds: seeds of the masks.
        ids: of the samples, n of them, all different.
        valid: bool [n, t] per modality.
        observe: condition and mask seed to masks.
    """
    names = sorted(valid)
    order = np.argsort(np.asarray(ids, str), kind="stable")
    header = {
        "conditions": [condition.name for condition in conditions],
        "ids": [str(ids[index]) for index in order],
        "mask_seeds": [int(seed) for seed in mask_seeds],
        "modalities": names,
    }
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    sorted_valid = {m: np.asarray(valid[m])[order] for m in names}
    for m in names:
        digest.update(sorted_valid[m].sum(axis=1).astype("<i8").tobytes())
    for condition in conditions:
        for seed in mask_seeds:
            masks = observe(condition, seed)
            for m in names:
                bits = np.asarray(masks[m])[order][sorted_valid[m]]
                digest.update(np.packbits(bits).tobytes())
    return digest.hexdigest()


def _has(valid: Masks) -> tuple[list[str], np.ndarray]:
    """Names in sorted order, and which of them each sample has, [n, m]."""
    names = sorted(valid)
    return names, np.stack([np.asarray(valid[m]).any(axis=1) for m in names], axis=1)


def _only(valid: Masks, names: Sequence[str], present_nm: np.ndarray) -> Masks:
    """Whole modalities where they are present."""
    present = {m: present_nm[:, i : i + 1] for i, m in enumerate(names)}
    return {m: np.asarray(v) & present[m] for m, v in valid.items()}


def missing_shares(masks: Masks, valid: Masks) -> Metrics:
    """What is really missing, whatever a condition is called.

    Returns:
        `frames`: the share of the valid frames of all modalities that are not observed;
        `modalities`: the share of the modalities that samples have of which no frame is. None where
        there is nothing to miss.
    """
    frames = sum(int(v.sum()) for v in valid.values())
    hidden = sum(int((v & ~masks[m]).sum()) for m, v in valid.items())
    has, seen = (np.stack([x[m].any(axis=1) for m in valid]) for x in (valid, masks))
    modalities, lost = int(has.sum()), int((has & ~seen).sum())
    return {
        "frames": hidden / frames if frames else None,
        "modalities": lost / modalities if modalities else None,
    }
