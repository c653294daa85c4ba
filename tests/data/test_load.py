import dataclasses
import pickle

import h5py
import numpy as np
import pytest

from fsrf_jax.data import store
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.load import READERS, load
from fsrf_jax.errors import DataError
from fsrf_jax.reporting.profile import describe

KEYS = {"train_audio": np.ones((2, 3, 2)), "train_label": np.array([1.0, -1.0])}
AUDIO = np.array([[[1.0, 2.0], [-np.inf, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
TABLE = {
    "train": {
        "audio": AUDIO,
        "audio_lengths": [2, 0],
        "id": ["a", "b"],
        "regression_labels": [[1.0], [2.0]],
    }
}


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "npz", **KEYS)
    (tmp_path / "npz.npz").rename(tmp_path / "npz")
    with h5py.File(tmp_path / "hdf5", "w") as file:
        for key, values in KEYS.items():
            file[key] = values
    (tmp_path / "pickle").write_bytes(pickle.dumps(TABLE))
    (tmp_path / "old pickle").write_bytes(pickle.dumps(TABLE, 0))
    store.write(tmp_path / "store", load(tmp_path / "npz", ("audio",)))
    return tmp_path


@pytest.mark.parametrize("name", ["npz", "hdf5", "pickle", "old pickle", "store"])
def test_the_format_is_told_from_the_content(files, name):
    dataset = load(files / name, ("audio",))
    split = dataset.splits["train"]
    assert split.features["audio"].dtype == split.labels.dtype == np.float32
    assert split.labels.shape == (2,)
    assert dataset.notes


def test_a_store_gives_what_was_loaded(files):
    assert load(files / "store", ("audio",)).notes == load(files / "npz", ("audio",)).notes


def test_infinite_audio_is_cleaned_and_counted(files):
    dataset = load(str(files / "pickle"), ("audio",), format="mmsa", bad_values="frame")
    split = dataset.splits["train"]
    np.testing.assert_array_equal(split.features["audio"], [[[1, 2], [0, 0]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(split.valid["audio"], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(split.present["audio"], [[1, 0], [0, 0]])
    assert dataset.notes == (
        "audio: valid frames are counted by 'audio_lengths'",
        "train audio: 1 values are NaN or infinite, in 1 of 2 columns (share of the frames): "
        "0 (50 %)",
        "train audio: the 1 frames with any are missing",
        "train: 1 of 2 samples have no audio",
    )


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("pickl", {}, "pickl does not exist; did you mean 'pickle'"),
        ("zzzzzz", {}, "does not exist; check the path"),
        ("no/x.pkl", {}, "nor does its folder"),
        (".", {}, "is a folder"),
        ("npz", {"format": "arays"}, "unknown format 'arays'; expected .*did you mean 'arrays'"),
        ("npz", {"format": "mmsa"}, "starts as zip"),
        ("npz", {"format": "store"}, "not a store"),
        ("pickle", {"format": "arrays"}, "starts as pickle"),
        ("npz", {"modalities": ()}, "one or more different names"),
        ("npz", {"modalities": ("audio", "audio")}, "one or more different names"),
    ],
)
def test_errors_say_what_to_do(files, name, kwargs, message):
    with pytest.raises(DataError, match=message):
        load(files / name, **{"modalities": ("audio",), **kwargs})


def test_describe_has_one_line_a_split_and_modality(files):
    lines = describe(load(files / "pickle", ("audio",), bad_values="frame")).splitlines()
    assert lines[0].split()[:2] == ["split", "n"]
    assert lines[1].split() == [
        "train",
        "2",
        "1.500",
        "[1,",
        "2]",
        "audio",
        "2",
        "2",
        "1",
        "50.0",
        "%",
    ]


def labelled(labels):
    n = len(labels)
    ids, valid = np.array([str(i) for i in range(n)]), {"audio": np.ones((n, 1), bool)}
    split = Split(ids, {"audio": np.ones((n, 1, 2), np.float32)}, valid, np.float32(labels))
    return Dataset({"train": split})


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([0, 2, 2, 0, 2], "train: labels 0 x 2, 2 x 3"),
        ([-1, 1], "train: labels -1 x 1, 1 x 1"),
        ([[0, 1, 1], [0, 0, 1]], "train: positive labels of the 3 tasks: 0, 1, 2"),
        ([0, 0.5], None),
        (range(11), None),
    ],
)
def test_describe_counts_labels_of_few_values(labels, line):
    lines = describe(labelled(labels)).splitlines()
    assert lines[2:] == ([] if line is None else [line])
    y = np.array(labels)
    assert f"{y.mean():.3f}" in lines[1]


def test_describe_counts_classes_by_name():
    dataset = dataclasses.replace(labelled([0, 2, 0]), classes=("happy", "neutral", "sad"))
    assert describe(dataset).splitlines()[2] == "train: labels happy x 2, sad x 1"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(2, [("a", "f4")]), "only numbers and text are read"),
        (3.5, "labels is one value; expected one a sample"),
        ({"a": 1}, "labels"),
    ],
)
def test_labels_of_another_kind_have_one_message(tmp_path, labels, message):
    part = {"audio": np.ones((2, 3, 4)), "text": np.ones((2, 3, 4)), "regression_labels": labels}
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"train": part, "valid": part, "test": part}))
    with pytest.raises(DataError, match=message):
        load(path, ("audio",))


def test_what_a_reader_stumbles_over_is_an_error_of_the_file(tmp_path, monkeypatch):
    def stumble(path, modalities):
        raise TypeError("object of type 'X' has no len()")

    np.savez(tmp_path / "x.npz", train_label=np.zeros(2))
    monkeypatch.setitem(READERS, "arrays", READERS["arrays"]._replace(read=stumble))
    with pytest.raises(DataError, match=r"does not hold what the format 'arrays' has \(TypeError"):
        load(tmp_path / "x.npz", ("audio",))
