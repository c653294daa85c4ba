"""The pytrees that all parts of the project pass along.

Axis letters, used in names and docstrings everywhere:
b batch (one row an utterance), k view, m modality, t time (frames), f feature, d width of a code,
o outputs of a head, p member of a population.

A dictionary with one entry per modality is a `ByModality`; its arrays may differ in t and f. Where
arrays agree in shape they are stacked instead, and the axis m follows the sorted names.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
from flax import struct

ByModality = dict[str, jax.Array]


@struct.dataclass
class Batch:
    """Complete, normalised utterances.

    Attributes:
        features: float32 [b, t, f] per modality, or token ids, int32 [b, t, 1]; frames that are not
            present are zero.
        valid: bool [b, t] per modality; False is padding.
        present: bool [b, t] per modality; False is padding, or a frame that the sample never had.
        labels: float32 [b], numbers or class numbers; [b, o] of 0 and 1 for o binary tasks.
        weights: float32 [b]; 1, or 0 for a row that only fills the batch up.
    """

    features: ByModality
    valid: ByModality
    present: ByModality
    labels: jax.Array
    weights: jax.Array


class View(NamedTuple):
    """What a network is given of b samples.

    Attributes:
        features: normalised, float32 [b, t, f] per modality, or token ids, int32 [b, t, 1].
        valid: bool [b, t] per modality; False for padding.
        observed: bool [b, t] per modality; False for missing frames, which are not looked at. Of
            k views in one pass [k * b, t]: the b samples in the first view, in the second, ..
    """

    features: ByModality
    valid: ByModality
    observed: ByModality

    @classmethod
    def whole(cls, batch: Batch) -> "View":
        """The view of a batch with nothing missing that there is."""
        return cls(batch.features, batch.valid, batch.present)


class Step(NamedTuple):
    """What a method learns from in one step.

    Attributes:
        batch: b complete samples; rows of weight 0 count nothing.
        views: observation masks of each view, bool [b, t] per modality.
        progress: share of the training that is done with this step, in (0, 1].
        key: typed key for dropout and the like.
    """

    batch: Batch
    views: Sequence[ByModality]
    progress: jax.Array
    key: jax.Array


@struct.dataclass
class Codes:
    """What a method makes of one view before it predicts.

    A code that the method does not have is None; a modality's codes are zero where it is absent.

    Attributes:
        modalities: sorted names, the axis m.
        available: float32 [m, b]; 1 where at least one valid frame is observed.
        pooled: [m, b, d], the encoding Z_m.
        homogeneous: [m, b, d], H_m, what the modalities share.
        heterogeneous: [m, b, d], S_m, what is special to each.
        noise: [m, b, d], N_m.
        fused: [b, d], F, what the prediction is read from.
    """

    modalities: tuple[str, ...] = struct.field(pytree_node=False)
    available: jax.Array
    pooled: jax.Array | None = None
    homogeneous: jax.Array | None = None
    heterogeneous: jax.Array | None = None
    noise: jax.Array | None = None
    fused: jax.Array | None = None
