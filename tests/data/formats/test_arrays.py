import h5py
import lazy_case
import numpy as np
import pytest

from fsrf_jax.data.formats import arrays
from fsrf_jax.errors import DataError


def content(**changes):
    audio = np.ones((2, 3, 2))
    audio[0, :1] = audio[1, 2:] = 0
    keys = {
        "train_audio": audio,
        "train_label": np.array([1.0, 2.0]),
        "test_audio": np.ones((1, 3, 2)),
        "test_text": np.ones((1, 4, 5)),
        "test_labels": np.array([[3.0]]),
    }
    keys.update(changes)
    return {key: value for key, value in keys.items() if value is not None}


def write(path, keys):
    if path.suffix == ".npz":
        np.savez(path, **keys)
    else:
        with h5py.File(path, "w") as file:
            for key, value in keys.items():
                file[key] = value.astype(bytes) if value.dtype.kind == "U" else value
            file.create_group("extra")
    return path


@pytest.fixture(params=["x.npz", "x.h5"])
def path(request, tmp_path):
    return tmp_path / request.param


def test_splits_labels_and_absent_modality(path):
    dataset = arrays.read(write(path, content()), ("text", "audio"))
    assert set(dataset.splits) == {"train", "test"}
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert train.modalities == ("text", "audio")
    assert train.ids.tolist() == ["train/0", "train/1"]
    assert train.features["text"].shape == (2, 4, 5)
    assert not train.features["text"].any()
    assert not train.valid["text"].any()
    np.testing.assert_array_equal(train.valid["audio"], [[0, 1, 1], [1, 1, 0]])
    assert test.valid["text"].all()
    assert test.labels.size == 1


def test_labels_of_tasks_are_taken_as_they_are(path):
    keys = content(train_label=np.array([[0, 1, 1], [1, 0, 1]]))
    found = arrays.read(write(path, keys), ("audio",)).splits["train"].labels
    np.testing.assert_array_equal(found, [[0, 1, 1], [1, 0, 1]])


def test_ids_and_lengths_are_taken(path):
    keys = content(train_id=np.array(["a", "b"]), train_audio_lengths=np.array([3, 1]))
    dataset = arrays.read(write(path, keys), ("audio",))
    assert dataset.splits["train"].ids.tolist() == ["a", "b"]
    np.testing.assert_array_equal(dataset.splits["train"].valid["audio"], [[1, 1, 1], [1, 0, 0]])
    assert "audio: valid frames are counted by 'train_audio_lengths'" in dataset.notes


@pytest.mark.parametrize(
    ("changes", "modalities", "message"),
    [
        ({}, ("audi",), r"modality 'audi' \(key '\w+_audi'\); found .*did you mean 'audio'"),
        ({"train_label": None}, ("audio",), "split 'train' has 'train_audio' but no labels"),
        ({"train_label": None, "test_labels": None}, ("none",), "such as 'train_label', found t"),
        ({"train_audio_lengths": np.array([4, 1])}, ("audio",), "has 3 frames, but 1 of its le"),
        ({"train_audio": np.ones((2, 3, 2, 1))}, ("audio",), r"has shape \(2, 3, 2, 1\)"),
        ({"train_audio": np.array(["a", "b"])}, ("audio",), "expected real numbers|numbers"),
    ],
)
def test_errors(path, changes, modalities, message):
    with pytest.raises(DataError, match=message):
        arrays.read(write(path, content(**changes)), modalities)


def test_python_objects_are_not_read(tmp_path):
    path = write(tmp_path / "x.npz", content(train_audio=np.array([{}, {}], dtype=object)))
    with pytest.raises(DataError, match="an array of Python objects"):
        arrays.read(path, ("audio",))


def test_damaged_files(path):
    write(path, content())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cannot be read as (.npz|HDF5) .* starts as"):
        arrays.read(path, ("audio",))


def test_one_array_is_not_enough(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    with pytest.raises(DataError, match="one array without a name"):
        arrays.read(tmp_path / "x.npy", ("audio",))


def test_features_that_stay_are_those_that_are_read(path):
    """Padded at either end, of one frame, and absent from a split."""
    rng = np.random.default_rng(0)
    changes = {
        "train_audio": rng.normal(size=(2, 3, 2)),
        "train_audio_lengths": np.array([3, 1]),
        "train_vision": rng.normal(size=(2, 4)),
        "test_vision": rng.normal(size=(1, 4)).astype("f4"),
    }
    names = ("text", "audio", "vision")
    expected = arrays.read(write(path, content(**changes)), names)
    found = arrays.read(path, names, stays=True)
    assert (found.notes, list(found.splits)) == (expected.notes, list(expected.splits))
    for name, split in expected.splits.items():
        assert not found.splits[name].in_memory
        lazy_case.assert_same(found.splits[name], split)


def test_features_that_stay_have_to_be_sequences_of_numbers(path):
    for wrong in (np.ones((2, 3, 2, 2)), np.full((2, 3, 2), 1j)):
        write(path, content(train_audio=wrong))
        with pytest.raises(DataError, match=r"expected \[samples, frames, features\]|complex"):
            arrays.read(path, ("audio",), stays=True)
        path.unlink()
