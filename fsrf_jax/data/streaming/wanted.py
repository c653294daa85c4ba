"""What is wanted of data that are predicted, and whether they have it."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fsrf_jax.data.assemble import NoModality, no_modality
from fsrf_jax.data.names import key_of, listed, names_of
from fsrf_jax.errors import DataError


class Unread(NamedTuple):
    """A sample that could not be read, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What is to be read.

    Attributes:
        widths: number of features of every modality that the network knows.
        modalities: those of them that are looked for; the others are missing.
        tokens: modalities that are token ids.
        rows: samples at a time.
        splits: names of those to be read; empty: all.
        strict: a modality that is not there is an error where the data have features of another
            name, which may be the same ones.
    """

    widths: Mapping[str, int]
    modalities: tuple[str, ...]
    tokens: Container[str] = ()
    rows: int = 512
    splits: tuple[str, ...] = ()
    strict: bool = True

    @property
    def names(self) -> set[str]:
        """All names that files have for the modalities."""
        return {name for m in self.widths for name in names_of(m)}

    def chosen(self, where: Any, found: Iterable[str]) -> dict[str, str]:
        """Which of these names each modality has, of those that are there.

        Raises:
            NoModality: there is none, or one may be there under another name.
        """
        names = list(found)
        chosen = {m: key for m in self.modalities if (key := key_of(m, names)) is not None}
        features = [name for name in names if not _is_no_feature(name)]
        for m in self.modalities:
            if m not in chosen:
                self.check_lack(no_modality(where, m, features))
        if not chosen:
            raise no_modality(where, self.modalities[0], features)
        return chosen

    def check_lack(self, error: NoModality) -> None:
        """Raise the error if what lacks may be there under another name."""
        strange = [n for n in error.found if n not in self.names and not _is_no_feature(n)]
        if self.strict and strange:
            left = ",".join(m for m in self.modalities if m != error.modality)
            raise NoModality(
                f"{error}: rename {listed(strange)}, or say which modalities there are: "
                f"--modalities '[{left}]'",
                error.modality,
                error.found,
            )

    def check_splits(self, where: Any, found: Iterable[str]) -> None:
        """Raise DataError unless there are all splits that are to be read."""
        names = list(dict.fromkeys(found))
        for name in self.splits:
            if name not in names:
                known = listed(names) if any(names) else "samples without splits"
                raise DataError(f"{where}: no split {name!r}; found {known}")

    def check_widths(self, where: Any, features: Mapping[str, np.ndarray]) -> None:
        """Raise DataError unless there are as many features as in training."""
        for m, x in features.items():
            found = x.shape[-1] if x.ndim > 1 else 1
            if found != self.widths[m]:
                raise DataError(
                    f"{where}: {m} has {found} features, the training data had {self.widths[m]}: "
                    "give data with the same feature extraction"
                )


def _is_no_feature(name: str) -> bool:
    """Whether it is the name of labels, ids and the like, or of the token ids beside the text."""
    ends = ("_labels", "_label", "_lengths", "_id", "_group")
    others = ("label", "labels", "id", "ids", "group", "split", "text_bert")
    return name.endswith(ends) or name in others
