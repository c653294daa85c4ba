"""Computational sequences: what is aligned to words, and how."""

import json

import h5py
import numpy as np
import pytest
from format_case import WORLD, csd

from fsrf_jax.data.formats.csd import _MOSI
from fsrf_jax.data.load import load
from fsrf_jax.errors import DataError

MODALITIES = ("language", "audio")


@pytest.fixture
def folder(tmp_path):
    return csd(tmp_path)


def change(folder, stem, video, **values):
    with h5py.File(folder / f"{stem}.csd", "a") as file:
        group = file[f"{stem} root/data/{video}"]
        for key, value in values.items():
            del group[key]
            group[key] = value


def write_audio(folder, intervals, features, video="train0"):
    change(
        folder,
        "CMU_MOSI_COVAREP",
        video,
        intervals=np.array(intervals),
        features=np.array(features),
    )


def audio_of(folder, row=0):
    return load(folder, ("audio", "vision")).splits["train"].features["audio"][row]


def test_a_frame_is_the_mean_of_all_that_overlaps_the_word(folder):
    # The words of the first sample are [0, 1] and [1, 2]. What only touches a word is not in it.
    times = [(-1, 0), (0, 0.2), (0.9, 1.1), (1.9, 5), (2, 3)]
    write_audio(folder, times, [[9, 9, 9], [1, 0, 0], [3, 0, 0], [5, 0, 2], [7, 7, 7]])
    found = audio_of(folder)
    np.testing.assert_allclose(found[:2], [[2, 0, 0], [4, 0, 1]])
    # An interval that holds all others, and starts first.
    write_audio(folder, [(0, 9), (0.1, 0.2), (0.3, 0.4)], [[1, 1, 1], [2, 2, 2], [6, 6, 6]])
    np.testing.assert_allclose(audio_of(folder)[:2], [[3, 3, 3], [1, 1, 1]])


def test_values_that_are_not_finite_are_left_out_of_the_mean(folder):
    write_audio(folder, [(0, 0.5), (0.5, 1), (1, 2)], [[1, -np.inf, 1], [3, 2, np.nan], [1, 1, 1]])
    np.testing.assert_allclose(audio_of(folder)[:2], [[2, 2, 1], [1, 1, 1]])
    write_audio(folder, [(0, 1), (1, 2)], [[1, -np.inf, 1], [1, 1, 1]])
    dataset = load(folder, ("audio", "vision"))
    assert any(
        note.startswith("train audio: 1 values are NaN or infinite") for note in dataset.notes
    )


def test_a_word_and_a_video_without_anything(folder):
    write_audio(folder, [(1, 2)], [[4, 4, 4]])
    np.testing.assert_array_equal(audio_of(folder)[:2], [[0, 0, 0], [4, 4, 4]])
    with h5py.File(folder / "CMU_MOSI_COVAREP.csd", "a") as file:
        del file["CMU_MOSI_COVAREP root/data/train0"]
    valid = load(folder, ("audio", "vision")).splits["train"].valid["audio"]
    assert valid.any(axis=1)[:5].tolist() == [False] * 4 + [True]


def test_an_interval_without_words_is_no_sample(folder):
    change(folder, "CMU_MOSI_TimestampedWords", "train0", features=np.array([[b"sp"]] * 15))
    dataset = load(folder, MODALITIES)
    assert len(dataset.splits["train"]) == 20
    assert "train: 4 intervals of the labels have no word: left out" in dataset.notes


def test_segments_of_a_video_are_put_together(folder):
    with h5py.File(folder / "CMU_MOSI_COVAREP.csd", "a") as file:
        data = file["CMU_MOSI_COVAREP root/data"]
        x, t = data["train0/features"][()], data["train0/intervals"][()]
        del data["train0"]
        for part, rows in enumerate((slice(0, 5), slice(5, None))):
            data[f"train0[{part}]/features"], data[f"train0[{part}]/intervals"] = x[rows], t[rows]
    np.testing.assert_allclose(
        audio_of(folder)[:2], WORLD["train"][0].sequences["audio"], rtol=1e-5
    )


def test_words_are_token_ids_without_vectors(folder):
    (folder / "CMU_MOSI_TimestampedWordVectors.csd").unlink()
    dataset = load(folder, MODALITIES)
    assert dataset.tokens == ("language",)
    words = WORLD["test"][3].words
    found = dataset.splits["test"].features["language"][3, : len(words), 0]
    assert found.tolist() == [2 + int(word.removeprefix("word")) for word in words]


def test_words_may_be_those_of_the_vectors(folder):
    (folder / "CMU_MOSI_TimestampedWords.csd").unlink()
    assert len(load(folder, MODALITIES).splits["train"]) == 24
    with pytest.raises(DataError, match=r"no .csd file of the times of words, named ..Timestamped"):
        load(folder, ("audio", "vision"))


def test_one_of_its_files_stands_for_the_folder(folder):
    found = load(folder / "CMU_MOSI_COVAREP.csd", ("CMU_MOSI_COVAREP", "vision"))
    assert found.splits["train"].modalities == ("CMU_MOSI_COVAREP", "vision")


@pytest.mark.parametrize("name", ["folds.csv", "folds.yaml"])
def test_folds_may_be_given_otherwise(folder, name):
    folds = json.loads((folder / "folds.json").read_text())
    folds["valid"].remove("valid1")
    (folder / "folds.json").unlink()
    rows = [f"{video},{split}" for split, videos in folds.items() for video in videos]
    yaml = [f"{split}: [{', '.join(videos)}]" for split, videos in folds.items()]
    text = {"folds.csv": ["video,split", *rows], "folds.yaml": yaml}[name]
    (folder / name).write_text("\n".join(text))
    dataset = load(folder, MODALITIES)
    assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 24, "valid": 4, "test": 8}
    assert f"splits by video: those of {name}" in dataset.notes
    assert "1 videos are in no split: left out" in dataset.notes


def test_without_folds_the_line_that_writes_them(folder):
    (folder / "folds.json").write_text("[1]")
    with pytest.raises(DataError, match="is no list of videos for each split"):
        load(folder, MODALITIES)
    (folder / "folds.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="columns a, b; expected video and split"):
        load(folder, MODALITIES)
    for file in folder.glob("folds.*"):
        file.unlink()
    with pytest.raises(DataError, match=r"nothing tells the splits; .*for MOSEI python -c .*mmsdk"):
        load(folder, MODALITIES)


def test_the_official_folds_of_mosi(folder):
    videos = {name: text.split() for name, text in _MOSI.items()}
    assert {name: len(v) for name, v in videos.items()} == {"train": 52, "valid": 10, "test": 31}
    assert len({video for v in videos.values() for video in v}) == 93
    (folder / "folds.json").unlink()
    for file in folder.glob("*.csd"):
        with h5py.File(file, "a") as content:
            data = content[f"{file.stem} root/data"]
            for mine, official in (("train0", "train"), ("valid0", "valid"), ("test1", "test")):
                data.move(mine, videos[official][0])
    dataset = load(folder, MODALITIES)
    assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 4, "valid": 4, "test": 4}
    assert "splits by video: the official folds of MOSI" in dataset.notes


def test_files_that_do_not_fit(folder):
    (folder / "CMU_MOSI_openSMILE.csd").write_bytes((folder / "CMU_MOSI_COVAREP.csd").read_bytes())
    with pytest.raises(
        DataError, match=r"COVAREP, CMU_MOSI_openSMILE could all be audio; keep one"
    ):
        load(folder, MODALITIES)
    with pytest.raises(DataError, match=r"no .csd file of bert; found CMU_MOSI_COVAREP, "):
        load(folder, ("language", "bert"))
    (folder / "CMU_MOSI_openSMILE.csd").unlink()
    change(folder, "CMU_MOSI_COVAREP", "train0", intervals=np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"'train0' has features \(\d+, 3\) and intervals \(3, 2\)"):
        load(folder, MODALITIES)
    with h5py.File(folder / "CMU_MOSI_COVAREP.csd", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="has the parts x; expected the groups NAME/data/VIDEO"):
        load(folder, MODALITIES)
