"""The metrics of each form of label, and how tables and plots show them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fsrf_jax.evaluation import classification, regression
from fsrf_jax.evaluation.figures import Metrics, mean_of, std_metrics
from fsrf_jax.evaluation.regression import LOWER_IS_BETTER, METRICS, floor, regression_metrics

__all__ = [
    "FAMILIES",
    "LOWER_IS_BETTER",
    "METRICS",
    "Column",
    "MetricFamily",
    "Metrics",
    "floor",
    "mean_metrics",
    "regression_metrics",
    "std_metrics",
]


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
        names: the figures; binary tasks have `f1_task0`, `f1_task1`, .. beside them.
        lower_is_better: those of which less is better.
        compute: predictions and labels of n samples to the figures.
        floor: labels to the best figures of a constant prediction, metric by metric.
        columns: of the table.
        headline: the column by which a condition is collapsed, and its share of Bayes is taken;
            the oracle's prediction is optimal for it.
        explained: what the columns are, a note under the table; may name keys of the results.
        panels: metric and title of each panel of the plot; figures in percent.
        oracle: what the oracle predicts.
    """

    names: tuple[str, ...]
    lower_is_better: frozenset[str]
    compute: Callable[[np.ndarray, np.ndarray], Metrics]
    floor: Callable[[np.ndarray], Metrics]
    columns: tuple[Column, ...]
    headline: Column
    explained: str
    panels: tuple[tuple[str, str], ...]
    oracle: str


_ACC2 = Column("Acc2", "acc2_non0")
_WA = Column("WA", "accuracy")
_ACCURACY = Column("Acc", "accuracy")
_F1 = Column("F1", "f1")
_CROSS_ENTROPY = Column("CE", "cross_entropy", percent=False)

FAMILIES: dict[str, MetricFamily] = {
    "number": MetricFamily(
        names=regression.METRICS,
        lower_is_better=regression.LOWER_IS_BETTER,
        compute=regression.regression_metrics,
        floor=regression.floor,
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
            "classes. All but MAE and Corr in percent; - is undefined."
        ),
        panels=(
            ("acc2_non0", "Accuracy, positive or negative"),
            ("f1_non0", "F1, positive or negative"),
        ),
        oracle="posterior mean",
    ),
    "class": MetricFamily(
        names=classification.CLASS_METRICS,
        lower_is_better=classification.LOWER_IS_BETTER,
        compute=classification.class_metrics,
        floor=classification.class_floor,
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
        names=classification.TASK_METRICS,
        lower_is_better=classification.LOWER_IS_BETTER,
        compute=classification.binary_metrics,
        floor=classification.binary_floor,
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
"""By the form of the label: see `fsrf_jax.data.labels`."""


def mean_metrics(tables: Sequence[Metrics]) -> Metrics:
    """Average figure by figure; one undefined figure makes the average of it undefined."""
    return mean_of(tables, tables[0] if tables else METRICS)
