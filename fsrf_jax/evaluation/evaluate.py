"""Run a predictor through all conditions of a protocol, on masks that everybody can reproduce."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fsrf_jax.data.dataset import Masks, Oracle, Split
from fsrf_jax.data.product import ProductPosterior
from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.metrics.families import FAMILIES, MetricFamily
from fsrf_jax.evaluation.metrics.figures import Metrics, mean_of
from fsrf_jax.evaluation.metrics.optimal import optimal_metrics
from fsrf_jax.evaluation.protocols.masks import Observer, masks_digest, missing_shares
from fsrf_jax.evaluation.protocols.registry import Condition, Protocol
from fsrf_jax.inference import Gaussian

Predictor = Callable[[Masks], np.ndarray | Gaussian]
"""The predictions of the split's samples, given which frames are observed: numbers [n], or
Gaussian ones, or probabilities of classes or tasks [n, o]."""

Answer = Callable[[Condition, int, Masks], np.ndarray | Gaussian]
"""The same, for programs that were told the condition and the mask seed."""


@dataclass(frozen=True)
class ConditionResult:
    """What was measured under one condition; lists and the axis s follow the mask seeds.

    Attributes:
        condition: the condition.
        predictions: [s, n] or [s, n, o]; means, of Gaussian predictions.
        log_variances: [s, n] of Gaussian predictions; None for all others.
        per_seed: metrics for each mask seed.
        metrics: their mean.
        bayes_per_seed: metrics of the oracle on the same samples and masks; empty without one.
        bayes: their mean; None without an oracle.
        missing_per_seed: see `missing_shares`, for each mask seed.
    """

    condition: Condition
    predictions: np.ndarray
    log_variances: np.ndarray | None
    per_seed: list[Metrics]
    metrics: Metrics
    bayes_per_seed: list[Metrics]
    bayes: Metrics | None
    missing_per_seed: list[Metrics]


@dataclass(frozen=True)
class Evaluation:
    """All that one evaluation measured.

    Attributes:
        family: the metrics.
        protocol: the protocol.
        mask_seeds: seeds of the random masks.
        ids: str [n].
        labels: [n], or [n, o] for binary tasks.
        groups: str [n]; None if unknown.
        classes: names of the classes; may be empty.
        floor: the best constant prediction, the same under every condition.
        conditions: in the order of the protocol.
        masks_digest: of the masks, see `fsrf_jax.evaluation.protocols.masks`.
    """

    family: MetricFamily
    protocol: Protocol
    mask_seeds: tuple[int, ...]
    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    classes: tuple[str, ...]
    floor: Metrics
    conditions: tuple[ConditionResult, ...]
    masks_digest: str

    @property
    def predictions(self) -> np.ndarray:
        """Of all conditions: [c, s, n], or [c, s, n, o], for s mask seeds."""
        return np.stack([result.predictions for result in self.conditions])


def evaluate(
    protocol: Protocol,
    split: Split,
    predict: Predictor,
    mask_seeds: Sequence[int],
    observe: Observer,
    oracle: Oracle | None = None,
    family: MetricFamily = FAMILIES["mosi"],
    classes: tuple[str, ...] = (),
) -> Evaluation:
    """Measure `predict` under every condition and mask seed.

    A condition that is not random is predicted once, and counts for every mask seed.

    Args:
        protocol: the conditions.
        split: the samples; all of it but the features is used here.
        predict: observed masks to predictions; it holds the features itself.
        mask_seeds: seeds of the random masks, at least one.
        observe: condition and mask seed to observed masks, bool [n, t] per modality.
        oracle: observed masks to the best possible predictions, where they are known.
        family: the metrics.
        classes: names of the classes; may be empty.

    Raises:
        UserError: a prediction is not finite, or no probability where it must be one.
        ValueError: no mask seed, or masks or predictions do not fit the split.
    """
    answer = once(predict)
    return score(protocol, split, answer, mask_seeds, observe, oracle, family, classes)


def once(predict: Predictor) -> Answer:
    """The answers of a predictor, which is asked once under a condition that is not random."""
    whole: dict[str, np.ndarray | Gaussian] = {}

    def answer(condition: Condition, seed: int, masks: Masks) -> np.ndarray | Gaussian:
        del seed
        if condition.random:
            return predict(masks)
        if condition.name not in whole:
            whole[condition.name] = predict(masks)
        return whole[condition.name]

    return answer


def drawn(
    conditions: Sequence[Condition], mask_seeds: Sequence[int]
) -> list[tuple[Condition, int]]:
    """The conditions with those mask seeds that differ: the first, where nothing is random."""
    return [(c, seed) for c in conditions for seed in (mask_seeds if c.random else mask_seeds[:1])]


def looked_up(
    asked: Sequence[tuple[Condition, int]], predictions: Sequence[np.ndarray | Gaussian]
) -> Answer:
    """The answers that predictions under what `drawn` gave are."""
    found = {
        (c.name, seed if c.random else None): x
        for (c, seed), x in zip(asked, predictions, strict=True)
    }
    return lambda condition, seed, _: found[condition.name, seed if condition.random else None]


def score(
    protocol: Protocol,
    split: Split,
    answer: Answer,
    mask_seeds: Sequence[int],
    observe: Observer,
    oracle: Oracle | None = None,
    family: MetricFamily = FAMILIES["mosi"],
    classes: tuple[str, ...] = (),
) -> Evaluation:
    """As `evaluate`, for predictions that may depend on condition and mask seed."""
    if not mask_seeds:
        raise ValueError("expected at least one mask seed, found none")

    def measure(condition: Condition) -> ConditionResult:
        predictions: list[np.ndarray | Gaussian] = []
        per_seed: list[Metrics] = []
        bayes: list[Metrics] = []
        missing: list[Metrics] = []
        for seed in mask_seeds:
            masks = observe(condition, seed)
            _check_masks(condition, masks, split)
            missing.append(missing_shares(masks, split.valid))
            predictions.append(answer(condition, seed, masks))
            per_seed.append(_score(family, condition, _points(predictions[-1]), split.labels))
            if oracle is not None and (condition.random or not bayes):
                bayes.append(_best(family, condition, oracle(masks), split.labels))
        gaussians = [found for found in predictions if isinstance(found, Gaussian)]
        return ConditionResult(
            condition=condition,
            predictions=np.stack([_points(found) for found in predictions]),
            log_variances=np.stack([g.log_variance for g in gaussians]) if gaussians else None,
            per_seed=per_seed,
            metrics=mean_of(per_seed, per_seed[0]),
            # One table stands for every seed where nothing is random.
            bayes_per_seed=[dict(table) for table in (bayes * len(mask_seeds))[: len(mask_seeds)]],
            bayes=mean_of(bayes, bayes[0]) if bayes else None,
            missing_per_seed=missing,
        )

    ids = [str(i) for i in split.ids]
    return Evaluation(
        family=family,
        protocol=protocol,
        mask_seeds=tuple(mask_seeds),
        ids=np.asarray(split.ids, str),
        labels=np.asarray(split.labels),
        groups=split.groups,
        classes=classes,
        floor=family.floor(split.labels),
        conditions=tuple(measure(condition) for condition in protocol.conditions),
        masks_digest=masks_digest(protocol.conditions, mask_seeds, ids, split.valid, observe),
    )


def _points(predictions: np.ndarray | Gaussian) -> np.ndarray:
    """What is scored: the mean, of a Gaussian."""
    found = predictions.mean if isinstance(predictions, Gaussian) else predictions
    return np.asarray(found)


def _score(
    family: MetricFamily, condition: Condition, predictions: np.ndarray, labels: np.ndarray
) -> Metrics:
    """Compute the metrics, and name the condition if they cannot be."""
    try:
        return family.compute(predictions, labels)
    except (UserError, ValueError) as error:
        raise type(error)(f"condition {condition.name}: {error}") from error


def _best(
    family: MetricFamily,
    condition: Condition,
    best: np.ndarray | ProductPosterior,
    labels: np.ndarray,
) -> Metrics:
    """The metrics of what an oracle gives: one prediction, or one for each metric."""
    if isinstance(best, ProductPosterior):
        return optimal_metrics(family, best, labels)
    return _score(family, condition, best, labels)


def _check_masks(condition: Condition, masks: Masks, split: Split) -> None:
    """Raise ValueError if a mask shows padding, or a modality that the condition lacks."""
    for name, valid in split.present.items():
        observed = masks[name]
        if observed.dtype != bool or observed.shape != valid.shape:
            raise ValueError(
                f"condition {condition.name}: expected a bool mask {valid.shape} for {name}, "
                f"found {observed.dtype} {observed.shape}"
            )
        allowed = valid & (name in condition.subset)
        if np.any(observed & ~allowed):
            raise ValueError(
                f"condition {condition.name}: the mask of {name} shows frames that are padding "
                "or missing"
            )
