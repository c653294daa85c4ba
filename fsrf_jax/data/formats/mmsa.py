"""The pickles of the MMSA tool kit and its relatives: MOSI, MOSEI, SIMS, SIMS v2, MMSA-FET.

Aligned files have as many frames of every modality as tokens; unaligned ones have lengths.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import tables

_LABELS = ("regression_labels", "classification_labels")


def recognises(path: Path) -> bool:
    """Whether the file is a pickle of splits with labels as MMSA names them."""
    return tables.has_labels(path, _LABELS)


def read(
    path: Path, modalities: tuple[str, ...], labelled: bool = True, stays: bool = False
) -> Dataset:
    """Read an MMSA pickle.

    The key `text` is the modality `language`; where there is only `text_bert`, its token ids are.
    The modality `text_bert` is always these. A frame is valid within `{key}_lengths`; in aligned
    files, which have none, within the number of tokens that the attention mask of `text_bert`
    counts; failing both, where any feature is not zero. Labels are `regression_labels`, else
    `classification_labels`.

    Args:
        path: the file.
        modalities: names of the modalities to read.
        labelled: False: labels are not looked for, and are 0.
        stays: large features stay in the file.

    Returns:
        The splits as they stand in the file, not cleaned yet.

    Raises:
        DataError: the file is no such pickle, or lacks a modality or the labels.
    """
    return tables.read(path, modalities, _LABELS, _labels, _lengths, labelled, stays)


def _labels(where: str, table: tables.Table, notes: list[str]) -> Any:
    key = tables.label_key(where, table, _LABELS)
    if key != _LABELS[0]:
        notes.append(f"labels are {key!r}, since there are no {_LABELS[0]!r}")
    return table[key]


def _lengths(key: str, table: tables.Table, notes: list[str]) -> tuple[str, Any]:
    lengths = table.get(f"{key}_lengths")
    if lengths is not None:
        return f"{key}_lengths", lengths
    return "text_bert", _token_counts(table, np.shape(table[key])[:2], notes)


def _token_counts(table: tables.Table, shape: Sequence[int], notes: list[str]) -> np.ndarray | None:
    """Tokens of every sample, [n], if `text_bert` [n, 3, t] has the wanted n and t; else None."""
    bert = np.asarray(table.get("text_bert", ()))
    if bert.ndim != 3 or bert.shape != (shape[0], 3, shape[-1]):
        return None
    mask = tables.attention_mask(bert, notes)
    return None if mask is None else mask.sum(axis=1)
