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
        labels: float32 [b], numbers or class numbers; [b, o] of 0 and 1 for o binary tasks.
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
        noise_moments: [b, 2, d] per modality, mean and log-variance of N_m where it is random;
            empty where it is not.
        fused: [b, d], F; of class token and [missing] tokens alone where nothing was observed.
    """

    available: ByModality
    pooled: ByModality
    homogeneous: ByModality
    heterogeneous: ByModality
    noise: ByModality
    noise_moments: ByModality
    fused: jax.Array


@struct.dataclass
class Auxiliary:
    """What the heads give that only the losses need; none takes part in inference.

    A head that no loss asks for leaves its field empty.

    Attributes:
        heterogeneous: [b, o] per modality, raw output of a task head, or modality logits [b, m].
        noise: [b, o] per modality, raw output of the task head on N_m.
        frozen_noise: the same from the head with its parameters held still.
        reconstruction: [b, f] per modality, decoded from H_m, S_m and N_m; [b, m - 1, f], from S_m
            and the homogeneous code of every other modality.
    """

    heterogeneous: ByModality
    noise: ByModality
    frozen_noise: ByModality
    reconstruction: ByModality


@struct.dataclass
class Outputs:
    """All that one forward pass gives in training; each array has a leading view axis k.

    Attributes:
        codes: the codes of every view.
        prediction: [k, b, o], raw output of the head: see `fsrf_jax.losses.task`.
        completeness: [k, b], the observed share of each view, see `fsrf_jax.missing.completeness`.
        auxiliary: what the training heads give.
    """

    codes: Codes
    prediction: jax.Array
    completeness: jax.Array
    auxiliary: Auxiliary


@struct.dataclass
class LossWeights:
    """Weight of every loss term beside the task; array leaves, so a change never recompiles.

    Attributes:
        homogeneous: scalar, as all of them.
        heterogeneous: of the heterogeneous codes' term.
        noise: of the noise codes' silence.
        variance_floor: of the noise codes' spread.
        redundancy: of the dependence between codes.
        reconstruction: of the decoders.
        feature_distillation: a scalar for each divergence, by its name.
        prediction_distillation: of the views' predictions.
    """

    homogeneous: jax.Array
    heterogeneous: jax.Array
    noise: jax.Array
    variance_floor: jax.Array
    redundancy: jax.Array
    reconstruction: jax.Array
    feature_distillation: dict[str, jax.Array]
    prediction_distillation: jax.Array

    def by_name(self) -> dict[str, jax.Array]:
        """Every weight by its dotted name, such as `feature_distillation.mmd`."""
        named: dict[str, jax.Array] = {}
        for term, weight in vars(self).items():
            if isinstance(weight, dict):
                named |= {f"{term}.{part}": weight[part] for part in sorted(weight)}
            else:
                named[term] = weight
        return named


@struct.dataclass
class HyperParameters:
    """Numbers that steer training and never compile anew; all scalars.

    In a population of runs that train as one program, every leaf has a leading axis of members.

    Attributes:
        weights: of the loss terms.
        learning_rate: the optimizer's peak.
        temperature: of the distillation of class predictions.
        dropout: in place of the network's own rate; None leaves that, which is then a constant of
            the program, and the faster choice where it is 0.
    """

    weights: LossWeights
    learning_rate: jax.Array
    temperature: jax.Array
    dropout: jax.Array | None = None
