"""Splits whose features stay where they are, and are counted when they are read."""

import dataclasses

import numpy as np

from fsrf_jax.data.lazy import Lazy


def lazy(x, read=None):
    """An array as a `Lazy`; `read` grows by how many rows are read."""

    def rows(index):
        if read is not None:
            read.append(len(index))
        return x[index]

    return Lazy(x.shape, x.dtype, rows)


def staying(split, read=None):
    """The split with features that stay where they are."""
    features = {m: lazy(x, read) for m, x in split.features.items()}
    return dataclasses.replace(split, features=features)


def assert_same(found, expected):
    """Two splits that hold the same, to the last bit."""
    pairs = [(found.ids, expected.ids), (found.labels, expected.labels)]
    assert found.modalities == expected.modalities
    for m in expected.modalities:
        for kind in ("features", "valid", "present"):
            pairs.append((getattr(found, kind)[m], getattr(expected, kind)[m]))
    for a, b in pairs:
        a = np.asarray(a)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
