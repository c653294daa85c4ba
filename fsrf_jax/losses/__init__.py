"""Losses: pure functions of arrays, each a statistic of the whole batch.

Read in this order: `averaging` and `codes` (means by weights); the measures (`divergences`,
`dependence`); `task`; and the terms (of DHF `factorization`, `heterogeneous`, `noise` and
`reconstruction`; of DAS `distillation`; of CorrKD `correlation`), with the options of each in the
same file. Which arrays a term is given, and what is summed up, is up to a method. docs/losses.md
shows each.

Example:
    >>> import numpy as np
    >>> h_language, h_audio = np.eye(4, dtype=np.float32), -np.eye(4, dtype=np.float32)
    >>> weights = np.array([1, 1, 0, 1], np.float32)  # one sample lacks a modality
    >>> float(fsrf_jax.losses.mse(h_language, h_audio, weights))
    1.0
"""

from fsrf_jax.losses import correlation as correlation
from fsrf_jax.losses import distillation as distillation
from fsrf_jax.losses import factorization as factorization
from fsrf_jax.losses import heterogeneous as heterogeneous
from fsrf_jax.losses import noise as noise
from fsrf_jax.losses import reconstruction as reconstruction
from fsrf_jax.losses.averaging import Term as Term
from fsrf_jax.losses.dependence import DEPENDENCE as DEPENDENCE
from fsrf_jax.losses.dependence import Dependence as Dependence
from fsrf_jax.losses.dependence import cosine_squared as cosine_squared
from fsrf_jax.losses.dependence import cross_correlation as cross_correlation
from fsrf_jax.losses.dependence import hsic as hsic
from fsrf_jax.losses.dependence import orthogonality as orthogonality
from fsrf_jax.losses.distillation import DistillationOptions as DistillationOptions
from fsrf_jax.losses.divergences import DIVERGENCES as DIVERGENCES
from fsrf_jax.losses.divergences import Divergence as Divergence
from fsrf_jax.losses.divergences import MeasureOptions as MeasureOptions
from fsrf_jax.losses.divergences import cmd as cmd
from fsrf_jax.losses.divergences import coral as coral
from fsrf_jax.losses.divergences import cosine as cosine
from fsrf_jax.losses.divergences import gaussian_kl as gaussian_kl
from fsrf_jax.losses.divergences import infonce as infonce
from fsrf_jax.losses.divergences import js as js
from fsrf_jax.losses.divergences import mmd as mmd
from fsrf_jax.losses.divergences import mse as mse
from fsrf_jax.losses.divergences import named_divergence as named_divergence
from fsrf_jax.losses.divergences import sinkhorn as sinkhorn
from fsrf_jax.losses.divergences import sliced_wasserstein as sliced_wasserstein
from fsrf_jax.losses.factorization import HomogeneousOptions as HomogeneousOptions
from fsrf_jax.losses.factorization import RedundancyOptions as RedundancyOptions
from fsrf_jax.losses.heterogeneous import HeterogeneousOptions as HeterogeneousOptions
from fsrf_jax.losses.heterogeneous import supervised_contrastive as supervised_contrastive
from fsrf_jax.losses.noise import NoiseOptions as NoiseOptions
from fsrf_jax.losses.noise import variance_floor as variance_floor
from fsrf_jax.losses.reconstruction import ReconstructionOptions as ReconstructionOptions
from fsrf_jax.losses.task import Task as Task
from fsrf_jax.losses.task import TaskOptions as TaskOptions
