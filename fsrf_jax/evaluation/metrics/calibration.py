"""Is a model as sure as it is right? Of probabilities, and of numbers predicted as Gaussians.

A figure is None where it is undefined.
Axis letters: n sample, c class, e task, l level.
"""

import numpy as np
from scipy import special

from fsrf_jax.evaluation.metrics.figures import Metrics

BINS = 15
"""Of probabilities, equally wide over [0, 1]; a bin holds its upper end, the first one 0 too."""

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Quantiles 0.05, 0.10, .., 0.95 at which Gaussian predictions are checked."""

COVERED = (0.5, 0.8, 0.9, 0.95)
"""Central intervals of Gaussian predictions."""


def class_calibration(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """`ece` of the most probable class (Guo et al., 2017), and its mean `confidence`.

    `ece` is the mean over the samples of |share that is right - mean confidence| in their bin.

    Args:
        predictions: probabilities [n, c].
        labels: class numbers [n].
    """
    p_nc = np.asarray(predictions, np.float64)
    if not len(p_nc):
        return {"ece": None, "confidence": None}
    confidence_n, right_n = p_nc.max(axis=1), p_nc.argmax(axis=1) == np.asarray(labels)
    return {
        "ece": binned_error(confidence_n, right_n),
        "confidence": float(confidence_n.mean()),
    }


def binary_calibration(predictions: np.ndarray, labels: np.ndarray) -> Metrics:
    """`ece` of the probability of 1, the mean over the tasks; arguments [n, e].

    `confidence` is the mean probability of the likelier answer, over samples and tasks.
    """
    p_ne, true_ne = np.asarray(predictions, np.float64), np.asarray(labels) > 0.5
    if not len(p_ne):
        return {"ece": None, "confidence": None}
    errors = [binned_error(p_n, true_n) for p_n, true_n in zip(p_ne.T, true_ne.T, strict=True)]
    return {
        "ece": float(np.mean(errors)),
        "confidence": float(np.maximum(p_ne, 1 - p_ne).mean()),
    }


def binned_error(p_n: np.ndarray, happened_n: np.ndarray) -> float:
    """Mean over n samples of |mean probability - share that happened| in the sample's bin.

    Args:
        p_n: probabilities, n > 0.
        happened_n: bool.
    """
    bin_n = np.searchsorted(np.arange(1, BINS) / BINS, p_n, side="left")
    gap = np.bincount(bin_n, p_n - happened_n, minlength=BINS)
    return float(np.abs(gap).sum() / len(p_n))


def gaussian_calibration(mean: np.ndarray, log_variance: np.ndarray, labels: np.ndarray) -> Metrics:
    """Calibration of numbers predicted as Gaussians.

    - `nll`: mean negative log-likelihood, in nats, with its constant log(2 pi) / 2.
    - `ece`: mean over the quantiles `LEVELS` of |share of labels below the predicted quantile -
      level| (after Kuleshov et al., 2018).
    - `coverage50`, `coverage80`, `coverage90`, `coverage95`: share of labels inside the central
      interval of that probability.
    - `sharpness`: mean predicted standard deviation.

    Args:
        mean: [n].
        log_variance: [n].
        labels: [n].
    """
    names = [f"coverage{round(100 * level)}" for level in COVERED]
    mean_n, log_variance_n, y_n = (np.asarray(x, np.float64) for x in (mean, log_variance, labels))
    if not len(y_n):
        return dict.fromkeys(("nll", "ece", *names, "sharpness"))
    deviation_n = np.exp(log_variance_n / 2)
    z_n = (y_n - mean_n) / deviation_n
    below_l = (z_n[:, None] <= special.ndtri(LEVELS)).mean(axis=0)
    coverage = {
        name: float(np.mean(np.abs(z_n) <= special.ndtri((1 + level) / 2)))
        for name, level in zip(names, COVERED, strict=True)
    }
    return {
        "nll": float(np.mean((np.log(2 * np.pi) + log_variance_n + z_n**2) / 2)),
        "ece": float(np.abs(below_l - LEVELS).mean()),
        **coverage,
        "sharpness": float(deviation_n.mean()),
    }
