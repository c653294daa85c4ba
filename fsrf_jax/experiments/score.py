"""What `evaluate --predictions` does: predictions of another program under our rules."""

import hashlib
from pathlib import Path

from fsrf_jax.config import Config
from fsrf_jax.evaluation.evaluate import Evaluation, score
from fsrf_jax.evaluation.external import align, check_digest, read_predictions
from fsrf_jax.evaluation.protocols.masks import Observer, make_observer
from fsrf_jax.evaluation.protocols.registry import Protocol
from fsrf_jax.evaluation.results import Results
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.experiments.experiment import metrics_of
from fsrf_jax.experiments.floors import measure_floors, normaliser_of
from fsrf_jax.source import Source


def score_file(
    path: Path, config: Config, source: Source, protocol: Protocol, observe: Observer | None
) -> tuple[Evaluation, Results]:
    """Score a file of predictions, see `fsrf_jax.evaluation.external`.

    `observe` are the masks they were made on; None draws them.

    Raises:
        DataError: the file cannot be read, or does not fit data, protocol or masks.
    """
    settings = config.evaluation
    split = source.split(settings.split)
    found = read_predictions(path)
    predictions = align(
        found,
        [str(i) for i in split.ids],
        [condition.name for condition in protocol.conditions],
        settings.mask_seeds,
        None if source.form == "number" else source.outputs,
        path,
    )
    family = metrics_of(config, source)
    evaluation = score(
        protocol,
        split,
        lambda condition, seed, _: predictions[condition.name, seed],
        settings.mask_seeds,
        observe or make_observer(split, settings.mask_seeds),
        source.oracle(settings.split),
        family,
        source.dataset.classes,
    )
    check_digest(found, evaluation.masks_digest, path)
    normaliser = normaliser_of(source, config.data.clip) if settings.floors else None
    asked = (protocol, settings.mask_seeds, observe, family)
    results = summarise(
        evaluation,
        settings.split,
        None,
        source.fingerprint,
        resamples=settings.bootstrap,
        compat=settings.compat,
        floors=measure_floors(source, normaliser, *asked, split=settings.split),
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    results["predictions"] = {"file": path.name, "sha256": digest}
    return evaluation, results
