import dataclasses

import numpy as np
import pytest

from fsrf_jax.data import store
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.load import load
from fsrf_jax.data.tokens import LARGEST_ID, to_ids
from fsrf_jax.errors import DataError


def split(ids, width=1):
    """Samples of token ids, and numbers beside them."""
    ids = np.asarray(ids, np.float32)[..., None]
    numbers = np.ones((*ids.shape[:2], width), np.float32)
    return Split(
        ids=np.arange(len(ids)).astype(str),
        features={"words": ids, "audio": numbers},
        valid={"words": ids[..., 0] != 0, "audio": numbers[..., 0] != 0},
        labels=np.zeros(len(ids), np.float32),
    )


def dataset(**splits):
    return Dataset({name: split(ids) for name, ids in splits.items()}, ("first",), (), ("words",))


def test_ids_are_counted_by_the_training_split():
    given = dataset(train=[[2, 5, 0], [3, 0, 0]], test=[[6, 5, 900], [2, 7, 0]])
    found, vocabulary = to_ids(given)
    assert vocabulary == {"words": 6}
    for name, of_split in found.splits.items():
        ids = of_split.features["words"]
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, given.splits[name].features["words"])
        assert of_split.features["audio"] is given.splits[name].features["audio"]
    assert found.notes == (
        "first",
        "words: token ids from 0 to 5, the largest of train",
        "test words: 3 of 5 token ids are larger: all of them are taken for the unknown token, 1",
    )


def test_there_is_always_an_unknown_token():
    assert to_ids(dataset(train=[[0, 0]]))[1] == {"words": 2}
    assert to_ids(dataset(test=[[4, 0]], other=[[7, 0]]))[1] == {"words": 8}  # no train


def test_data_without_tokens_are_as_they_were():
    given = dataclasses.replace(dataset(train=[[2]]), tokens=())
    found, vocabulary = to_ids(given)
    assert (found, vocabulary) == (given, {})


@pytest.mark.parametrize(("wrong", "shown"), [(-1, "-1"), (1.5, "1.5"), (LARGEST_ID + 1, "1.04")])
def test_ids_that_are_none(wrong, shown):
    with pytest.raises(DataError, match=f"test words: found {shown}.*one whole number from 0 to "):
        to_ids(dataset(train=[[2]], test=[[3, wrong]]))
    assert to_ids(dataset(train=[[LARGEST_ID]]))[1] == {"words": LARGEST_ID + 1}


def test_a_frame_is_one_token():
    given = dataclasses.replace(dataset(train=[[2]]), tokens=("audio",))
    wide = dataclasses.replace(given, splits={"train": split([[2]], width=3)})
    with pytest.raises(DataError, match="train audio: found 3 numbers in a frame of token ids"):
        to_ids(wide)


@pytest.mark.parametrize(
    ("modality", "shape", "leaks"),
    [
        ("language", (3, 4, 768), True),
        ("text", (3, 4, 1024), True),
        ("language", (3, 4, 300), False),
        ("language", (3, 1, 768), False),
        ("audio", (3, 4, 768), False),
    ],
)
def test_hidden_states_are_noted(tmp_path, modality, shape, leaks):
    for name in ("train", "test"):
        x = np.ones(shape, np.float32)
        arrays = {f"{name}_{modality}": x, f"{name}_label": np.arange(3.0)}
        np.savez(tmp_path / "x.npz", **arrays)
    found = load(tmp_path / "x.npz", (modality,))
    noted = [note for note in found.notes if "a dropped frame held leaks" in note]
    assert len(noted) == leaks
    if leaks:
        assert noted[0].startswith(f"{modality}: {shape[2]} features a frame")
    store.write(tmp_path / "x.h5", found)
    assert load(tmp_path / "x.h5", (modality,)).notes == found.notes
