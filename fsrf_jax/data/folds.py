"""Cross-validation: the samples of some splits dealt into folds."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.names import hint, listed
from fsrf_jax.errors import DataError


def fold_split(
    dataset: Dataset, *, folds: int, fold: int, pooled: tuple[str, ...], seed: int
) -> Dataset:
    """Train, valid and test of one fold.

    The samples of the pooled splits are dealt into folds by a permutation that depends on the seed
    and their number alone. Fold `fold` is `test`, the next one (cyclically) is `valid`; the rest,
    and the samples of the splits that are not pooled, are `train`.

    Args:
        dataset: a clean data set.
        folds: number of folds, at least 2.
        fold: from 0 to folds - 1.
        pooled: names of the splits to deal out, such as those whose samples are complete.
        seed: of the permutation.

    Returns:
        A data set with the splits `train`, `valid` and `test`; sequences are padded at the end to
        the longest of all splits, ids are those of the file.

    Raises:
        DataError: fold out of range, a split that does not exist, too few samples, or an id that
            occurs in two splits.
    """
    _check_request(dataset, folds, fold, pooled)
    together = _joined([dataset.splits[name] for name in pooled])
    if len(together) < folds:
        raise DataError(
            f"the splits {listed(pooled)} have {len(together)} samples, too few for {folds} folds; "
            "lower the number of folds or pool more splits"
        )
    fold_of = np.empty(len(together), np.int64)
    fold_of[np.random.Generator(np.random.PCG64(seed)).permutation(len(together))] = (
        np.arange(len(together)) % folds
    )
    valid_fold = (fold + 1) % folds
    others = [split for name, split in dataset.splits.items() if name not in pooled]
    both = _joined([together, *others])
    fold_of = np.concatenate([fold_of, np.full(len(both) - len(together), -1)])
    parts = {
        "train": both.take((fold_of != fold) & (fold_of != valid_fold)),
        "valid": both.take(fold_of == valid_fold),
        "test": both.take(fold_of == fold),
    }
    if not len(parts["train"]):
        raise DataError(
            f"with {folds} folds of all splits nothing is left to train on; use 3 folds or more"
        )
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    note = f"fold {fold} of {folds} over {listed(pooled)} (seed {seed}): {sizes}"
    return dataclasses.replace(dataset, splits=parts, notes=(*dataset.notes, note))


def _check_request(dataset: Dataset, folds: int, fold: int, pooled: tuple[str, ...]) -> None:
    if folds < 2 or not 0 <= fold < folds:
        raise DataError(
            f"fold {fold} of {folds}; expected 2 folds or more, and a fold from 0 to their "
            "number less one"
        )
    if not pooled or len(set(pooled)) < len(pooled):
        raise DataError(f"the splits to pool are {pooled}; expected one or more different names")
    for name in pooled:
        if name not in dataset.splits:
            raise DataError(
                f"no split {name!r} to pool; found {listed(dataset.splits)}"
                f"{hint(name, dataset.splits)}"
            )


def _joined(splits: Sequence[Split]) -> Split:
    ids = np.concatenate([split.ids for split in splits])
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise DataError(
            f"{int((counts > 1).sum())} ids occur in more than one split "
            f"(first: {str(unique[counts > 1][0])!r}); a sample must not be in training and test"
        )
    modalities = splits[0].modalities
    return Split(
        ids=ids,
        features={m: _stacked([split.features[m] for split in splits]) for m in modalities},
        valid={m: _stacked([split.valid[m] for split in splits]) for m in modalities},
        labels=np.concatenate([split.labels for split in splits]),
        present={m: _stacked([split.present[m] for split in splits]) for m in modalities},
        groups=_all_groups(splits),
    )


def _all_groups(splits: Sequence[Split]) -> np.ndarray | None:
    """The groups of all splits, one after the other; None unless all have them."""
    groups = [split.groups for split in splits if split.groups is not None]
    return np.concatenate(groups) if len(groups) == len(splits) else None


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays [n, t, ...] one after the other, padded at the end with zeros to the longest t."""
    longest = max(array.shape[1] for array in arrays)
    padded = [
        np.pad(array, [(0, 0), (0, longest - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
        for array in arrays
    ]
    return np.concatenate(padded)
