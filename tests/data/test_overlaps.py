"""Samples and groups that splits share."""

import dataclasses

import numpy as np
import pytest

from fsrf_jax.data import overlaps
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.frames import filled
from fsrf_jax.data.overlaps import Overlap
from fsrf_jax.errors import DataError


def split(name, n=4, groups=None):
    """Samples unlike all others; the second modality has one frame of padding in front."""
    rng = np.random.default_rng(sum(map(ord, name)))
    features = {"a": rng.normal(size=(n, 3, 2)), "b": rng.normal(size=(n, 2, 2))}
    valid = {m: np.ones(x.shape[:2], bool) for m, x in features.items()}
    valid["b"][:, 0] = False
    features = {m: np.where(valid[m][..., None], x, 0).astype("f4") for m, x in features.items()}
    ids = np.array([f"{name}{i}" for i in range(n)])
    return Split(ids, features, valid, np.zeros(n), None if groups is None else np.array(groups))


def copied(one, i, other, j, modalities=("a", "b")):
    """The second split with the features of a sample of the first one."""
    for m in modalities:
        other.features[m][j], other.valid[m][j] = one.features[m][i], one.valid[m][i]
    return other


def as_cleaned(split):
    """The split with its gaps known."""
    present = {m: v & filled(split.features[m]) for m, v in split.valid.items()}
    return dataclasses.replace(split, present=present)


def found(**splits):
    return overlaps.find(Dataset(splits))


def test_nothing_is_shared():
    assert found(train=split("train"), valid=split("valid"), test=split("test")) == []


def test_equal_ids():
    train, test = split("train"), split("test")
    test = dataclasses.replace(test, ids=np.array(["x", "train3", "train0", "y"]))
    pair = Overlap("id", ("train", "test"), 2, ("train3", "train3"))
    assert found(train=train, test=test) == [pair]
    assert pair.leaks
    assert str(pair) == "2 samples of 'test' have an id of 'train' (first: 'train3')"


def test_equal_features_wherever_the_padding_is():
    train, test = split("train"), split("test")
    copied(train, 2, test, 1)
    test.features["b"][1], test.valid["b"][1] = test.features["b"][1, ::-1], [True, False]
    pair = Overlap("features", ("train", "test"), 1, ("train2", "test1"))
    assert found(train=train, test=test) == [pair]
    assert (
        str(pair)
        == "1 samples of 'test' have the features of 'train' (first: 'train2' and 'test1')"
    )


def test_one_modality_alone_may_be_equal():
    train = split("train")
    assert found(train=train, test=copied(train, 0, split("test"), 0, "a")) == []


def test_empty_samples_are_not_compared():
    train, test = split("train"), split("test")
    for empty in (train, test):
        empty.valid["a"][0] = False
        for m in ("a", "b"):
            empty.features[m][0] = 0
    assert found(train=as_cleaned(train), test=as_cleaned(test)) == []


def test_repetition_within_a_split_is_no_leak():
    train = split("train")
    for j in (1, 3):
        copied(train, 0, train, j)
    (pair,) = found(train=train)
    assert pair == Overlap("features", ("train", "train"), 2, ("train0", "train1"))
    assert overlaps.check([pair], allow=False) == [
        "train: 2 samples repeat another's features (first: 'train0' and 'train1')"
    ]


def test_groups_are_counted_once_and_are_no_leak():
    train, test = split("train", groups=list("abba")), split("test", groups=list("bbca"))
    (pair,) = found(train=train, valid=split("valid"), test=test)
    assert pair == Overlap("group", ("train", "test"), 2, ("a", "a"))
    assert overlaps.check([pair], allow=False) == [
        "2 groups of 'train' are also in 'test' (first: 'a')"
    ]


def test_a_leak_is_an_error_unless_allowed():
    train = split("train")
    valid, extra = copied(train, 0, split("valid"), 0), copied(train, 1, split("extra"), 1)
    pairs = found(train=train, valid=valid, extra=extra)
    assert [pair.leaks for pair in pairs] == [True, False]  # nobody is tested on the extra split
    with pytest.raises(DataError, match=r"^1 samples of 'valid' .*; expected .*allow_duplicates"):
        overlaps.check(pairs, allow=False)
    assert overlaps.check(pairs, allow=True) == [str(pair) for pair in pairs]
