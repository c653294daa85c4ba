"""What a reader found, split by split, to a data set that can be cleaned."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fsrf_jax.data import frames
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.names import SPLITS, hint, listed, split_names
from fsrf_jax.errors import DataError


@dataclass(frozen=True)
class Raw:
    """A split as a file has it.

    Attributes:
        labels: numbers [n], [n, 1, ..] or [n, e], or names of classes [n].
        features: numbers [n, t, f] or [n, f] per modality. One that is absent here but not in other
            splits is missing in every sample.
        lengths: per modality, what counts the frames, for a note (empty: nothing to note), and
            whole numbers [n]. Without them the valid frames are those from the first to the last
            one that is not all zero.
        ids: [n], or [n, k] of parts that are joined; None: the number in the split.
        groups: [n] or None, see `Split`.
        tokens: modalities that are token ids.
        aligned: whether modalities with as many frames each have the same ones, so that without
            lengths the first and the last frame are those of all modalities together.
    """

    labels: Any
    features: Mapping[str, Any]
    lengths: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    ids: Any = None
    groups: Any = None
    tokens: tuple[str, ...] = ()
    aligned: bool = False


def assemble(
    path: Any,
    names: Iterable[str],
    read: Callable[[str], Raw],
    modalities: Sequence[str],
    notes: list[str] | None = None,
) -> Dataset:
    """Read every split and put them together.

    Splits get the names train, valid and test where the file calls them otherwise. An empty split
    is left out, and so is one that no experiment needs if it cannot be used; notes say so.

    Args:
        path: of the file, for messages.
        names: of the splits in the file.
        read: the name of a split in the file to what it holds.
        modalities: in the order wanted; each is in the features of at least one split.
        notes: what the reader assumes; `read` may add to it.

    Returns:
        The splits, not cleaned yet.

    Raises:
        DataError: a split that an experiment needs cannot be used.
    """
    found = [] if notes is None else notes
    raws: dict[str, Raw] = {}
    for name, new in split_names(names).items():
        if new != name:
            found.append(f"split {name!r} of the file is {new!r}")
        with optional(new, found):
            raw = read(name)
            labels = frames.as_labels(raw.labels, f"{path}, split {new!r}: the array of labels")
            if len(labels):
                raws[new] = dataclasses.replace(raw, labels=labels)
            else:
                found.append(f"split {new!r} has no samples: left out")
    sequences: dict[str, dict[str, np.ndarray]] = {}
    for name in list(raws):
        with optional(name, found):
            sequences[name] = {
                m: frames.as_sequences(values, f"{path}, split {name!r}: {m!r}")
                for m, values in raws[name].features.items()
            }
    absent = {m: _absent(m, sequences) for m in modalities}
    splits: dict[str, Split] = {}
    for name, features in sequences.items():
        with optional(name, found):
            splits[name] = to_split(name, raws[name], features, absent, found)
    tokens = tuple(m for m in modalities if any(m in raw.tokens for raw in raws.values()))
    return Dataset(splits, tuple(dict.fromkeys(found)), tokens=tokens)


@contextmanager
def optional(split: str, notes: list[str]) -> Iterator[None]:
    """A context that a split may fail in, with a note, unless experiments need it."""
    try:
        yield
    except DataError as error:
        if split in SPLITS:
            raise
        notes.append(f"split {split!r} is left out: {error}")


def _absent(modality: str, sequences: Mapping[str, Mapping[str, np.ndarray]]) -> tuple[int, int]:
    """Frames and features of a modality in a split that lacks it."""
    shapes = [of[modality].shape[1:] for of in sequences.values() if modality in of]
    return (max(t for t, _ in shapes), shapes[0][1]) if shapes else (1, 1)


def to_split(
    name: str,
    raw: Raw,
    given: Mapping[str, np.ndarray],
    absent: Mapping[str, tuple[int, int]],
    notes: list[str],
) -> Split:
    """A split as a file has it, with the frames that are valid; not cleaned.

    Args:
        name: of the split.
        raw: what the file has; its features are not looked at.
        given: these, as sequences [n, t, f].
        absent: frames and features of every modality, for those that are not given.
        notes: grows by what is assumed.

    Raises:
        DataError: the lengths do not fit.
    """
    n = len(raw.labels)
    features, valid = {}, {}
    together = raw.aligned and len({x.shape[1] for x in given.values()}) == 1
    real = {m: frames.filled(x) for m, x in given.items()}
    of_all = np.any(list(real.values()), axis=0) if together else None
    for m, shape in absent.items():
        x = features[m] = given.get(m, np.zeros((n, *shape), np.float32))
        rule, lengths = raw.lengths.get(m, ("", None))
        if lengths is None:
            own = real.get(m, np.zeros(x.shape[:2], bool))
            valid[m] = frames.span(own if of_all is None else of_all)
            valid[m] &= own.any(axis=1, keepdims=True)
            if m in given:
                those = " of all modalities" if together else ""
                notes.append(f"{m}: valid from the first to the last frame{those} that is not zero")
        else:
            if rule:
                notes.append(f"{m}: valid frames are counted by {rule!r}")
            valid[m], assumed = frames.within_lengths(x, lengths, f"{name} {m}")
            notes.extend(assumed)
    ids = [f"{name}/{i}" for i in range(n)] if raw.ids is None else raw.ids
    groups = None if raw.groups is None else frames.as_ids(raw.groups)
    return Split(frames.as_ids(ids), features, valid, raw.labels, groups)


class NoModality(DataError):
    """A file lacks a modality.

    Attributes:
        modality: which one.
        found: names of what the file has in its place.
    """

    def __init__(self, message: str, modality: str, found: tuple[str, ...]) -> None:
        super().__init__(message)
        self.modality, self.found = modality, found


def no_modality(where: Any, modality: str, found: Iterable[str]) -> NoModality:
    """The error for a modality that a file lacks."""
    names = list(dict.fromkeys(found))
    message = f"{where}: no modality {modality!r}; found {listed(names)}{hint(modality, names)}"
    return NoModality(message, modality, tuple(names))
