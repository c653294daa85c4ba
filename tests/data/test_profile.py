"""Figures that the tests of the command do not reach; see tests/cli/test_prepare.py."""

import numpy as np

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.profile import profile, shape


def split(lengths, t=30):
    valid = np.arange(t) < np.array(lengths)[:, None]
    features = np.where(valid, 1, 0)[..., None].astype(np.float32)
    ids = np.array([str(i) for i in range(len(lengths))])
    return Split(ids, {"a": features}, {"a": valid}, np.arange(len(lengths)) / 7)


def test_outliers_are_three_interquartile_ranges_away():
    most = [10] * 2 + [11] * 3 + [12] * 7 + [13] * 3 + [14] * 2
    found = shape(split([*most, 5, 4, 19, 20, 0]), "a")
    assert found["lengths"] == [4, 11, 12, 13, 20]
    assert found["outliers"] == 2  # 4 and 20, not 5 and 19; 0 is none
    assert found["samples"] == 21


def test_a_split_without_a_modality():
    data = Dataset({"train": split([0, 0]), "test": split([2, 1])})
    found = profile(data, data)["splits"]
    train, test = (found[name]["modalities"]["a"] for name in ("train", "test"))
    assert (train["samples"], train["lengths"], train["padding"]) == (0, [], "none")
    assert train["constant"] == test["constant_in_train"] == {"count": 0, "first": []}
    assert (train["zero"], test["zero"], test["constant"]["first"]) == (0, 0, [0])
    assert test["padding"] == "back"


def test_token_ids_are_no_values():
    train = split([3, 2])
    train.features["a"][...] *= 20_000
    for tokens, count in (((), 1), (("a",), 0)):
        data = Dataset({"train": train}, tokens=tokens)
        found = profile(data, data)["splits"]["train"]["modalities"]["a"]
        assert found["large"]["count"] == found["constant"]["count"] == count
