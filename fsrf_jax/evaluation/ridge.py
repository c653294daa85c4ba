"""Ridge regression on columns that may lack entries, for numbers, classes and binary tasks.

Its strength is chosen on validation samples, from `STRENGTHS`, by the mean absolute error of
numbers or the error rate of classes and tasks. Axis letters: n sample, f column, o output (1 for
numbers), a strength.
"""

from dataclasses import dataclass

import numpy as np

STRENGTHS = tuple(10.0 ** (half / 2) for half in range(2, 11))
"""10^1, 10^1.5, .., 10^5: what is added to the diagonal of the columns' sums of products."""

LEAST = 1e-3
"""No class or answer is less probable: what is linear may call an answer impossible, by chance."""

Samples = tuple[np.ndarray, np.ndarray]
"""Columns float64 [n, f], NaN where an entry lacks, and labels [n], or [n, o] of tasks."""


@dataclass(frozen=True)
class Ridge:
    """A fitted regression; called with columns [n, f], it predicts as the metrics take it.

    Attributes:
        form: of the labels, see `fsrf_jax.data.labels`.
        strength: the one that was chosen.
        fill_f: what stands in for an entry that lacks: the mean of the training samples that have
            it; 0 where none has.
        weights_fo: of the columns.
        intercept_o: the prediction at 0.
    """

    form: str
    strength: float
    fill_f: np.ndarray
    weights_fo: np.ndarray
    intercept_o: np.ndarray

    def __call__(self, x_nf: np.ndarray) -> np.ndarray:
        """Numbers [n], or probabilities of classes or tasks [n, o]."""
        return answers(_filled(x_nf, self.fill_f) @ self.weights_fo + self.intercept_o, self.form)


def fit(
    train: Samples, valid: Samples, form: str, outputs: int, *, standard: bool = False
) -> Ridge:
    """Fit a regression for each strength, and keep the one with the lowest validation error.

    Of equal errors the greatest strength counts.

    Args:
        train: what is fitted to; n > 0.
        valid: what the strength is chosen on; n > 0.
        form: of the labels: number, class or binary.
        outputs: 1, or the number of classes or tasks.
        standard: weigh columns by their standard deviation, for columns of different units.
    """
    from sklearn.linear_model import Ridge as Regression  # half a second, for who needs it

    fill_f = _means(train[0])
    x_nf = _filled(train[0], fill_f)
    scale_f = _scales(x_nf) if standard else np.ones_like(fill_f)
    targets_no = indicators(train[1], form, outputs)
    # A target for each strength: the sums of products, which take the time, are made once.
    alphas = np.repeat(STRENGTHS, targets_no.shape[1])
    model = Regression(alpha=alphas, solver="cholesky")
    model.fit(x_nf / scale_f[None], np.tile(targets_no, (1, len(STRENGTHS))))
    weights_aof = (model.coef_ / scale_f[None]).reshape(len(STRENGTHS), -1, len(fill_f))
    intercepts_ao = np.reshape(model.intercept_, (len(STRENGTHS), -1))
    fitted = [
        Ridge(form, strength, fill_f, weights_of.T, intercept_o)
        for strength, weights_of, intercept_o in zip(
            STRENGTHS, weights_aof, intercepts_ao, strict=True
        )
    ]
    return min(reversed(fitted), key=lambda one: error(one(valid[0]), valid[1], form))


def indicators(labels: np.ndarray, form: str, outputs: int) -> np.ndarray:
    """What is regressed on, float64 [n, o]: numbers, or 0 and 1 for each class or task."""
    if form == "class":
        return np.eye(outputs)[labels.astype(np.int64)]
    return np.asarray(labels, np.float64).reshape(len(labels), -1)


def answers(values_no: np.ndarray, form: str) -> np.ndarray:
    """Numbers [n]; or what the indicators' predictions are as probabilities [n, o]."""
    if form == "number":
        return values_no[:, 0]
    if form == "binary":
        return np.clip(values_no, LEAST, 1 - LEAST)
    clipped_no = np.clip(values_no, LEAST, 1)
    return clipped_no / clipped_no.sum(axis=1, keepdims=True)


def error(predictions: np.ndarray, labels: np.ndarray, form: str) -> float:
    """By which a strength is chosen: mean absolute error, or share of answers that are wrong."""
    if form == "number":
        return float(np.abs(predictions - labels).mean())
    if form == "class":
        return float((predictions.argmax(axis=1) != labels).mean())
    return float(((predictions > 0.5) != (labels > 0.5)).mean())


def _means(x_nf: np.ndarray) -> np.ndarray:
    there_nf = ~np.isnan(x_nf)
    return np.where(there_nf, x_nf, 0).sum(axis=0) / np.maximum(there_nf.sum(axis=0), 1)


def _scales(x_nf: np.ndarray) -> np.ndarray:
    deviation_f = x_nf.std(axis=0)
    # What is below the rounding of the sum is no variation.
    return np.where(deviation_f > 1e-9 * np.abs(x_nf).max(axis=0), deviation_f, 1.0)


def _filled(x_nf: np.ndarray, fill_f: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x_nf), fill_f[None], x_nf)
