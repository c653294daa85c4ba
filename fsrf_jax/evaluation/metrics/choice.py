"""Which family of metrics a data set is measured with; said in the results, never guessed."""

from collections.abc import Iterable, Sequence

import numpy as np

from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.metrics import classification
from fsrf_jax.evaluation.metrics.families import FAMILIES, MetricFamily, family_of


def choose_family(
    wanted: str, form: str, labels: Iterable[np.ndarray], tasks: Sequence[str] = ()
) -> MetricFamily:
    """The family of metrics for a data set; it is never guessed where labels fit two.

    Args:
        wanted: `evaluation.metrics` of the config: auto, mosi or sims.
        form: of the labels.
        labels: of every split.
        tasks: `data.tasks` of the config, names of the binary tasks; may be empty.

    Raises:
        ConfigError: the labels do not fit the family or the names, or fit two families.
    """
    known = [np.asarray(of_split) for of_split in labels if len(of_split)]
    if form != "number":
        if wanted != "auto":
            raise ConfigError(
                f"evaluation.metrics: found {wanted}, expected auto, because the labels are no "
                "numbers: leave it out, or choose another task.kind."
            )
        return family_of(form, _names_of_tasks(form, known, tasks))
    if tasks:
        _refuse_tasks(tasks, "nothing, because task.kind is not binary_cross_entropy")
    largest = max((float(np.abs(of_split).max()) for of_split in known), default=0.0)
    if wanted == "auto" and largest <= 1:
        raise ConfigError(
            "evaluation.metrics: found auto, expected mosi or sims, because every label lies in "
            "[-1, 1], as in CH-SIMS, and 0 counts otherwise there: give --evaluation.metrics sims "
            "(or mosi for labels on another scale)."
        )
    if wanted == "sims" and largest > 1:
        raise ConfigError(
            f"evaluation.metrics: found sims, expected labels in [-1, 1], but one is "
            f"{largest:g} from 0: give --evaluation.metrics mosi."
        )
    return FAMILIES["mosi" if wanted == "auto" else wanted]


def _names_of_tasks(
    form: str, labels: Sequence[np.ndarray], tasks: Sequence[str]
) -> tuple[str, ...]:
    if form != "binary":
        if tasks:
            _refuse_tasks(tasks, "nothing, because task.kind is not binary_cross_entropy")
        return ()
    found = classification.task_names(labels[0])
    if tasks and len(tasks) != len(found):
        _refuse_tasks(tasks, f"{len(found)} names, one for each binary task of the data")
    return tuple(tasks) or found


def _refuse_tasks(tasks: Sequence[str], expected: str) -> None:
    raise ConfigError(f"data.tasks: found {list(tasks)}, expected {expected}.")
