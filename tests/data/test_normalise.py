import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fsrf_jax.data.dataset import Split
from fsrf_jax.data.normalise import Normaliser, fit
from fsrf_jax.errors import DataError


def split(x, valid=None, name="audio"):
    x = np.asarray(x, np.float32)
    valid = np.ones(x.shape[:2], bool) if valid is None else valid
    return Split(np.arange(len(x)).astype(str), {name: x}, {name: valid}, np.zeros(len(x)))


def example(n=600, seed=0):
    rng = np.random.default_rng(seed)
    valid = rng.random((n, 3)) < 0.7
    x = (1000 + rng.normal(size=(n, 3, 4)) * [1, 2, 0, 1e-3]).astype(np.float32)
    return split(np.where(valid[..., None], x, 0), valid)


def test_statistics_are_those_of_the_valid_frames():
    data = example()
    fitted = fit(data, 10)
    frames = data.features["audio"][data.valid["audio"]].astype(np.float64)
    np.testing.assert_allclose(fitted.mean["audio"], frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        fitted.scale["audio"][[0, 1, 3]], frames.std(axis=0)[[0, 1, 3]], rtol=1e-6
    )
    assert fitted.scale["audio"][2] == 1
    assert fitted.scale["audio"].dtype == np.float32
    made = fitted.apply(data)
    scores = made.features["audio"][data.valid["audio"]]
    np.testing.assert_allclose(scores.mean(axis=0, dtype=np.float64), 0, atol=0.05)
    np.testing.assert_allclose(scores[:, :2].std(axis=0), 1, rtol=1e-3)
    assert not made.features["audio"][~data.valid["audio"]].any()
    assert made.features["audio"].dtype == np.float32
    np.testing.assert_array_equal(made.ids, data.ids)


def test_other_splits_use_the_training_statistics_and_are_clipped():
    fitted = fit(split([[[0.0]], [[2.0]]]), clip=3)
    made = fitted.apply(split([[[1.0], [100.0], [-100.0], [5.0]]], np.array([[1, 1, 1, 0]], bool)))
    assert made.features["audio"].ravel().tolist() == [0, 3, -3, 0]


@given(
    hnp.arrays(
        np.float32,
        st.tuples(*[st.integers(1, 4)] * 3),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_scores_are_finite_and_clipped_for_any_numbers(x):
    fitted = fit(split(x), clip=5)
    scores = fitted.apply(split(x)).features["audio"]
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() <= 5
    assert (fitted.scale["audio"] > 0).all()


@pytest.mark.parametrize("n", [1, 256, 600])
def test_an_offset_does_not_move_the_scores(n):
    """As float32 the mean 10000000.3 would be 10000000, a third of the deviation away."""
    x = np.tile(np.float32([1e7 - 1, 1e7, 1e7 + 2]), n).reshape(n, 3, 1)
    fitted = fit(split(x), clip=10)
    restored = Normaliser.from_tree(fitted.to_tree())
    exact = (np.float64([-1, 0, 2]) - 1 / 3) / np.sqrt(14 / 9)
    for normaliser in (fitted, restored):
        scores = normaliser.apply(split(x)).features["audio"]
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores[..., 0], np.tile(exact, (n, 1)), rtol=2e-7)


def test_it_travels_as_a_tree_of_arrays():
    fitted = fit(example(), clip=0.1)
    tree = fitted.to_tree()
    leaves = [leaf for name in ("mean", "mean_rest", "scale") for leaf in tree[name].values()]
    assert {leaf.dtype for leaf in (*leaves, tree["clip"])} == {np.dtype(np.float32)}
    restored = Normaliser.from_tree(tree)
    a, b = (n.apply(example(seed=1)).features["audio"] for n in (fitted, restored))
    np.testing.assert_array_equal(a, b)
    assert restored.clip == fitted.clip


def test_token_ids_stay_as_they_are():
    data = example()
    ids = np.arange(len(data) * 2, dtype=np.int32).reshape(-1, 2, 1)
    valid = {**data.valid, "language": ids[..., 0] != 0}
    data = dataclasses.replace(data, features={"language": ids, **data.features}, valid=valid)
    fitted = fit(data, 0.5)
    restored = Normaliser.from_tree(fitted.to_tree())
    assert set(fitted.mean) == set(Normaliser.shaped({"audio": 2}).mean) == {"audio"}
    made = restored.apply(data)
    assert made.modalities == data.modalities
    np.testing.assert_array_equal(made.features["language"], ids)
    assert made.features["language"].dtype == np.int32
    assert np.abs(made.features["audio"]).max() == 0.5
    numbers = dataclasses.replace(data, features={**data.features, "language": ids * 1.0})
    with pytest.raises(DataError, match="have the modalities language, audio, the training data"):
        fitted.apply(numbers)
    with pytest.raises(DataError, match="no training sample has modality language"):
        fit(dataclasses.replace(data, present={**valid, "language": ids[..., 0] < 0}), 5)


def test_errors_name_the_modality():
    absent = split(np.zeros((2, 3, 4)), np.zeros((2, 3), bool), "language")
    with pytest.raises(DataError, match=r"no training sample has modality language.*\(data.folds"):
        fit(absent, 5)
    with pytest.raises(DataError, match="clip is 0; expected a positive"):
        fit(example(), 0)
    fitted = fit(example(), 5)
    with pytest.raises(DataError, match="audio has 6 features, the training data had 4"):
        fitted.apply(split(np.ones((1, 1, 6))))
    with pytest.raises(DataError, match="modalities vision, the training data had audio"):
        fitted.apply(split(np.ones((1, 1, 4)), name="vision"))


def test_a_gap_has_no_part_in_the_statistics_and_stays_zero():
    x = np.array([[[2.0], [0.0], [4.0]]], np.float32)
    gappy = dataclasses.replace(
        split(x, np.ones((1, 3), bool)), present={"audio": np.array([[True, False, True]])}
    )
    fitted = fit(gappy, 5)
    np.testing.assert_allclose(
        fitted.apply(gappy).features["audio"][0, :, 0], [-1, 0, 1], atol=1e-6
    )
