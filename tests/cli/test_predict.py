"""The command `predict`: statuses, messages and what it prints."""

import json
import shutil

import numpy as np
import pytest
from command_case import call, refused

import fsrf_jax
from fsrf_jax import arguments
from fsrf_jax.source import open_source


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """Three samples, one file each, without labels."""
    run = fsrf_jax.load(trained.folder)
    samples = open_source(run.config.data).split("test").head(3)
    folder = tmp_path_factory.mktemp("inputs") / "one"
    folder.mkdir()
    for i in range(3):
        own = {m: x[i][samples.valid[m][i]] for m, x in samples.features.items()}
        np.savez(folder / f"s{i}.npz", **own)
    return folder


def test_it_says_what_it_predicted_and_wrote(trained, folder, tmp_path):
    out = tmp_path / "out.csv"
    done = call("predict", trained.folder, folder, "--output", out)
    assert done.status == 0, done.err
    assert done.out.splitlines() == ["Predicted: 3 samples", f"Written: {out}"]
    assert out.read_text().startswith("id,prediction,observed_language,observed_audio,")
    again = call("predict", trained.folder, folder, "--output", out)
    refused(again, 2, "exists already")


def test_what_cannot_be_read_changes_the_status_and_is_named(trained, folder, tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    for path in folder.iterdir():
        (inputs / path.name).write_bytes(path.read_bytes())
    (inputs / "broken.npz").write_bytes(b"PK\x03\x04")
    np.savez(inputs / "empty.npz", language=np.zeros((2, 32)), audio=np.zeros((2, 16)))
    out = tmp_path / "out.jsonl"
    done = call("predict", trained.folder, inputs, "--output", out)
    assert done.status == 1
    assert "Predicted: 4 samples" in done.out
    assert "- 1 samples have nothing observed" in done.out
    assert "- 1 samples could not be read:\n  broken: " in done.out
    assert f"Written: {tmp_path / 'out.unread.csv'}" in done.out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["empty", "s0", "s1", "s2"]
    assert rows[0]["observed_language"] == 0


def test_a_modality_that_no_sample_has_is_said(trained, folder, tmp_path):
    out = tmp_path / "out.csv"
    argv = ("--output", out, "--modalities", "[language,vision]")
    done = call("predict", trained.folder, folder, *argv)
    assert done.status == 0
    assert "- without audio, which no sample has" in done.out


def test_a_shift_of_the_labels_is_said(trained, folder, tmp_path):
    moved = shutil.copytree(trained.folder, tmp_path / "moved")
    config = arguments.to_yaml(arguments.load(moved / "config.yaml"))
    assert "label_shift: 0.0" in config
    (moved / "config.yaml").write_text(config.replace("label_shift: 0.0", "label_shift: -2.5"))
    done = call("predict", moved, folder, "--output", tmp_path / "out.csv")
    assert done.status == 0, done.err
    said = "- predictions are on the scale of training: subtract data.label_shift (-2.5) for"
    assert said in done.out


def test_what_does_not_fit_is_one_message(trained, folder, tmp_path):
    out = tmp_path / "out.csv"
    wide = tmp_path / "wide.npz"
    np.savez(wide, language=np.ones((3, 9)))
    empty = tmp_path / "empty"
    empty.mkdir()
    renamed = tmp_path / "renamed.npz"
    np.savez(renamed, language=np.ones((3, 32)), sound=np.ones((3, 16)))
    for argv, status, part in (
        ((trained.folder, wide), 1, "language has 9 features, the training data had 32"),
        ((trained.folder, empty), 1, "holds no file"),
        ((trained.folder, renamed), 1, "no modality 'audio'; found language, sound"),
        ((trained.folder, tmp_path / "none"), 1, "does not exist"),
        ((empty, folder), 2, "found no config.yaml"),
        ((trained.folder, folder, "--codes"), 2, "--codes: a .csv has no room"),
        ((trained.folder, folder, "--splits", "[test]"), 1, "no split 'test'"),
        ((trained.folder, folder, "--format", "pickle"), 2, "Expected one of 'auto'"),
    ):
        refused(call("predict", *argv, "--output", out), status, part)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("empty", "renamed.npz", "wide.npz")
    ]
