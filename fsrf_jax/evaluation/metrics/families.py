"""The metrics of each form of label, and how tables and plots show them."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.metrics import classification, regression
from fsrf_jax.evaluation.metrics.figures import Metrics, best_of
from fsrf_jax.evaluation.metrics.tallies import Tallies, swapped_figures


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        title: its head.
        metric: the figure's name.
        percent: shown in percent; else as a plain number.
    """

    title: str
    metric: str
    percent: bool = True


@dataclass(frozen=True)
class MetricFamily:
    """The metrics of one form of label.

    Attributes:
        name: its name in the config and in the results.
        form: of the labels, see `fsrf_jax.data.labels`.
        names: the figures; binary tasks have `f1_task0`, `f1_task1`, .. beside them.
        lower_is_better: those of which less is better.
        compute: predictions and labels of n samples to the figures.
        constants: labels to constant predictions, of which one is best by each metric.
        tally: the same figures as `names`, as sums over samples: see `tallies`.
        decided: predictions and labels to what the headline counts, [n'] or, of tasks, [n, e]:
            the class of each prediction, for the samples that it looks at.
        columns: of the table.
        headline: the column by which a condition is collapsed, and its share of Bayes is taken;
            the oracle's prediction is optimal for it.
        explained: what the columns are, a note under the table; may name keys of the results.
        panels: metric and title of each panel of the plot; figures in percent.
        oracle: what the oracle predicts.
        tasks: names of binary tasks; empty for all else.
    """

    name: str
    form: str
    names: tuple[str, ...]
    lower_is_better: frozenset[str]
    compute: Callable[[np.ndarray, np.ndarray], Metrics]
    constants: Callable[[np.ndarray], list[np.ndarray]]
    tally: Callable[[np.ndarray, np.ndarray], Tallies]
    decided: Callable[[np.ndarray, np.ndarray], np.ndarray]
    columns: tuple[Column, ...]
    headline: Column
    explained: str
    panels: tuple[tuple[str, str], ...]
    oracle: str
    tasks: tuple[str, ...] = ()

    def floor(self, labels: np.ndarray) -> Metrics:
        """The best figure of any constant prediction, metric by metric; `corr` has none."""
        tables = [self.compute(constant, labels) for constant in self.constants(labels)]
        return best_of(tables, self.lower_is_better)

    def swapped(self, predictions: np.ndarray, labels: np.ndarray) -> Metrics:
        """The figures of `compat`, see `Tally.swapped`."""
        return swapped_figures(self.tally(predictions, labels))

    def swapped_floor(self, labels: np.ndarray) -> Metrics:
        """The best of `swapped` of any constant prediction."""
        return best_of([self.swapped(c, labels) for c in self.constants(labels)], ())


_ACC2 = Column("Acc2", "acc2_non0")
_SIMS_ACC2 = Column("Acc2", "acc2")
_WA = Column("WA", "accuracy")
_ACCURACY = Column("Acc", "accuracy")
_F1 = Column("F1", "f1")
_CROSS_ENTROPY = Column("CE", "cross_entropy", percent=False)

FAMILIES: dict[str, MetricFamily] = {
    "mosi": MetricFamily(
        name="mosi",
        form="number",
        names=regression.METRICS,
        lower_is_better=regression.LOWER_IS_BETTER,
        compute=regression.regression_metrics,
        constants=regression.constants,
        tally=regression.tally_numbers,
        decided=lambda predictions, labels: predictions[labels != 0] > 0,
        columns=(
            _ACC2,
            Column("F1", "f1_non0"),
            Column("MAE", "mae", percent=False),
            Column("Corr", "corr", percent=False),
            Column("Acc7", "acc7"),
        ),
        headline=_ACC2,
        explained=(
            "Acc2 and F1 over the {n_non0} samples whose label is not 0; F1 weighted by the true "
            "classes. Metrics of CMU-MOSI. All but MAE and Corr in percent; - is undefined."
        ),
        panels=(
            ("acc2_non0", "Accuracy, positive or negative"),
            ("f1_non0", "F1, positive or negative"),
        ),
        oracle="optimum",
    ),
    "sims": MetricFamily(
        name="sims",
        form="number",
        names=regression.SIMS_METRICS,
        lower_is_better=regression.LOWER_IS_BETTER,
        compute=regression.sims_metrics,
        constants=regression.sims_constants,
        tally=regression.tally_sims,
        decided=lambda predictions, labels: predictions > 0,
        columns=(
            _SIMS_ACC2,
            _F1,
            Column("MAE", "mae", percent=False),
            Column("Corr", "corr", percent=False),
            Column("Acc3", "acc3"),
            Column("Acc5", "acc5"),
        ),
        headline=_SIMS_ACC2,
        explained=(
            "Metrics of CH-SIMS: both sides clipped to [-1, 1], 0 is negative; F1 weighted by the "
            "true classes. All but MAE and Corr in percent; - is undefined."
        ),
        panels=(("acc2", "Accuracy, positive or not"), ("f1", "F1, positive or not")),
        oracle="optimum",
    ),
    "class": MetricFamily(
        name="class",
        form="class",
        names=classification.CLASS_METRICS,
        lower_is_better=classification.LOWER_IS_BETTER,
        compute=classification.class_metrics,
        constants=classification.class_constants,
        tally=classification.tally_classes,
        decided=lambda predictions, labels: predictions.argmax(axis=1),
        columns=(_WA, Column("UA", "balanced_accuracy"), _F1, _CROSS_ENTROPY),
        headline=_WA,
        explained=(
            "WA: accuracy; UA: mean recall of the classes that occur; F1 weighted by the true "
            "classes; CE: cross-entropy in nats. All but CE in percent; - is undefined."
        ),
        panels=(("accuracy", "Accuracy (WA)"), ("f1", "F1, weighted by the true classes")),
        oracle="posterior",
    ),
    "binary": MetricFamily(
        name="binary",
        form="binary",
        names=classification.TASK_METRICS,
        lower_is_better=classification.LOWER_IS_BETTER,
        compute=classification.binary_metrics,
        constants=classification.task_constants,
        tally=classification.tally_tasks,
        decided=lambda predictions, labels: predictions > 0.5,
        columns=(_ACCURACY, _F1, _CROSS_ENTROPY),
        headline=_ACCURACY,
        explained=(
            "Means over the tasks of accuracy, F1 weighted by the true classes, and cross-entropy "
            "(CE) in nats. All but CE in percent; - is undefined."
        ),
        panels=(
            ("accuracy", "Accuracy, mean over the tasks"),
            ("f1", "F1, mean over the tasks"),
        ),
        oracle="posterior",
    ),
}
"""By name. Numbers have two families, classes and binary tasks one each."""


def family_of(name: str, tasks: Sequence[str] = ()) -> MetricFamily:
    """The family of that name; binary tasks are called by their names."""
    family = FAMILIES[name]
    if not tasks:
        return family
    return dataclasses.replace(
        family,
        compute=partial(classification.binary_metrics, tasks=tasks),
        tasks=tuple(tasks),
    )


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
    named = classification.task_names(known[0]) if form == "binary" else ()
    if tasks and len(tasks) != len(named):
        expected = f"{len(named)} names, one for each binary task of the data"
        if not named:
            expected = "nothing, because task.kind is not binary_cross_entropy"
        raise ConfigError(f"data.tasks: found {list(tasks)}, expected {expected}.")
    if form != "number":
        if wanted != "auto":
            raise ConfigError(
                f"evaluation.metrics: found {wanted}, expected auto, because the labels are no "
                "numbers: leave it out, or choose another task.kind."
            )
        return family_of(form, tuple(tasks) or named)
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
