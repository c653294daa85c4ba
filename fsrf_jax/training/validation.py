"""The validation split under fixed masks, by which the best parameters are chosen."""

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
        observed: bool [v, n, t] per modality; v draws of the training missingness.
    """

    batch: Batch
    observed: ByModality


def make_validation(split: Split, missing: Missing, draws: int) -> Validation:
    """The validation split under `draws` fixed draws of the training missingness.

    The masks are keyed by sample id, so that all runs on a data set are selected alike.
    """
    batch = make_batch(split)
    ids = [str(i) for i in split.ids]
    masks = [
        observe(keyed_uniforms(seed, ids, split.valid), batch.present, missing)
        for seed in range(draws)
    ]
    return Validation(batch, jax.tree.map(lambda *drawn: jnp.stack(drawn), *masks))
