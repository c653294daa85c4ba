"""A data set: named splits of padded features, validity masks, labels and ids."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fsrf_jax.data.lazy import Lazy, pieces, taken
from fsrf_jax.data.product import ProductPosterior

Masks = Mapping[str, np.ndarray]
"""Which frames are observed, or valid: bool [n, t] per modality."""

Oracle = Callable[[Masks], np.ndarray | ProductPosterior]
"""Observed masks of a split to the best possible predictions: [n], or [n, o] probabilities; or to
what is known of n numbers, where no one prediction is best by every metric."""


@dataclass(frozen=True)
class Split:
    """Utterances that are used together.

    Attributes:
        ids: str [n], unique.
        features: float32 [n, t_m, f_m] per modality, finite; zero where not present. Those of a
            store may stay in the file, see `fsrf_jax.data.lazy`; all else is in memory.
        valid: bool [n, t_m] per modality; whether a frame is inside the sequence, and no padding.
        present: bool [n, t_m] per modality; valid frames that have data. What lacks them inside a
            sequence is missing by nature. Without it every valid frame is present.
        labels: float32 [n], or [n, e] for e tasks, finite; see `fsrf_jax.data.labels`. A reader
            may give names of classes, str [n], of which `clean` makes numbers.
        groups: str [n], the speaker, video or person of each utterance; None if unknown.
    """

    ids: np.ndarray
    features: Mapping[str, np.ndarray]
    valid: Mapping[str, np.ndarray]
    labels: np.ndarray
    groups: np.ndarray | None = None
    present: Mapping[str, np.ndarray] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Without gaps every valid frame is present."""
        if self.present is None:
            object.__setattr__(self, "present", self.valid)

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.ids)

    def head(self, count: int) -> "Split":
        """The first `count` utterances."""
        return self.take(slice(count))

    def take(self, rows: np.ndarray | slice) -> "Split":
        """Some utterances: a mask, indices or a slice."""
        return dataclasses.replace(
            self,
            ids=self.ids[rows],
            features={m: taken(x, rows) for m, x in self.features.items()},
            valid={m: v[rows] for m, v in self.valid.items()},
            labels=self.labels[rows],
            present={m: p[rows] for m, p in self.present.items()},
            groups=None if self.groups is None else self.groups[rows],
        )

    @property
    def in_memory(self) -> bool:
        """Whether no features stay in a file."""
        return not any(isinstance(x, Lazy) for x in self.features.values())

    def parts(self, rows: int) -> Iterator[tuple[slice, "Split"]]:
        """So many utterances at a time, in memory, and which they are."""
        for part in pieces(self, rows):
            split = self.take(part)
            yield (
                part,
                dataclasses.replace(
                    split, features={m: np.asarray(x) for m, x in split.features.items()}
                ),
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
        tokens: modalities whose frames are token ids: one feature, a whole number; 0 is padding.
    """

    splits: Mapping[str, Split]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
