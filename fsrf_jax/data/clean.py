"""Turns what a file holds into the contract of `Split`: finite float32, zero where not valid."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np

from fsrf_jax.data.assemble import optional
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.frames import filled
from fsrf_jax.data.lazy import Lazy, as_array, pieces
from fsrf_jax.data.names import SPLITS, first_of, listed
from fsrf_jax.data.normalise import frames_of
from fsrf_jax.errors import DataError

BadValues = Literal["zero", "frame", "column"]
"""What becomes of a value that is NaN or infinite, as float32, in a frame that has others.

- zero: the mean of its column over the finite values of the training split, which is 0 after
  normalisation; of all splits where training has none, and 0 where no split has any;
- frame: its frame is made zero, and is missing;
- column: its column is left out, in all splits.

A frame without another value than these and zero is missing in any case.
"""


def clean(dataset: Dataset, bad_values: BadValues = "zero", *, stored: bool = False) -> Dataset:
    """Check a data set as read from a file, and clean it.

    Features that stay in their file are looked through here, and cleaned again whenever they are
    read.

    Bad values are mended by the rule; labels [n, 1] and [n, 1, 1] become [n], [n, e] stay; names of
    classes become numbers in sorted order. A frame inside a sequence that is all zero, or without
    data, is missing: valid, and not present. A split that no experiment needs is left out if it
    cannot be used. Notes count what was changed.

    Args:
        dataset: splits with features [n, t, f] or [n, f] and valid [n, t] of any numeric dtype.
        bad_values: see `BadValues`.
        stored: features are those of a store: they were cleaned before they were written, and are
            not looked at.

    Returns:
        A data set that keeps the contract of `Split`.

    Raises:
        DataError: shapes do not fit together, ids are not unique, a label is not finite, the
            widths of a modality or of the labels differ between splits, or no column is left.
    """
    if not dataset.splits:
        raise DataError("the data set has no split; expected train, valid and test")
    notes = list(dataset.notes)
    given, classes = _numbered(dataset.splits, notes)
    splits: dict[str, Split] = {}
    # Those that must be good come first: the others are compared with them.
    for name in sorted(given, key=lambda name: name not in SPLITS):
        with optional(name, notes):
            split = _clean_split(name, given[name], None if stored else bad_values, notes)
            for first in list(splits)[:1]:
                _check_widths(name, split, first, splits[first])
            splits[name] = split
    ordered = {name: splits[name] for name in given if name in splits}
    if not stored:
        ordered = _mend(ordered, bad_values, notes)
    return dataclasses.replace(
        dataset,
        splits=ordered,
        notes=tuple(dict.fromkeys(notes)),
        classes=classes or dataset.classes,
    )


def _numbered(
    splits: Mapping[str, Split], notes: list[str]
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits with class numbers where labels are names, and the names in that order."""
    named = {name: split for name, split in splits.items() if split.labels.dtype.kind == "U"}
    if not named:
        return dict(splits), ()
    for name, split in splits.items():
        empty = name not in named or (split.labels == "").any() or split.labels.ndim != 1
        if empty and name in SPLITS:
            raise DataError(
                f"split {name!r}: labels have shape {split.labels.shape} and dtype "
                f"{split.labels.dtype}; expected one number or one name of a class a sample, in "
                f"all splits the same; found {listed(map(str, np.unique(split.labels)[:5]))}"
            )
        if empty:
            notes.append(f"split {name!r} is left out: its labels are not all names of classes")
            named.pop(name, None)
    classes = np.unique(np.concatenate([split.labels for split in named.values()]))
    notes.append(
        "labels are names; in sorted order they are the classes "
        + ", ".join(f"{number} {name}" for number, name in enumerate(classes))
    )
    return {
        name: dataclasses.replace(split, labels=np.searchsorted(classes, split.labels))
        for name, split in named.items()
    }, tuple(map(str, classes))


def _clean_split(name: str, split: Split, bad_values: BadValues | None, notes: list[str]) -> Split:
    labels = _labels(name, split.labels)
    ids = np.asarray(split.ids, dtype=np.str_)
    _check_ids(name, ids, labels)
    groups = split.groups
    if groups is None and all("$_$" in i for i in ids):  # video$_$clip, or video$_$start$_$end
        groups = np.array([i.partition("$_$")[0] for i in ids])
        notes.append("groups of samples are the videos that their ids name")
    if groups is not None and len(groups) != len(ids):
        raise DataError(
            f"split {name!r}: {len(groups)} groups, {len(ids)} ids; expected one group an id"
        )
    finite = np.isfinite(labels).all(axis=tuple(range(1, labels.ndim)))
    if not finite.all():
        raise DataError(
            f"split {name!r}: {int((~finite).sum())} of {len(labels)} labels are NaN or infinite "
            f"(first: {labels[~finite][0]} of {str(ids[~finite][0])!r}); remove these samples or "
            "mend their labels"
        )
    features, valid, present = {}, {}, {}
    for m in split.features:
        where = f"{name} {m}"
        x, valid[m] = _fitting(where, split.features[m], split.valid[m], labels)
        if bad_values is None:
            features[m], present[m] = x, split.present[m]
        else:
            features[m], present[m] = _clean_features(where, x, valid[m], bad_values, notes)
        without = int((~present[m].any(axis=1)).sum())
        if without:
            notes.append(f"{name}: {without} of {len(ids)} samples have no {m}")
    return Split(ids, features, valid, labels, groups, present)


def _labels(name: str, labels: np.ndarray) -> np.ndarray:
    array = np.asarray(labels)
    if array.ndim > 1 and array.size == len(array):
        array = array.reshape(-1)
    if array.ndim not in (1, 2) or 0 in array.shape[1:] or array.dtype.kind not in "biuf":
        raise DataError(
            f"split {name!r}: labels have shape {array.shape} and dtype {array.dtype}; "
            "expected one number a sample, [n], or one a task, [n, tasks]"
        )
    if not len(array):
        raise DataError(f"split {name!r} has no samples; remove the split or fill it")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _check_ids(name: str, ids: np.ndarray, labels: np.ndarray) -> None:
    if ids.shape != labels.shape[:1]:
        raise DataError(
            f"split {name!r}: ids have shape {ids.shape}, labels {labels.shape}; "
            "expected one id a label"
        )
    twice = [key for key, count in Counter(ids.tolist()).items() if count > 1]
    if twice:
        raise DataError(
            f"split {name!r}: {len(twice)} ids occur more than once (first: {twice[0]!r}); "
            "expected one id a sample, so rename or remove the repeated ones"
        )


def _fitting(
    where: str, features: np.ndarray, valid: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x, v = features if isinstance(features, Lazy) else np.asarray(features), np.asarray(valid)
    if x.ndim == 2:
        x = x[:, None, :]
    if x.ndim != 3 or x.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: features have shape {x.shape} and dtype {x.dtype}; "
            "expected numbers [samples, frames, features]"
        )
    if len(x) != len(labels):
        raise DataError(
            f"{where}: features have shape {x.shape}, labels {labels.shape}; "
            "expected the same number of samples"
        )
    if v.shape != x.shape[:2]:
        raise DataError(
            f"{where}: valid has shape {v.shape}, features {x.shape}; expected {x.shape[:2]}"
        )
    return x, v.astype(bool)


def _clean_features(
    where: str, features: np.ndarray, valid: np.ndarray, bad_values: BadValues, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Features as float32, with bad values only in frames that have others, and what is present."""
    dropped, present = np.zeros_like(valid), np.zeros_like(valid)
    of_column = np.zeros(features.shape[2], np.int64)

    def kept(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return _without(_narrowed(x), valid[rows], dropped[rows])

    clean = np.empty(0) if isinstance(features, Lazy) else np.empty(features.shape, np.float32)
    for rows in pieces(features):
        x = _narrowed(features[rows])
        bad = ~np.isfinite(x) & valid[rows][:, :, None]
        of_column += bad.sum(axis=(0, 1))
        dropped[rows] = bad.any(axis=-1)
        if bad_values != "frame":
            dropped[rows] &= (bad | (x == 0)).all(axis=-1)
        x = _without(x, valid[rows], dropped[rows])
        present[rows] = valid[rows] & filled(x)
        if len(clean):
            clean[rows] = x
    if isinstance(features, Lazy):
        clean = as_array(features.map(kept, features.shape[1:], np.float32))
    if of_column.any():
        columns = np.flatnonzero(of_column)
        shares = of_column[columns] / valid.sum()
        named = [f"{c} ({100 * share:.3g} %)" for c, share in zip(columns, shares, strict=True)]
        notes.append(
            f"{where}: {int(of_column.sum())} values are NaN or infinite, in {len(columns)} of "
            f"{features.shape[2]} columns (share of the frames): {first_of(named)}"
        )
    if dropped.any():
        what = "with any" if bad_values == "frame" else "with no other value"
        notes.append(f"{where}: the {int(dropped.sum())} frames {what} are missing")
    gaps = int((valid & ~present & ~dropped).sum())
    if gaps:
        notes.append(
            f"{where}: {gaps} of {int(valid.sum())} frames inside the sequences are all zero; they "
            "are missing"
        )
    return clean, present


def _narrowed(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(np.float32)  # a copy


def _without(x: np.ndarray, valid: np.ndarray, dropped: np.ndarray) -> np.ndarray:
    x[~valid | dropped] = 0
    return x


def _mend(splits: Mapping[str, Split], bad_values: BadValues, notes: list[str]) -> dict[str, Split]:
    """The splits without the bad values that are left."""
    mended = dict(splits)
    for m in next(iter(splits.values())).modalities if splits else ():
        columns = np.any([_bad_columns(split.features[m]) for split in splits.values()], axis=0)
        if not columns.any():
            continue
        if bad_values == "zero":
            means = _means(splits, m)
            notes.append(f"{m}: the training mean of its column stands for each of these values")
            change, width = partial(_filled_in, means), len(columns)
        elif columns.all():
            raise DataError(
                f"{m}: every column has values that are NaN or infinite; expected one without, so "
                "give data.bad_values zero or frame"
            )
        else:
            out = np.flatnonzero(columns)
            notes.append(f"{m}: {len(out)} columns are left out of all splits: {first_of(out)}")
            change, width = partial(_chosen, ~columns), int((~columns).sum())
        for name, split in mended.items():
            x = _changed(split.features[m], change, width)
            mended[name] = dataclasses.replace(
                split,
                features={**split.features, m: x},
                present={**split.present, m: split.valid[m] & filled(x)},
            )
    return mended


def _bad_columns(x: np.ndarray) -> np.ndarray:
    bad = [(~np.isfinite(x[rows])).any(axis=(0, 1)) for rows in pieces(x)]
    return np.any(bad, axis=0)


def _filled_in(means: np.ndarray, x: np.ndarray) -> np.ndarray:
    np.copyto(x, means, where=~np.isfinite(x))
    return x


def _chosen(columns: np.ndarray, x: np.ndarray) -> np.ndarray:
    return x[:, :, columns]


def _changed(x: np.ndarray, change: Callable[[np.ndarray], np.ndarray], width: int) -> np.ndarray:
    """What `change` makes of features: of those in memory in place, where the width is the same."""
    if isinstance(x, Lazy):
        return as_array(x.map(lambda rows, _: change(rows), (x.shape[1], width), x.dtype))
    if width != x.shape[2]:
        return change(x)
    for rows in pieces(x):
        change(x[rows])
    return x


def _means(splits: Mapping[str, Split], m: str) -> np.ndarray:
    """What bad values of each column become, [f]: see `BadValues`."""
    width = next(iter(splits.values())).features[m].shape[2]
    means = np.zeros(width)
    for names in (list(splits), [name for name in splits if name == "train"]):
        total, count = np.zeros(width), np.zeros(width)
        for split in (splits[name] for name in names):
            for frames in frames_of(split.features[m], split.present[m]):
                finite = np.isfinite(frames)
                total += frames.sum(axis=0, where=finite)
                count += finite.sum(axis=0)
        means = np.where(count > 0, total / np.maximum(count, 1), means)
    return means.astype(np.float32)


def _check_widths(name: str, split: Split, first_name: str, first: Split) -> None:
    if split.labels.shape[1:] != first.labels.shape[1:]:
        raise DataError(
            f"split {first_name!r}: labels have shape {first.labels.shape}, in split {name!r} "
            f"{split.labels.shape}; expected [n], or [n, tasks] with the same tasks, in all"
        )
    if split.modalities != first.modalities:
        raise DataError(
            f"split {name!r} has the modalities {split.modalities}, split {first_name!r} "
            f"{first.modalities}; expected the same"
        )
    for modality in first.modalities:
        shape, other = split.features[modality].shape, first.features[modality].shape
        if shape[2] != other[2]:
            raise DataError(
                f"{modality} has shape {shape} in split {name!r} and {other} in split "
                f"{first_name!r}; expected the same number of features"
            )
