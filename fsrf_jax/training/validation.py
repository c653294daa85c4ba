"""The validation split under fixed masks, by which the best parameters are chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from fsrf_jax.data.dataset import Split
from fsrf_jax.inference import make_batch
from fsrf_jax.missing import Missing, keyed_uniforms, observe
from fsrf_jax.types import Batch, ByModality


@struct.dataclass
class Validation:
    """The validation split under fixed masks.

    Attributes:
        batch: n complete samples.
        observed: bool [v, n, t] per modality; v sets of masks.
    """

    batch: Batch
    observed: ByModality


def make_validation(split: Split, missing: Missing, draws: int) -> Validation:
    """The validation split under `draws` fixed draws of the training missingness.

    The masks are keyed by sample id, so that all runs on a data set are selected alike.
    """
    return under_masks(split, random_masks(split, missing, draws))


def random_masks(split: Split, missing: Missing, draws: int) -> list[ByModality]:
    """The masks of `make_validation`, bool [n, t] per modality each."""
    ids = [str(i) for i in split.ids]
    present = {m: jnp.asarray(x) for m, x in split.present.items()}
    return [
        observe(keyed_uniforms(seed, ids, split.valid), present, missing) for seed in range(draws)
    ]


def under_masks(split: Split, masks: Sequence[Mapping[str, Any]]) -> Validation:
    """The validation split under given masks, bool [n, t] per modality each."""
    arrays = [{m: jnp.asarray(mask[m]) for m in split.valid} for mask in masks]
    return Validation(make_batch(split), jax.tree.map(lambda *drawn: jnp.stack(drawn), *arrays))
