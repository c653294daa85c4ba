"""Floors: what needs no network, fitted to the training split and evaluated like any predictor.

- `length`: ridge on the number of valid frames of each modality and its logarithm. It sees no
  feature, and no mask: what the lengths alone say.
- `ridge`: one ridge on the mean observed frame of every modality, fitted to the complete samples;
  a modality without an observed frame has the mean of training (imputation).
- `ridge per condition`: the same, fitted anew under each condition, to training samples that are
  masked as it masks: it knows the condition.

The best constant is a floor too: `MetricFamily.floor`. Axis letters: n sample, t frame, f feature,
k token.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fsrf_jax.data.dataset import Masks, Oracle, Split
from fsrf_jax.data.lazy import ROWS
from fsrf_jax.evaluation import ridge
from fsrf_jax.evaluation.evaluate import Evaluation, drawn, looked_up, score
from fsrf_jax.evaluation.metrics.families import MetricFamily
from fsrf_jax.evaluation.protocols.masks import Observer, make_observer
from fsrf_jax.evaluation.protocols.registry import Condition, Protocol
from fsrf_jax.evaluation.ridge import Ridge

LENGTH, ONE, PER_CONDITION = "length", "ridge", "ridge per condition"
FLOORS = (LENGTH, ONE, PER_CONDITION)
"""Names, as in the results."""

MOST_TOKENS = 1000
TOGETHER = 2**29  # bytes of sums, of as many masks as samples are looked through for at once


@dataclass(frozen=True)
class Tokens:
    """The most frequent token ids of the training split, at most `MOST_TOKENS`.

    Attributes:
        ids_k: in rising order.
        share_k: of the frames that are present in training.
        scale_k: standard deviation of a frame's indicator of each; 1 where it does not vary.
    """

    ids_k: np.ndarray
    share_k: np.ndarray
    scale_k: np.ndarray


@dataclass(frozen=True)
class Floors:
    """All floors, fitted.

    Attributes:
        tokens: of the modalities that are token ids.
        length: on `lengths`.
        one: on `mean_frames`.
        per_condition: the same, by the condition's name.
    """

    tokens: Mapping[str, Tokens]
    length: Ridge
    one: Ridge
    per_condition: Mapping[str, Ridge]


def fit(
    train: Split, valid: Split, conditions: Sequence[Condition], seed: int, form: str, outputs: int
) -> Floors:
    """Fit all floors.

    Args:
        train: normalised; what is fitted to.
        valid: normalised; on which each fit's strength is chosen.
        conditions: of the protocol.
        seed: of the masks that both splits are masked with; no test should have it.
        form: of the labels.
        outputs: 1, or the number of classes or tasks.
    """
    tokens = {m: count_tokens(train, m) for m in train.features if _are_tokens(train, m)}
    under = []  # columns of both splits, complete and under each condition
    for split in (train, valid):
        observe = make_observer(split, (seed,))
        masks = [partial(observe, condition, seed) for condition in conditions]
        under.append(mean_frames_under(split, [partial(_present, split), *masks], tokens))
    one, *fitted = (
        ridge.fit((x_nf, train.labels), (y_nf, valid.labels), form, outputs)
        for x_nf, y_nf in zip(*under, strict=True)
    )
    fit_to, chosen_on = ((lengths(split), split.labels) for split in (train, valid))
    return Floors(
        tokens=tokens,
        length=ridge.fit(fit_to, chosen_on, form, outputs, standard=True),
        one=one,
        per_condition={c.name: found for c, found in zip(conditions, fitted, strict=True)},
    )


def _present(split: Split) -> Masks:
    return split.present


def evaluate_floors(
    protocol: Protocol,
    train: Split,
    valid: Split,
    samples: Split,
    mask_seeds: Sequence[int],
    observe: Observer,
    family: MetricFamily,
    outputs: int,
    classes: tuple[str, ...] = (),
    oracle: Oracle | None = None,
) -> dict[str, Evaluation]:
    """Fit the floors, and measure them under every condition and mask seed.

    Args:
        protocol: the conditions.
        train: normalised.
        valid: normalised.
        samples: normalised; what is evaluated.
        mask_seeds: of the test masks.
        observe: condition and mask seed to test masks of the samples.
        family: the metrics, which have the form of the labels.
        outputs: 1, or the number of classes or tasks.
        classes: names of the classes; may be empty.
        oracle: observed masks of the samples to the best possible predictions.

    Returns:
        By name, in the order of `FLOORS`.
    """
    floors = fit(train, valid, protocol.conditions, unused(mask_seeds), family.form, outputs)
    drawn_for = drawn(protocol.conditions, mask_seeds)
    found: dict[str, Evaluation] = {}
    for name, predictions in _predict(floors, drawn_for, samples, observe).items():
        asked = None if found else oracle  # which may be slow, and says the same of every floor
        more = (mask_seeds, observe, asked, family, classes)
        found[name] = score(protocol, samples, looked_up(drawn_for, predictions), *more)
    return {name: _with_bayes_of(found[LENGTH], one) for name, one in found.items()}


def unused(mask_seeds: Sequence[int]) -> int:
    """A mask seed to fit with: -1, or one below every seed of the test."""
    return min(0, *mask_seeds) - 1


def mean_frames(split: Split, seen: Masks, tokens: Mapping[str, Tokens]) -> np.ndarray:
    """The mean observed frame of all modalities, one behind the other: float64 [n, f].

    Token ids count as the share of each known token, centred and scaled as the normaliser would
    scale indicators of them.

    Args:
        split: normalised; modalities in any order.
        seen: observed frames, bool [n, t] per modality.
        tokens: of every modality that is token ids.

    Returns:
        NaN where a sample has no observed frame of a modality.
    """
    return _means([_sums(split, seen, tokens)])


def mean_frames_under(
    split: Split, masks: Sequence[Callable[[], Masks]], tokens: Mapping[str, Tokens]
) -> Iterator[np.ndarray]:
    """`mean_frames` under one mask after the other.

    Features that stay in a file are read once for as many masks as `TOGETHER` allows.
    """
    widths = [
        len(tokens[m].ids_k) if m in tokens else x.shape[2] for m, x in split.features.items()
    ]
    at_once = max(1, TOGETHER // (4 * len(split) * sum(widths)))
    for start in range(0, len(masks), at_once):
        seen = [mask() for mask in masks[start : start + at_once]]
        found: list[list[_Sums]] = [[] for _ in seen]
        for rows, part in split.parts(ROWS):
            for sums, mask in zip(found, seen, strict=True):
                sums.append(_sums(part, {m: mask[m][rows] for m in mask}, tokens))
        while found:
            yield _means(found.pop(0))


_Sums = list[tuple[np.ndarray, np.ndarray]]
"""Of each modality by name the sum of the frames [n, f], and their number [n]."""


def _sums(split: Split, seen: Masks, tokens: Mapping[str, Tokens]) -> _Sums:
    parts = []
    for m in sorted(split.features):
        x_ntf, seen_nt = split.features[m], seen[m]
        if m in tokens:
            sums_nf = _centred_counts(x_ntf[:, :, 0], seen_nt, tokens[m])
        else:
            sums_nf = np.matmul(seen_nt[:, None].astype(x_ntf.dtype), x_ntf)[:, 0]
        parts.append((sums_nf, seen_nt.sum(axis=1).astype(np.float64)))
    return parts


def _means(of_parts: Sequence[_Sums]) -> np.ndarray:
    """The mean frames [n, f] of all modalities, given the sums of some samples at a time."""
    means = []
    for of_modality in zip(*of_parts, strict=True):
        sums_nf, count_n = (np.concatenate(x) for x in zip(*of_modality, strict=True))
        means.append(sums_nf / np.where(count_n, count_n, np.nan)[:, None])
    return np.concatenate(means, axis=1)


def lengths(split: Split) -> np.ndarray:
    """The number of valid frames of each modality and log(1 + it), float64 [n, 2 m]."""
    counts_nm = np.stack([split.valid[m].sum(axis=1) for m in sorted(split.valid)], axis=1)
    return np.concatenate([counts_nm, np.log1p(counts_nm)], axis=1)


def count_tokens(train: Split, modality: str) -> Tokens:
    """The most frequent token ids of a modality; of equally frequent ones the smaller."""
    frames = train.features[modality][train.present[modality]][:, 0]
    ids, counts = np.unique(frames, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_TOKENS])
    # Without any frame there is still a column: of id 0, padding, which no frame has.
    ids_k = ids[kept] if len(ids) else np.zeros(1, ids.dtype)
    share_k = counts[kept] / len(frames) if len(ids) else np.zeros(1)
    deviation_k = np.sqrt(share_k * (1 - share_k))
    return Tokens(ids_k, share_k, np.where(deviation_k > 0, deviation_k, 1.0))


def _are_tokens(split: Split, modality: str) -> bool:
    return split.features[modality].dtype.kind in "iu"


def _centred_counts(ids_nt: np.ndarray, seen_nt: np.ndarray, tokens: Tokens) -> np.ndarray:
    """Sums over the observed frames of (indicator - share) / scale, [n, k]."""
    (n, _), k = ids_nt.shape, len(tokens.ids_k)
    place_nt = np.minimum(np.searchsorted(tokens.ids_k, ids_nt), k - 1)
    known_nt = seen_nt & (tokens.ids_k[place_nt] == ids_nt)
    cells = (np.arange(n)[:, None] * k + place_nt)[known_nt]
    counts_nk = np.bincount(cells, minlength=n * k).reshape(n, k)
    expected_nk = seen_nt.sum(axis=1)[:, None] * tokens.share_k[None]
    return (counts_nk - expected_nk) / tokens.scale_k[None]


def _predict(
    floors: Floors, asked: Sequence[tuple[Condition, int]], samples: Split, observe: Observer
) -> dict[str, list[np.ndarray]]:
    """Predictions of each floor under each condition and mask seed; mean frames are made once."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in FLOORS}
    by_length = floors.length(lengths(samples))
    masks = [partial(observe, *one) for one in asked]
    columns = mean_frames_under(samples, masks, floors.tokens)
    for (condition, _), x_nf in zip(asked, columns, strict=True):
        by_frames = floors.one(x_nf), floors.per_condition[condition.name](x_nf)
        for name, predictions in zip(FLOORS, (by_length, *by_frames), strict=True):
            found[name].append(predictions.astype(np.float32))  # as runs'
    return found


def _with_bayes_of(first: Evaluation, other: Evaluation) -> Evaluation:
    conditions = [
        replace(result, bayes=known.bayes, bayes_per_seed=known.bayes_per_seed)
        for result, known in zip(other.conditions, first.conditions, strict=True)
    ]
    return replace(other, conditions=tuple(conditions))
