"""The pytrees that all parts of the project pass along.

Axis letters, used in names and docstrings everywhere:
b batch (one row an utterance), k view, m modality, t time (frames), f feature, d width of a code.
A dictionary with one entry a modality is a `ByModality`; its arrays may differ in t and f.
"""

import jax
from flax import struct

ByModality = dict[str, jax.Array]


@struct.dataclass
class Batch:
    """Complete, normalised utterances.

    Attributes:
        features: float32 [b, t, f] per modality; padding frames are zero.
        valid: bool [b, t] per modality; False is padding, or a frame the sample never had.
        labels: float32 [b].
        weights: float32 [b]; 1, or 0 for a row that only fills the batch up.
    """

    features: ByModality
    valid: ByModality
    labels: jax.Array
    weights: jax.Array


@struct.dataclass
class Codes:
    """What the factorization makes of one view; a modality's codes are zero where it is absent.

    Attributes:
        available: float32 [b] per modality; 1 where at least one valid frame is observed.
        pooled: [b, d] per modality, the encoding Z_m.
        homogeneous: [b, d] per modality, H_m.
        heterogeneous: [b, d] per modality, S_m.
        noise: [b, d] per modality, N_m.
        fused: [b, d], F; of class token and [missing] tokens alone where nothing was observed.
    """

    available: ByModality
    pooled: ByModality
    homogeneous: ByModality
    heterogeneous: ByModality
    noise: ByModality
    fused: jax.Array


@struct.dataclass
class Auxiliary:
    """Predictions of the heads that only the losses need; none takes part in inference.

    Attributes:
        heterogeneous: [b] per modality, the label predicted from [sg(H_m), S_m].
        noise: [b] per modality, the label predicted from N_m behind a gradient reversal.
        reconstruction: [b, f] per modality, the modality's mean frame from H_m, S_m and N_m.
    """

    heterogeneous: ByModality
    noise: ByModality
    reconstruction: ByModality


@struct.dataclass
class Outputs:
    """All that one forward pass gives in training; each array has a leading view axis k.

    Attributes:
        codes: the codes of every view.
        prediction: [k, b], the predicted label.
        auxiliary: the training heads' predictions.
    """

    codes: Codes
    prediction: jax.Array
    auxiliary: Auxiliary


@struct.dataclass
class LossWeights:
    """Weight of every loss term beside the task; array leaves, so a change never recompiles."""

    homogeneous: jax.Array
    heterogeneous: jax.Array
    noise: jax.Array
    redundancy: jax.Array
    reconstruction: jax.Array
    feature_distillation: jax.Array
    prediction_distillation: jax.Array
