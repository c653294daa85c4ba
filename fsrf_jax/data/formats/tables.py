"""Pickles with a dictionary of splits, each a dictionary of arrays: what MMSA and MulT share."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data import frames
from fsrf_jax.data.assemble import Raw, assemble, no_modality
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.lazy import Lazy
from fsrf_jax.data.names import MODALITIES, key_of, listed, modality_of, names_of, not_read
from fsrf_jax.errors import DataError
from fsrf_jax.reading import signature
from fsrf_jax.reading.pickles import read_pickle
from fsrf_jax.reading.spans import Samples

Table = Mapping[str, Any]


def content(path: Path) -> Any:
    """What a pickle holds; not to be changed. The last one stays in memory until `forget`.

    Large arrays are `Samples`, which stay in the file.
    """
    status = path.stat()
    return _content(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _content(path: Path, *_: int) -> Any:
    return read_pickle(path, stays=True)


def forget() -> None:
    """Free the last pickle, which recognising and reading share."""
    _content.cache_clear()


def pickled(path: Path) -> Any:
    """What a file holds if it is a pickle, else None; a pickle may have no signature.

    Raises:
        DataError: it has the signature of a pickle, and cannot be read.
    """
    kind = signature.kind(path) if path.is_file() else "folder"
    if kind == "pickle":
        return content(path)
    try:
        return content(path) if kind == "unknown" else None
    except DataError:
        return None


def in_memory(value: Any) -> Any:
    """A value of a pickle; if it is an array that stayed in the file, all of it."""
    return np.asarray(value) if isinstance(value, Samples) else value


def label_key(where: str, table: Table, keys: tuple[str, ...]) -> str:
    """The first of the keys that the table has.

    Raises:
        DataError: it has none.
    """
    for key in keys:
        if key in table:
            return key
    raise DataError(f"{where}: no labels; expected {keys[0]!r}, found {listed(table)}")


def has_labels(path: Path, keys: tuple[str, ...]) -> bool:
    """Whether the file is such a pickle, with labels under one of these keys in some split."""
    found = pickled(path)
    parts = found.values() if isinstance(found, dict) else ()
    return any(isinstance(part, dict) and not part.keys().isdisjoint(keys) for part in parts)


def read(
    path: Path,
    modalities: tuple[str, ...],
    label_keys: tuple[str, ...],
    labels_of: Callable[[str, Table, list[str]], Any],
    lengths_of: Callable[[str, Table, list[str]], tuple[str, Any]],
    labelled: bool = True,
    stays: bool = False,
) -> Dataset:
    """Read the splits of a pickle.

    Args:
        path: the file.
        modalities: names of the modalities to read.
        label_keys: where labels may stand; a dictionary without any of them is no split.
        labels_of: messages' beginning, the table of a split and the notes to its labels.
        lengths_of: key, table and notes to the rule and the lengths, see `Raw`.
        labelled: False: labels are not looked for, and are 0.
        stays: large features stay in the file.

    Raises:
        DataError: the file is no such pickle, or lacks a modality or the labels.
    """
    parts = content(Path(path))
    if not isinstance(parts, dict):
        raise DataError(
            f"{path} holds a {type(parts).__name__}; expected a dictionary of splits, "
            "each a dictionary of arrays (the schema of MMSA or of MulT)"
        )
    wanted = {*label_keys, *(key for m in modalities for key in names_of(m)), "text_bert"}
    tables = {
        str(name): part
        for name, part in parts.items()
        if isinstance(part, dict) and not part.keys().isdisjoint(wanted)
    }
    if not tables:
        raise DataError(
            f"{path} has no split; expected a dictionary with train, valid and test, "
            f"found {listed(map(str, parts))}"
        )
    unread = [str(name) for name in parts if str(name) not in tables]
    notes = [f"not read: {listed(unread)}"] if unread else []
    keys = {key for table in tables.values() for key in table}
    notes += not_read([m for m in MODALITIES if key_of(m, keys)], modalities)

    if not labelled:
        for modality in modalities:
            if not any(_has(table, modality) for table in tables.values()):
                _values(str(path), next(iter(tables.values())), modality, notes)  # or an error

    def split(name: str) -> Raw:
        table, where = tables[name], f"{path}, split {name!r}"
        if labelled:
            found = in_memory(labels_of(where, table, notes))
            labels = frames.as_labels(found, f"{where}: the array of labels")
        else:
            own = [m for m in modalities if _has(table, m)]
            n = len(_values(where, table, own[0], [])[0]) if own else 0
            labels = np.zeros(n, np.float32)
        if not len(labels):
            return Raw(labels, {})
        features, lengths, tokens = {}, {}, []
        for modality in modalities:
            if not labelled and not _has(table, modality):
                continue  # it is in another split
            values, key = _values(where, table, modality, notes)
            if key is None:
                tokens.append(modality)
                notes.append(f"{modality}: frames are token ids")
            else:
                lengths[modality] = lengths_of(key, table, notes)
            if stays and isinstance(values, Samples):
                values = Lazy(values.shape, values.dtype, values)
            features[modality] = in_memory(values)
        return Raw(labels, features, lengths, table.get("id"), tokens=tuple(tokens), aligned=True)

    return assemble(path, tables, split, modalities, notes)


def attention_mask(bert: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """The attention mask of `text_bert` [n, 3, t], bool [n, t]; None where there is none.

    It is in row 1; some files have it in row 2, behind the (zero) segments.
    """
    if bert.dtype.kind not in "biuf":
        return None
    # It is the row that is 1 exactly where ids are not 0, if padding has the id 0.
    exact = [row for row in (1, 2) if (bert[:, row] == (bert[:, 0] != 0)).all()]
    usable = [
        row
        for row in (1, 2)
        if np.isin(bert[:, row], (0, 1)).all() and bert[:, row].any(axis=1).all()
    ]
    for row in (*exact, *usable):
        if row == 2:
            notes.append("text_bert: the attention mask is in row 2, not in row 1")
        return bert[:, row] == 1
    return None


def _has(table: Table, modality: str) -> bool:
    key = key_of(modality, table)
    return key is not None or (modality == "language" and "text_bert" in table)


def _values(where: str, table: Table, modality: str, notes: list[str]) -> tuple[Any, str | None]:
    """The features of a modality and their key, or token ids [n, t, 1] and None."""
    key = key_of(modality, table)
    if key == "text_bert" or (key is None and modality == "language"):
        bert = np.asarray(table.get("text_bert", ()))
        if bert.ndim == 3 and bert.shape[1] == 3:
            mask = attention_mask(bert, notes)
            ids = bert[:, 0] if mask is None else np.where(mask, bert[:, 0], 0)
            return ids[:, :, None], None
    if key is None:
        found = (
            modality_of(other)
            for other, values in table.items()
            if getattr(values, "ndim", 0) in (2, 3) and other != "id" and "label" not in other
        )
        raise no_modality(where, modality, found)
    values = table[key]
    if key == "text" and getattr(values, "ndim", 0) == 2 and values.dtype.kind in "iu":
        return values[:, :, None], None
    return values, key
