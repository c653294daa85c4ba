"""The pickles of MulT and of MultiBench, aligned or not: MOSI, MOSEI, IEMOCAP, UR-FUNNY, MUStARD.

There are no lengths; MulT pads at the front.
"""

from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import tables

_LABELS = ("labels", "label")


def recognises(path: Path) -> bool:
    """Whether the file is a pickle of splits with labels as MulT names them."""
    return tables.has_labels(path, _LABELS)


def read(
    path: Path, modalities: tuple[str, ...], labelled: bool = True, stays: bool = False
) -> Dataset:
    """Read a pickle of MulT or MultiBench.

    The key `text` is the modality `language`. A frame is valid where any feature is not zero.
    Labels [n, 1, 1] or [n, 1, e] lose the axis of length 1. Of IEMOCAP, [n, 4, 2] are four binary
    tasks (neutral, happy, sad, angry) as probabilities of no and yes.

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
    none = "", None
    return tables.read(path, modalities, _LABELS, _labels, lambda *_: none, labelled, stays)


def _labels(where: str, table: tables.Table, notes: list[str]) -> Any:
    labels = np.asarray(table[tables.label_key(where, table, _LABELS)])
    if labels.ndim == 3 and labels.shape[2] == 2 and (labels.sum(axis=2) == 1).all():
        notes.append(f"labels are {labels.shape[1]} binary tasks, each as (no, yes)")
        return labels.argmax(axis=2)
    if labels.ndim == 3 and labels.shape[1] == 1:
        return labels[:, 0]
    return labels
