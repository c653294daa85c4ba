"""The pickle schema of the MMSA tool kit: a dictionary of splits, each a dictionary of arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data import frames
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.names import hint, listed
from fsrf_jax.errors import DataError
from fsrf_jax.reading.pickles import read_pickle

_KEY_OF = {"language": "text"}
_NAME_OF = {key: name for name, key in _KEY_OF.items()}
_LABELS = "regression_labels"


def read(path: str | Path, modalities: tuple[str, ...]) -> Dataset:
    """Read an MMSA pickle.

    The key `text` is the modality `language`; every other array keeps its name. A frame is valid
    within `{key}_lengths`; in aligned files, which have none, within the number of tokens that the
    attention mask of `text_bert` counts; failing both, where any feature is not zero.

    Args:
        path: the file.
        modalities: names of the modalities to read.

    Returns:
        The splits as they stand in the file, not cleaned yet.

    Raises:
        DataError: the file is no such pickle, or lacks a modality or the labels.
    """
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds a {type(content).__name__}; expected a dictionary of splits, "
            "each a dictionary of arrays (the MMSA schema)"
        )
    tables = {
        str(name): keys
        for name, keys in content.items()
        if isinstance(keys, dict) and name not in ("config", "align")
    }
    if not tables:
        raise DataError(
            f"{path} has no split; expected a dictionary with train, valid and test, "
            f"found {listed(map(str, content))}"
        )
    notes: list[str] = []
    splits = {
        name: _split(f"{path}, split {name!r}", name, keys, modalities, notes)
        for name, keys in tables.items()
    }
    return Dataset(splits, tuple(dict.fromkeys(notes)))


def _split(
    where: str, name: str, keys: Mapping[str, Any], modalities: tuple[str, ...], notes: list[str]
) -> Split:
    features, valid = {}, {}
    for modality in modalities:
        key = _key(where, keys, modality)
        features[modality] = frames.as_sequences(keys[key], f"{where}: {key!r}")
        valid[modality] = _valid(f"{name} {modality}", key, features[modality], keys, notes)
    if _LABELS not in keys:
        raise DataError(f"{where}: no labels; expected {_LABELS!r}, found {listed(keys)}")
    labels = frames.as_numbers(keys[_LABELS], f"{where}: {_LABELS!r}")
    return Split(_ids(name, keys, len(labels)), features, valid, labels)


def _key(where: str, keys: Mapping[str, Any], modality: str) -> str:
    key = _KEY_OF.get(modality, modality)
    if key in keys and modality not in _NAME_OF:
        return key
    found = [
        _NAME_OF.get(other, other)
        for other, values in keys.items()
        if getattr(values, "ndim", 0) in (2, 3) and other != "text_bert"
    ]
    raise DataError(
        f"{where}: no modality {modality!r} (key {key!r}); "
        f"found {listed(found)}{hint(modality, found)}"
    )


def _valid(
    name: str, key: str, features: np.ndarray, keys: Mapping[str, Any], notes: list[str]
) -> np.ndarray:
    modality = name.split()[-1]
    rule, lengths = f"{key}_lengths", keys.get(f"{key}_lengths")
    if lengths is None:
        rule, lengths = "text_bert", _token_counts(keys, features.shape[:2], notes)
    if lengths is None:
        notes.append(f"{modality}: a frame is valid where any feature is not zero")
        return frames.filled(features)
    notes.append(f"{modality}: valid frames are counted by {rule!r}")
    valid, assumed = frames.within_lengths(features, lengths, name)
    notes.extend(assumed)
    return valid


def _token_counts(
    keys: Mapping[str, Any], shape: tuple[int, ...], notes: list[str]
) -> np.ndarray | None:
    """Tokens of every sample, [n], if `text_bert` [n, 3, t] has the wanted n and t; else None."""
    bert = np.asarray(keys.get("text_bert", ()))
    if bert.ndim != 3 or bert.shape != (shape[0], 3, shape[1]) or bert.dtype.kind not in "biuf":
        return None
    # The attention mask is in row 1; some files have it in row 2, behind the (zero) token types.
    for row in (1, 2):
        mask = bert[:, row]
        if np.isin(mask, (0, 1)).all() and (mask.sum(axis=1) > 0).all():
            if row == 2:
                notes.append("text_bert: the attention mask is in row 2, not in row 1")
            return mask.sum(axis=1)
    return None


def _ids(name: str, keys: Mapping[str, Any], n: int) -> np.ndarray:
    if "id" not in keys:
        return np.array([f"{name}/{index}" for index in range(n)])
    return frames.as_ids(keys["id"])
