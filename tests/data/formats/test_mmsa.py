import pickle

import numpy as np
import pytest

from fsrf_jax.data import load
from fsrf_jax.data.clean import clean
from fsrf_jax.data.formats import mmsa
from fsrf_jax.data.lazy import Lazy
from fsrf_jax.errors import DataError
from fsrf_jax.reading import spans


def table(n=2, **changes):
    """One split of an unaligned file: 4 frames of text and 5 of audio."""
    keys = {
        "id": [f"v$_${i}" for i in range(n)],
        "text": np.ones((n, 4, 3)),
        "audio": np.ones((n, 5, 2), np.float32),
        "text_lengths": [2] * n,
        "audio_lengths": [5] * n,
        "regression_labels": [0.5] * n,
    }
    keys.update(changes)
    return {key: value for key, value in keys.items() if value is not None}


def write(tmp_path, content):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


def read(tmp_path, modalities=("language", "audio"), **changes):
    content = {"train": table(**changes), "config": {"dim": 3}}
    return mmsa.read(write(tmp_path, content), modalities)


def test_text_is_language_and_lengths_are_taken(tmp_path):
    dataset = read(tmp_path, text_lengths=np.array([[2], [1]]))
    split = dataset.splits["train"]
    assert list(dataset.splits) == ["train"]
    assert split.modalities == ("language", "audio")
    assert type(split.features["language"]) is np.ndarray
    np.testing.assert_array_equal(split.valid["language"], [[1, 1, 0, 0], [1, 0, 0, 0]])
    assert split.valid["audio"].all()
    assert split.ids.tolist() == ["v$_$0", "v$_$1"]
    assert split.labels.tolist() == [0.5, 0.5]
    assert "language: valid frames are counted by 'text_lengths'" in dataset.notes
    # The features beyond the length are not zero here, which is worth a note.
    assert "train language: 5 frames beyond their sequence's length are not zero; left out" in (
        dataset.notes
    )


def test_ids_are_decoded_or_made(tmp_path):
    assert read(tmp_path, id=np.array([b"a", b"b"])).splits["train"].ids.tolist() == ["a", "b"]
    assert read(tmp_path, id=None).splits["train"].ids.tolist() == ["train/0", "train/1"]


def test_features_of_two_axes_are_one_frame(tmp_path):
    split = read(tmp_path, audio=np.ones((2, 7)), audio_lengths=[1, 1]).splits["train"]
    assert split.features["audio"].shape == (2, 1, 7)
    assert split.valid["audio"].all()


@pytest.mark.parametrize("row", [1, 2])
def test_aligned_files_count_tokens(tmp_path, row):
    bert = np.zeros((2, 3, 4), np.float32)
    bert[:, 0] = 101
    bert[0, row, :3] = bert[1, row, :1] = 1
    audio = np.zeros((2, 4, 2))
    audio[0, 2] = audio[1, 0] = 1  # a silent frame inside a sequence is still a frame
    dataset = read(tmp_path, text_bert=bert, audio=audio, text_lengths=None, audio_lengths=None)
    np.testing.assert_array_equal(
        dataset.splits["train"].valid["audio"], [[1, 1, 1, 0], [1, 0, 0, 0]]
    )
    assert "audio: valid frames are counted by 'text_bert'" in dataset.notes
    assert any("row 2" in note for note in dataset.notes) == (row == 2)


def test_without_lengths_or_tokens_the_first_and_last_nonzero_frame_count(tmp_path):
    audio = np.ones((2, 5, 2))
    audio[0, [0, 1, 3]] = 0
    audio[1] = 0
    dataset = read(tmp_path, audio=audio, audio_lengths=None, text_bert=np.ones((2, 3, 4)))
    np.testing.assert_array_equal(
        dataset.splits["train"].valid["audio"], [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
    )
    note = "audio: valid from the first to the last frame that is not zero"
    assert note in dataset.notes


def test_front_padding_is_seen(tmp_path):
    audio = np.ones((2, 5, 2))
    audio[0, :3] = audio[1, 3:] = 0
    audio[1] = np.roll(audio[1], 2, axis=0)  # now both are padded at the front
    dataset = read(tmp_path, audio=audio, audio_lengths=[2, 3])
    np.testing.assert_array_equal(
        dataset.splits["train"].valid["audio"], [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]
    )
    assert "train audio: padding is at the front" in dataset.notes


def test_a_sequence_of_zeros_is_missing(tmp_path):
    audio = np.ones((2, 5, 2))
    audio[1] = 0
    valid = read(tmp_path, audio=audio).splits["train"].valid["audio"]
    assert valid.any(axis=1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_lengths": [6, 1]}, r"audio has 5 frames, but 1 of its lengths .*6 at sample 0"),
        ({"audio_lengths": [-1, 1]}, "whole numbers"),
        ({"audio_lengths": [1.5, 1]}, "whole numbers"),
        ({"audio_lengths": [1]}, r"2 samples, but its lengths have shape \(1,\)"),
        ({"audio_lengths": ["a", "b"]}, "the lengths of train audio has dtype <U1"),
        ({"audio": np.ones(2)}, r"'audio' has shape \(2,\); expected \[samples"),
        ({"audio": np.ones((2, 0, 3))}, "at least one frame"),
        ({"audio": [np.ones((2, 3)), np.ones((4, 3))]}, "differ in length"),
        ({"audio": np.ones((2, 5, 2), complex)}, "dtype complex128; expected real"),
        ({"regression_labels": None}, "no labels; expected 'regression_labels', found id, text"),
        ({"regression_labels": [[1], [1, 2]]}, "the array of labels is not one array of numbers"),
    ],
)
def test_errors_name_split_and_key(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, **changes)


@pytest.mark.parametrize(
    ("modality", "message"),
    [
        ("vision", r"split 'train': no modality 'vision'; found language, audio$"),
        ("adio", "did you mean 'audio'"),
    ],
)
def test_absent_modality(tmp_path, modality, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, ("audio", modality))


def test_modality_absent_from_one_split(tmp_path):
    path = write(tmp_path, {"train": table(), "test": table(audio=None)})
    with pytest.raises(DataError, match="split 'test': no modality 'audio'"):
        mmsa.read(path, ("language", "audio"))


def test_other_pickles_are_named(tmp_path):
    with pytest.raises(DataError, match="holds a list; expected a dictionary of splits"):
        mmsa.read(write(tmp_path, [1]), ("audio",))
    with pytest.raises(DataError, match=r"no split; .* found a, config"):
        mmsa.read(write(tmp_path, {"a": 1, "config": {}}), ("audio",))


def test_aligned_modalities_have_their_frames_in_common(tmp_path):
    """Without lengths: from the first to the last frame that any modality has; gaps are missing."""
    modalities = ("language", "audio", "vision")
    text, audio, vision = (np.ones((2, 5, 2)) for _ in range(3))
    text[0, [0, 4]] = audio[0, [0, 1, 4]] = vision[0, [0, 2, 3, 4]] = 0
    audio[1] = 0
    keys = {"text_lengths": None, "audio_lengths": None, "vision_lengths": None, "text_bert": None}
    dataset = clean(read(tmp_path, modalities, text=text, audio=audio, vision=vision, **keys))
    found = dataset.splits["train"]
    for m in modalities:
        assert found.valid[m][0].tolist() == [0, 1, 1, 1, 0]
    assert found.present["vision"][0].tolist() == [0, 1, 0, 0, 0]
    assert not found.valid["audio"][1].any()  # a modality that a sample lacks has no frame
    assert found.valid["language"][1].all()
    note = "audio: valid from the first to the last frame of all modalities that is not zero"
    assert note in dataset.notes


@pytest.mark.parametrize("aligned", [False, True])
def test_features_that_stay_are_cleaned_to_those_that_are_read(tmp_path, monkeypatch, aligned):
    monkeypatch.setattr(spans, "LARGE", 1)
    rng = np.random.default_rng(0)
    own = {"text": rng.normal(size=(6, 5, 3)), "audio": rng.normal(size=(6, 5, 2))}
    own["audio"][1, 3:] = 0
    own["audio"][2, 1, 1] = np.nan
    more = {"text_lengths": None, "audio_lengths": None} if aligned else {}
    if aligned:
        own["text_bert"] = np.ones((6, 3, 5), np.float32)
    part = table(6, **own, **more)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"train": part, "valid": part, "test": part}, 3))
    raw = load.read(path, ("language", "audio"), stays=True)
    features = raw.splits["train"].features
    assert [type(x) for x in features.values()] == [Lazy, Lazy]
    found, expected = load.cleaned(raw, "zero"), load.load(path, ("language", "audio"))
    assert found.notes == expected.notes
    for name, split in expected.splits.items():
        other = found.splits[name]
        for m in split.modalities:
            assert type(split.features[m]) is np.ndarray
            np.testing.assert_array_equal(np.asarray(other.features[m]), split.features[m])
            np.testing.assert_array_equal(other.valid[m], split.valid[m])
            np.testing.assert_array_equal(other.present[m], split.present[m])
