"""What two splits share that they should not: ids, samples with the same features, groups."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.names import SPLITS
from fsrf_jax.errors import DataError


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
    keys = {name: _digests(split) for name, split in dataset.splits.items()}
    found = [*_between("id", ids, ids), *_between("features", keys, ids)]
    for name, digests in keys.items():
        first = _firsts(digests)
        again = [i for i, key in enumerate(digests) if key and first[key] != i]
        if again:
            pair = (ids[name][first[digests[again[0]]]], ids[name][again[0]])
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
    kind: str, keys: Mapping[str, Sequence[str]], names: Mapping[str, Sequence[str]]
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


def _firsts(keys: Sequence[str]) -> dict[str, int]:
    """Where each key is first."""
    return {key: i for i, key in reversed(list(enumerate(keys)))}


def _digests(split: Split) -> list[str]:
    """A digest of the valid frames of every sample; empty where all are zero."""
    found = []
    for i in range(len(split)):
        digest, empty = hashlib.blake2b(digest_size=16), True
        for m in split.modalities:
            frames = split.features[m][i][split.valid[m][i]] + np.float32(0)  # -0 is 0
            empty = empty and not frames.any()
            digest.update(f"{m}{frames.shape}".encode() + frames.tobytes())
        found.append("" if empty else digest.hexdigest())
    return found
