"""A data set in memory: named splits of padded features, validity masks, labels and ids."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Utterances that are used together.

    Attributes:
        ids: str [n], unique.
        features: float32 [n, t_m, f_m] per modality, finite; zero where not valid.
        valid: bool [n, t_m] per modality; False is padding or a frame the sample never had.
        labels: float32 [n], or [n, e] for e tasks, finite; see `fsrf_jax.data.labels`.
        groups: str [n], the speaker, video or person of each utterance; None if unknown.
    """

    ids: np.ndarray
    features: Mapping[str, np.ndarray]
    valid: Mapping[str, np.ndarray]
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.ids)

    def head(self, count: int) -> "Split":
        """The first `count` utterances."""
        return Split(
            ids=self.ids[:count],
            features={m: x[:count] for m, x in self.features.items()},
            valid={m: v[:count] for m, v in self.valid.items()},
            labels=self.labels[:count],
            groups=None if self.groups is None else self.groups[:count],
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the config."""
        return tuple(self.features)


@dataclass(frozen=True)
class Dataset:
    """Splits by name; `train`, `valid` and `test` once the data set is ready for an experiment.

    Attributes:
        splits: the splits, all with the same modalities and feature widths.
        notes: one line for each thing the reader cleaned or assumed, to be shown to the user.
        classes: names of the classes in the order of their numbers; empty if they have none.
    """

    splits: Mapping[str, Split]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
