"""The two real files, where they are: the folder in FSRF_DATA, else ../shared/data."""

import os
from pathlib import Path

import numpy as np
import pytest

from fsrf_jax.data import store
from fsrf_jax.data.folds import fold_split
from fsrf_jax.data.load import load
from fsrf_jax.data.normalise import fit
from fsrf_jax.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("FSRF_DATA", ROOT.parent / "shared" / "data"))


def real(name, modalities):
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"no {name} in {FOLDER}; set FSRF_DATA to the folder that has it")
    return load(path, modalities)


@pytest.fixture(scope="module")
def mosi():
    return real("cmu_mosi.pkl", ("language", "audio"))


@pytest.fixture(scope="module")
def mmmo():
    return real("ict_mmmo.npz", ("language", "audio", "vision"))


def test_mosi_has_the_official_folds_and_labels(mosi):
    sizes = {name: len(split) for name, split in mosi.splits.items()}
    assert sizes == {"train": 1284, "valid": 229, "test": 686}
    labels = mosi.splits["test"].labels
    assert ((labels < 0).sum(), (labels > 0).sum(), (labels == 0).sum()) == (379, 277, 30)
    assert all(np.abs(split.labels).max() <= 3 for split in mosi.splits.values())
    assert mosi.splits["train"].ids[0] == "03bSnISJMiM$_$1"


def test_mosi_frames_are_those_of_the_lengths(mosi):
    frames = {name: int(split.valid["language"].sum()) for name, split in mosi.splits.items()}
    assert frames == {"train": 18937, "valid": 3206, "test": 11294}
    assert all(split.valid["audio"].all() for split in mosi.splits.values())
    assert mosi.splits["train"].features["language"].shape == (1284, 50, 384)
    assert mosi.splits["train"].features["audio"].shape == (1284, 1, 73)
    assert mosi.notes == (
        "language: valid frames are counted by 'text_lengths'",
        "audio: valid frames are counted by 'audio_lengths'",
        "groups of samples are the videos that their ids name",
    )
    # A test video is in no other split.
    videos = {name: set(split.groups) for name, split in mosi.splits.items()}
    assert not videos["test"] & (videos["train"] | videos["valid"])


def test_mosi_is_normalised(mosi):
    made = fit(mosi.splits["train"], 5).apply(mosi.splits["train"])
    scores = made.features["language"][made.valid["language"]]
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=0.02)
    dead = np.isin(np.arange(384), (127, 223))  # these two are zero throughout the file
    np.testing.assert_allclose(scores.std(axis=0), np.where(dead, 0, 1), atol=0.05)


def test_mosi_has_no_vision():
    with pytest.raises(DataError, match=r"'train': no modality 'vision'.*found language, audio"):
        real("cmu_mosi.pkl", ("language", "vision"))


def test_mmmo_trains_without_language(mmmo):
    sizes = {name: len(split) for name, split in mmmo.splits.items()}
    assert sizes == {"train": 220, "valid": 40, "test": 80}
    assert "train: 220 of 220 samples have no language" in mmmo.notes
    assert mmmo.splits["train"].features["language"].shape == (220, 20, 300)
    for name, split in mmmo.splits.items():
        for m in split.modalities:
            has = split.valid[m].any(axis=1)
            assert has.all() if (name, m) != ("train", "language") else not has.any()
    with pytest.raises(DataError, match="no training sample has modality language"):
        fit(mmmo.splits["train"], 5)


def test_mmmo_folds_can_be_trained_on(mmmo):
    pooled = ("valid", "test")
    tested = []
    for fold in range(5):
        made = fold_split(mmmo, folds=5, fold=fold, pooled=pooled, seed=0)
        assert [len(split) for split in made.splits.values()] == [220 + 72, 24, 24]
        assert made.splits["train"].valid["language"].any(axis=1).sum() == 72
        normalised = fit(made.splits["train"], 5).apply(made.splits["test"])
        assert np.abs(normalised.features["audio"]).max() <= 5
        tested += made.splits["test"].ids.tolist()
    assert len(set(tested)) == 120


def test_mmmo_survives_the_store(mmmo, tmp_path):
    store.write(tmp_path / "x.h5", mmmo)
    found = load(tmp_path / "x.h5", ("language", "audio", "vision"))
    assert found.notes == mmmo.notes
    for name, split in mmmo.splits.items():
        for m in split.modalities:
            np.testing.assert_array_equal(found.splits[name].features[m], split.features[m])
            np.testing.assert_array_equal(found.splits[name].valid[m], split.valid[m])
