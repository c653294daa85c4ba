"""Figures of predictions and labels, by form of the label, and how sure they are.

`regression_metrics` are those of CMU-MOSI, `sims_metrics` those of CH-SIMS; `class_metrics` and
`binary_metrics` take probabilities. `FAMILIES` has all that belongs to each: floors and columns.

Example:
    >>> predictions, labels = [1.2, -0.4, 0.3, 2.0], [1.0, -1.0, 0.0, 3.0]
    >>> figures = fsrf_jax.metrics.regression_metrics(predictions, labels)
    >>> round(figures["mae"], 3), figures["acc2_non0"]
    (0.525, 1.0)
"""

from fsrf_jax.evaluation.metrics.classification import binary_metrics as binary_metrics
from fsrf_jax.evaluation.metrics.classification import class_metrics as class_metrics
from fsrf_jax.evaluation.metrics.families import FAMILIES as FAMILIES
from fsrf_jax.evaluation.metrics.regression import regression_metrics as regression_metrics
from fsrf_jax.evaluation.metrics.regression import sims_metrics as sims_metrics
