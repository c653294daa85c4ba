"""Arrays that stay in their file: what is read, and when."""

import dataclasses

import numpy as np
import pytest
from lazy_case import assert_same, lazy, staying

from fsrf_jax.data import lazy as module
from fsrf_jax.data import normalise
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.folds import fold_split
from fsrf_jax.errors import OutOfMemory

X = np.arange(7 * 3 * 2, dtype=np.float32).reshape(7, 3, 2)


@pytest.mark.parametrize(
    "rows",
    [3, -1, slice(2, 5), slice(None), [4, 0, 4], np.array([6, 2]), X[:, 0, 0] > 20, np.int64(1)],
)
def test_rows_are_those_of_the_array(rows):
    np.testing.assert_array_equal(lazy(X)[rows], X[rows])


def test_the_shape_is_known_and_only_what_is_asked_for_is_read():
    read = []
    x = lazy(X, read)
    assert (x.shape, x.dtype, x.ndim, len(x), x.nbytes) == (X.shape, X.dtype, 3, 7, X.nbytes)
    some = x.take([5, 1, 3]).map(lambda rows, index: rows + index[:, None, None], (3, 2), "f4")
    assert read == []
    np.testing.assert_array_equal(some[1:], X[[1, 3]] + np.array([1, 2])[:, None, None])
    assert read == [2]


def test_all_of_it_is_read_in_pieces(monkeypatch):
    monkeypatch.setattr(module.pieces, "__defaults__", (3,))
    read = []
    np.testing.assert_array_equal(np.asarray(lazy(X, read)), X)
    assert read == [3, 3, 1]
    assert np.asarray(lazy(X), np.float64).dtype == np.float64


def test_what_is_larger_than_the_memory_is_not_read():
    huge = module.Lazy((10**9, 10**3, 10**3), np.float32, lambda index: X)
    with pytest.raises(OutOfMemory, match=r"reading it needs 4000.0 TB of memory, found "):
        np.asarray(huge)


def split(n, t, seed, groups=None):
    rng = np.random.default_rng(seed)
    valid = {m: rng.random((n, t)) < 0.7 for m in ("a", "b")}
    features = {
        m: rng.normal(3, 2, (n, t, 2)).astype("f4") * v[..., None] for m, v in valid.items()
    }
    ids = np.array([f"{seed}-{i}" for i in range(n)])
    return Split(ids, features, valid, rng.normal(size=n).astype("f4"), groups)


def test_folds_of_splits_that_stay():
    """Of three splits with two lengths; only what is asked for is read."""
    splits = {"train": split(9, 4, 0), "valid": split(6, 3, 1), "test": split(7, 4, 2)}
    read = []
    asked = {"folds": 3, "fold": 1, "pooled": ("valid", "test"), "seed": 5}
    expected = fold_split(Dataset(splits), **asked)
    found = fold_split(Dataset({n: staying(s, read) for n, s in splits.items()}), **asked)
    assert read == []
    assert not found.splits["train"].in_memory
    for name, part in expected.splits.items():
        assert_same(found.splits[name], part)
    assert found.notes == expected.notes


def test_digests_follow_their_rows():
    digests = np.arange(7 * 16, dtype=np.uint8).reshape(7, 16)
    x = module.Lazy(X.shape, X.dtype, X.__getitem__, digests)
    np.testing.assert_array_equal(x.take([6, 0]).digests, digests[[6, 0]])
    both = module.joined([x.take(slice(4, 7)), x.take(slice(2))])
    np.testing.assert_array_equal(both.digests, digests[[4, 5, 6, 0, 1]])
    assert module.joined([x, X]).digests is None


def test_normalised_in_parts_is_normalised_whole(monkeypatch):
    whole = split(11, 5, 3)
    fitted = normalise.fit(whole, 1.5)
    expected = fitted.apply(whole)
    monkeypatch.setattr(module.pieces, "__defaults__", (4,))
    read = []
    lazily = normalise.fit(staying(whole, read), 1.5)
    assert max(read) == 4
    for m in whole.modalities:
        np.testing.assert_allclose(lazily.mean[m], fitted.mean[m], rtol=1e-14)
        np.testing.assert_allclose(lazily.scale[m], fitted.scale[m], rtol=1e-6)
    scores = fitted.apply(staying(whole))
    assert_same(scores, expected)
    rows = np.array([9, 0, 4])
    assert_same(scores.take(rows), expected.take(rows))


def test_parts_of_a_split_are_in_memory():
    whole = split(7, 3, 4)
    for given in (whole, staying(whole)):
        parts = list(given.parts(3))
        assert [(part.start, len(of)) for part, of in parts] == [(0, 3), (3, 3), (6, 1)]
        assert all(of.in_memory for _, of in parts)
        for part, of in parts:
            assert_same(of, whole.take(part))


def test_a_split_with_one_modality_in_memory_is_not_in_memory():
    whole = split(3, 2, 5)
    mixed = dataclasses.replace(whole, features=whole.features | {"a": lazy(whole.features["a"])})
    assert whole.in_memory
    assert not mixed.in_memory
