"""Samples dealt into folds, or a validation split out of the training split; groups stay whole."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.lazy import Lazy, joined
from fsrf_jax.data.names import hint, listed
from fsrf_jax.errors import DataError


def fold_split(
    dataset: Dataset,
    *,
    folds: int,
    fold: int,
    pooled: tuple[str, ...],
    seed: int,
    allow_test: bool = True,
) -> Dataset:
    """Train, valid and test of one fold.

    The samples of the pooled splits are dealt into folds: by groups where there are some, see
    `deal`, else by a permutation that depends on the seed and their number alone. Fold `fold` is
    `test`, the next one (cyclically) is `valid`; the rest, and the samples of the splits that are
    not pooled, are `train`, without those whose group is in another part.

    Args:
        dataset: a clean data set.
        folds: number of folds, at least 2.
        fold: from 0 to folds - 1.
        pooled: names of the splits to deal out, such as those whose samples are complete.
        seed: of the dealing.
        allow_test: let samples of a split called test be trained on.

    Returns:
        A data set with the splits `train`, `valid` and `test`; sequences are padded at the end to
        the longest of all splits, ids are those of the file.

    Raises:
        DataError: fold out of range, a split that does not exist, too few samples, an id that
            occurs in two splits, or a test split that would be trained on.
    """
    _check_request(dataset, folds, fold, pooled)
    together = _joined([dataset.splits[name] for name in pooled])
    if len(together) < folds:
        raise DataError(
            f"the splits {listed(pooled)} have {len(together)} samples, too few for {folds} folds; "
            "lower the number of folds or pool more splits"
        )
    if "test" in dataset.splits and not allow_test:
        raise DataError(
            f"with data.folds {folds} samples of the split 'test' would be trained on; give "
            "--data.allow_pooled_test true if that is meant"
        )
    fold_of = _folds_of(together, folds, seed)
    valid_fold = (fold + 1) % folds
    others = [split for name, split in dataset.splits.items() if name not in pooled]
    both = _joined([together, *others])
    fold_of = np.concatenate([fold_of, np.full(len(both) - len(together), -1)])
    held = np.isin(fold_of, (fold, valid_fold))
    if both.groups is not None:
        stays = ~np.isin(both.groups, both.groups[held])
        left_out = int((~held & ~stays).sum())
    else:
        stays, left_out = ~held, 0
    parts = {
        "train": both.take(~held & stays),
        "valid": both.take(fold_of == valid_fold),
        "test": both.take(fold_of == fold),
    }
    if not len(parts["train"]):
        raise DataError(
            f"with {folds} folds of all splits nothing is left to train on; use 3 folds or more"
        )
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    note = f"fold {fold} of {folds} over {listed(pooled)} (seed {seed}): {sizes}"
    if both.groups is not None:
        counts = ", ".join(f"{k} {len(np.unique(np.asarray(p.groups)))}" for k, p in parts.items())
        note += f"; groups: {counts}"
    if left_out:
        note += f"; {left_out} training samples are left out: their groups are in valid or test"
    return dataclasses.replace(dataset, splits=parts, notes=(*dataset.notes, note))


def _folds_of(split: Split, folds: int, seed: int) -> np.ndarray:
    """The fold of each sample; groups stay whole."""
    if split.groups is not None:
        return deal(split, [1 / folds] * folds, seed)
    # Not as `deal` does it: which sample is in which fold must not depend on the labels here.
    fold_of = np.empty(len(split), np.int64)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(split))
    fold_of[order] = np.arange(len(split)) % folds
    return fold_of


def carve_valid(dataset: Dataset, share: float, seed: int) -> Dataset:
    """A validation split of a share of the training split, see `deal`.

    Raises:
        DataError: there is a validation split, or no training split, or too few to part.
    """
    if "valid" in dataset.splits or "train" not in dataset.splits:
        raise DataError(
            f"data.valid_share is {share:g}, to take a split 'valid' out of 'train'; found "
            f"{listed(dataset.splits)}: set it to 0, or name the splits otherwise"
        )
    train = dataset.splits["train"]
    part_of = deal(train, [1 - share, share], seed)
    parts = {"train": train.take(part_of == 0), "valid": train.take(part_of == 1)}
    if not all(map(len, parts.values())):
        raise DataError(
            f"data.valid_share {share:g} of {len(train)} training samples leaves a split empty; "
            "choose another share"
        )
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    note = f"valid is a share of train, {share:g} (seed {seed}): {sizes}"
    others = {name: split for name, split in dataset.splits.items() if name != "train"}
    return dataclasses.replace(dataset, splits=parts | others, notes=(*dataset.notes, note))


def deal(split: Split, shares: Sequence[float], seed: int) -> np.ndarray:
    """Deal groups into parts of about these shares of the samples and of each label tercile.

    The largest group first, groups of one size in the order of a seeded permutation, each into the
    part that it brings nearest to its share. A sample without a group is one of its own.

    Args:
        split: the samples; of several labels the first counts.
        shares: of the parts, p of them, which sum to 1.
        seed: of the permutation.

    Returns:
        The part of each sample, int [n], from 0 to p - 1.
    """
    _, group_n = np.unique(split.ids if split.groups is None else split.groups, return_inverse=True)
    first_n = split.labels.reshape(len(split), -1)[:, 0]
    tercile_n = np.searchsorted(np.quantile(first_n, (1 / 3, 2 / 3)), first_n)
    count_gs = np.zeros((group_n.max() + 1, 3))
    np.add.at(count_gs, (group_n, tercile_n), 1)
    short_ps = np.outer(shares, count_gs.sum(axis=0))
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(count_gs))
    part_g = np.empty(len(count_gs), np.int64)
    for g in order[np.argsort(-count_gs[order].sum(axis=1), kind="stable")]:
        # There the sum of squares of what all parts are short of falls most.
        part_g[g] = np.argmax(short_ps @ count_gs[g])
        short_ps[part_g[g]] -= count_gs[g]
    return part_g[group_n]


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
    if any(isinstance(array, Lazy) for array in arrays):
        return joined(arrays)
    longest = max(array.shape[1] for array in arrays)
    padded = [
        np.pad(array, [(0, 0), (0, longest - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
        for array in arrays
    ]
    return np.concatenate(padded)
