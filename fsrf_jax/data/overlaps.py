"""What two splits share that they should not: ids, samples with the same features, groups."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.lazy import Lazy, pieces
from fsrf_jax.data.names import SPLITS
from fsrf_jax.errors import DataError

Key = TypeVar("Key", str, bytes)


@dataclass(frozen=True)
class Overlap:
    """What two splits share, or samples of one split.

    Attributes:
        kind: `id`, `features` or `group`.
        splits: the two splits; twice the same for features that occur in it more than once.
        count: how many samples of the second split (groups: how many groups).
        first: the id of the first one in each split, or the group.
    """

    kind: str
    splits: tuple[str, str]
    count: int
    first: tuple[str, str]

    @property
    def leaks(self) -> bool:
        """Whether a sample is in two splits of which one is to be kept from the other."""
        different = self.splits[0] != self.splits[1]
        return self.kind != "group" and different and set(self.splits) <= set(SPLITS)

    def __str__(self) -> str:
        one, other = self.splits
        first = " and ".join(map(repr, dict.fromkeys(self.first)))
        if self.kind == "group":
            return f"{self.count} groups of {one!r} are also in {other!r} (first: {first})"
        if one == other:
            return f"{one}: {self.count} samples repeat another's features (first: {first})"
        same = "an id" if self.kind == "id" else "the features"
        return f"{self.count} samples of {other!r} have {same} of {one!r} (first: {first})"


def find(dataset: Dataset) -> list[Overlap]:
    """Everything that splits share: equal ids, equal features, equal groups.

    Two samples have the same features if their valid frames are equal, in every modality. Samples
    without a value other than zero are not compared.

    Args:
        dataset: clean.
    """
    ids = {name: split.ids.tolist() for name, split in dataset.splits.items()}
    keys = {name: _keys(split) for name, split in dataset.splits.items()}
    found = [*_between("id", ids, ids), *_between("features", keys, ids)]
    for name, of_split in keys.items():
        first = _firsts(of_split)
        again = [i for i, key in enumerate(of_split) if key and first[key] != i]
        if again:
            pair = (ids[name][first[of_split[again[0]]]], ids[name][again[0]])
            found.append(Overlap("features", (name, name), len(again), pair))
    groups = {
        name: sorted(set(split.groups.tolist()))
        for name, split in dataset.splits.items()
        if split.groups is not None
    }
    return [*found, *_between("group", groups, groups)]


def check(found: Iterable[Overlap], allow: bool) -> list[str]:
    """A note for each overlap.

    Raises:
        DataError: a sample is in two of train, valid and test, and that is not allowed.
    """
    leaks = [overlap for overlap in found if overlap.leaks]
    if leaks and not allow:
        raise DataError(
            f"{'; '.join(map(str, leaks))}; expected no sample in two of {', '.join(SPLITS)}: "
            "remove these samples from one, or allow it by data.allow_duplicates true (prepare: "
            "--allow_duplicates)"
        )
    return [str(overlap) for overlap in found]


def _between(
    kind: str, keys: Mapping[str, Sequence[Key]], names: Mapping[str, Sequence[str]]
) -> list[Overlap]:
    """What is equal in two splits, of all pairs; an empty key is equal to none."""
    found = []
    for one, other in combinations(keys, 2):
        first = _firsts(keys[one])
        shared = [i for i, key in enumerate(keys[other]) if key and key in first]
        if shared:
            pair = (names[one][first[keys[other][shared[0]]]], names[other][shared[0]])
            found.append(Overlap(kind, (one, other), len(shared), pair))
    return found


def _firsts(keys: Sequence[Key]) -> dict[Key, int]:
    """Where each key is first."""
    return {key: i for i, key in reversed(list(enumerate(keys)))}


def digests(x: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Digests of the valid frames of features [n, t, f], uint8 [n, 16]; -0 is 0."""
    found = np.zeros((len(x), 16), np.uint8)
    for i, (frames_tf, valid_t) in enumerate(zip(x, valid, strict=True)):
        frames = frames_tf[valid_t] + np.float32(0)
        key = hashlib.blake2b(f"{frames.shape}".encode() + frames.tobytes(), digest_size=16)
        found[i] = np.frombuffer(key.digest(), np.uint8)
    return found


def _keys(split: Split) -> list[bytes]:
    """What tells samples apart, of all modalities together; empty where all frames are zero."""
    keys = np.concatenate([_of_modality(x, split.valid[m]) for m, x in split.features.items()], 1)
    filled = np.any([present.any(axis=1) for present in split.present.values()], axis=0)
    return [key.tobytes() if some else b"" for key, some in zip(keys, filled, strict=True)]


def _of_modality(x: np.ndarray, valid: np.ndarray) -> np.ndarray:
    if isinstance(x, Lazy) and x.digests is not None:
        return x.digests  # of a store, which need not be read for them
    return np.concatenate([digests(x[rows], valid[rows]) for rows in pieces(x)])
