"""What the metrics of all forms of label share: figures by name, and how to read many of them."""

from collections.abc import Container, Iterable, Sequence

import numpy as np

from fsrf_jax.errors import UserError

Metrics = dict[str, float | None]
"""Figures by name, as fractions; None where a metric is undefined: it is never a made-up 0."""


def mean_of(tables: Sequence[Metrics], names: Iterable[str]) -> Metrics:
    """Mean of each named figure; one undefined figure makes the mean of it undefined."""
    means: Metrics = {}
    for name in names:
        found = _defined(tables, name)
        means[name] = float(np.mean(found)) if found and len(found) == len(tables) else None
    return means


def std_metrics(tables: Sequence[Metrics]) -> Metrics:
    """Sample standard deviation (n - 1) of each figure; None for one table, or undefined ones."""
    deviations: Metrics = {}
    for name in tables[0]:
        found = _defined(tables, name)
        if len(tables) < 2 or len(found) < len(tables):
            deviations[name] = None
        else:  # equal figures deviate by rounding alone
            deviations[name] = float(np.std(found, ddof=1)) if np.ptp(found) else 0.0
    return deviations


def best_of(tables: Sequence[Metrics], lower_is_better: Container[str]) -> Metrics:
    """Figure by figure the best of several tables; None where it is undefined in all."""
    best: Metrics = {}
    for name in tables[0]:
        found = _defined(tables, name)
        choose = min if name in lower_is_better else max
        best[name] = choose(found) if found else None
    return best


def is_constant(x: np.ndarray) -> bool:
    """Tell whether a vector varies by no more than the rounding of a float32 model."""
    return bool(np.ptp(x) <= 4 * np.finfo(np.float32).eps * np.abs(x).max())


def check_finite(predictions: np.ndarray) -> None:
    """Raise UserError if a prediction, a row of [n] or [n, o], is NaN or infinite."""
    finite = np.isfinite(predictions).all(axis=tuple(range(1, predictions.ndim)))
    broken = np.count_nonzero(~finite)
    if broken:
        raise UserError(
            f"{broken} of {len(predictions)} predictions are NaN or infinite, expected finite "
            "numbers: training has diverged; train again with a smaller learning rate."
        )


def _defined(tables: Sequence[Metrics], name: str) -> list[float]:
    return [figure for table in tables if (figure := table[name]) is not None]
