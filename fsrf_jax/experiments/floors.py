"""The floors of some data under a protocol, once for all runs that share the data."""

from collections.abc import Mapping, Sequence
from typing import Any

from fsrf_jax.data import normalise
from fsrf_jax.data.normalise import Normaliser
from fsrf_jax.errors import DataError
from fsrf_jax.evaluation import floors
from fsrf_jax.evaluation.evaluate import Evaluation
from fsrf_jax.evaluation.metrics.families import MetricFamily
from fsrf_jax.evaluation.protocols.masks import Observer, make_observer
from fsrf_jax.evaluation.protocols.registry import Protocol
from fsrf_jax.evaluation.results import FLOOR, Results
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.source import Source

NEEDED = ("train", "valid")

_KEPT = "_floors"


def evaluate_floors(
    source: Source,
    normaliser: Normaliser,
    protocol: Protocol,
    mask_seeds: Sequence[int],
    observe: Observer | None,
    family: MetricFamily,
    *,
    split: str = "test",
    resamples: int = 0,
    compat: bool = False,
) -> dict[str, tuple[Evaluation, Results]]:
    """Every floor as if it were a run, to be written by `write_results` and compared with methods.

    Their `training_seed` is None, and their `method` is `floor: ridge` and so on.

    Args:
        source: the data.
        normaliser: fitted to the training split.
        protocol: under which the floors are evaluated.
        mask_seeds: of the test masks.
        observe: the test masks; None: they are drawn.
        family: metrics that fit the labels.
        split: what is evaluated.
        resamples: see `summarise`.
        compat: see `summarise`.

    Returns:
        By name, in the order of `fsrf_jax.evaluation.floors.FLOORS`; empty without a training or
        validation split.
    """
    asked = (protocol, mask_seeds, observe, family)
    found = measure_floors(source, normaliser, *asked, split=split, bayes=True)
    summed: dict[str, tuple[Evaluation, Results]] = {}
    for name, evaluation in found.items():
        results = summarise(
            evaluation,
            split,
            None,
            source.fingerprint,
            resamples=resamples,
            compat=compat,
            floors=found,
        )
        results["method"] = FLOOR.format(name)
        summed[name] = evaluation, results
    return summed


def measure_floors(
    source: Source,
    normaliser: Normaliser | None,
    protocol: Protocol,
    mask_seeds: Sequence[int],
    observe: Observer | None,
    family: MetricFamily,
    *,
    split: str,
    bayes: bool = False,
) -> Mapping[str, Evaluation]:
    """As `evaluate_floors`, without results; `bayes`: with the oracle's figures, where it is known.

    Without a normaliser there are no floors. Asked again for the same (of normaliser and observer:
    the same object), it gives what it gave.
    """
    splits = source.dataset.splits
    if normaliser is None or any(name not in splits or not splits[name] for name in NEEDED):
        return {}
    key = (protocol, tuple(mask_seeds), family.name, family.tasks, split, bayes)
    # Members of an ablation share a Source and no Experiment. So the source keeps what was measured
    # on it last, as it keeps its cached properties: that is freed with the data, and a source with
    # other samples, such as `as_trained` makes, begins without.
    kept: dict[str, Any] = vars(source)
    before = kept.get(_KEPT)
    if before and before[0] is normaliser and before[1] is observe and before[2] == key:
        return before[3]
    samples = source.split(split)
    train, valid = (normaliser.apply(source.split(name)) for name in NEEDED)
    found = floors.evaluate_floors(
        protocol,
        train,
        valid,
        normaliser.apply(samples),
        mask_seeds,
        observe or make_observer(samples, mask_seeds),
        family,
        source.outputs,
        source.dataset.classes,
        source.oracle(split) if bayes else None,
    )
    kept[_KEPT] = (normaliser, observe, key, found)
    return found


def normaliser_of(source: Source, clip: float) -> Normaliser | None:
    """A normaliser for floors without a run; None where the data are nothing to train on."""
    try:
        return normalise.fit(source.split("train"), clip)
    except DataError:
        return None
