"""Token ids: a modality whose frames are one whole number each, of which 0 is padding."""

import dataclasses

import numpy as np

from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.names import names_of
from fsrf_jax.errors import DataError

UNKNOWN = 1
"""The id of every token that training has not seen."""

LARGEST_ID = 2**20 - 1  # beyond all tokenizers; an embedding has a row for each id below
NARROWEST_STATE = 768  # word vectors, which know nothing of their neighbours, have 300


def to_ids(dataset: Dataset) -> tuple[Dataset, dict[str, int]]:
    """Token modalities as int32, and how many ids each has.

    They are counted by `train`, from 0 to its largest (by all splits where there is none). Larger
    ones stay as they are: an encoder takes them for `UNKNOWN`. Notes count them.

    Args:
        dataset: clean; `train` is what is trained on.

    Raises:
        DataError: a token id is not a whole number from 0 to `LARGEST_ID`.
    """
    splits, notes = dict(dataset.splits), list(dataset.notes)
    vocabulary: dict[str, int] = {}
    for m in dataset.tokens:
        ids = {name: as_ids(f"{name} {m}", split.features[m]) for name, split in splits.items()}
        known = [ids["train"]] if "train" in ids else ids.values()
        largest = max(int(x.max(initial=UNKNOWN)) for x in known)
        vocabulary[m] = largest + 1
        notes.append(f"{m}: token ids from 0 to {largest}, the largest of train")
        for name, split in splits.items():
            splits[name] = dataclasses.replace(split, features={**split.features, m: ids[name]})
            beyond, tokens = int((ids[name] > largest).sum()), int(split.valid[m].sum())
            if beyond:
                notes.append(
                    f"{name} {m}: {beyond} of {tokens} token ids are larger: all of them are "
                    f"taken for the unknown token, {UNKNOWN}"
                )
    return dataclasses.replace(dataset, splits=splits, notes=tuple(notes)), vocabulary


def as_ids(where: str, x: np.ndarray) -> np.ndarray:
    """Token ids as int32, or a DataError if a frame has other than one whole number."""
    wrong = (x < 0) | (x > LARGEST_ID) | (x != np.floor(x))
    if x.shape[2] != 1 or wrong.any():
        found = f"{x.shape[2]} numbers" if x.shape[2] != 1 else f"{x[wrong][0]:g}"
        raise DataError(
            f"{where}: found {found} in a frame of token ids; expected one whole number from 0 to "
            f"{LARGEST_ID}: number the tokens anew, or leave the modality out of data.modalities"
        )
    return x.astype(np.int32)


def with_note_on_states(dataset: Dataset) -> Dataset:
    """The data set, with a note where language looks like hidden states of a language model."""
    first = next(iter(dataset.splits.values()))
    notes = [
        f"{m}: {x.shape[2]} features a frame, as hidden states of a language model have; they have "
        "absorbed the words around them, so what a dropped frame held leaks from its neighbours "
        "(token ids do not leak, see docs/data.md)"
        for m, x in first.features.items()
        if m in names_of("language") and m not in dataset.tokens
        if x.shape[1] > 1 and x.shape[2] >= NARROWEST_STATE
    ]
    return dataclasses.replace(dataset, notes=tuple(dict.fromkeys([*dataset.notes, *notes])))
