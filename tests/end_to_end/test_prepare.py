"""bin/prepare: a file becomes a store, and training from either is the same."""

import json

import numpy as np
import pytest
from command_case import TINY, call, read_json, read_lines, tiny_arrays


@pytest.fixture
def npz(tmp_path):
    arrays = tiny_arrays()
    arrays["train_audio"][3, 2, 1] = np.nan
    np.savez(tmp_path / "x.npz", **arrays)
    return tmp_path / "x.npz"


def test_training_from_the_store_is_training_from_the_file(npz, tmp_path):
    assert call("prepare", npz, "--output", tmp_path / "x.h5").status == 0
    argv = (*TINY, "--data.source", "file")
    for name in ("x.npz", "x.h5"):
        folder = tmp_path / f"run {name}"
        argv = (*argv, "--data.path", tmp_path / name, "--output.directory", folder)
        done = call("train", *argv)
        assert done.status == 0, done.err
    former, latter = (tmp_path / f"run x.{kind}" for kind in ("npz", "h5"))
    assert (former / "metrics.jsonl").read_bytes() == (latter / "metrics.jsonl").read_bytes()
    of_npz, of_store = (read_json(run / "results.json") for run in (former, latter))
    assert json.dumps(of_npz).replace('"x.npz"', '"x.h5"') == json.dumps(of_store)
    # It is even the same run: the store may take the place of the file, wherever samples are.
    argv = (*argv, "--output.directory", tmp_path / "run x.npz")
    assert call("train", *argv, "--data.placement", "host").status == 0
    # Nor does it matter to what is trained.
    argv = (*argv, "--data.placement", "stream", "--output.progress", "true")
    done = call("train", *argv, "--output.directory", tmp_path / "streamed")
    assert done.status == 0, done.err
    assert "data.placement stream, as asked: training and validation samples take" in done.out
    folders = [tmp_path / "run x.h5", tmp_path / "streamed"]
    one, other = (read_json(folder / "results.json") for folder in folders)
    for name in ("data_fingerprint", "masks_digest", "best_epoch"):
        assert one[name] == other[name]
    for found, expected in zip(other["conditions"], one["conditions"], strict=True):
        assert found["metrics"]["mae"] == pytest.approx(expected["metrics"]["mae"], rel=1e-4)
        assert found["floors"] == expected["floors"]
    one, other = (read_lines(folder / "metrics.jsonl") for folder in folders)
    for found, expected in zip(other, one, strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_some_modalities_in_another_order(npz, tmp_path):
    done = call("prepare", npz, "--output", tmp_path / "x.h5", "--modalities", "[vision,audio]")
    assert done.status == 0
    argv = (*TINY, "--data.source", "file", "--data.path", tmp_path / "x.h5")
    done = call("train", *argv)
    assert done.status == 1
    assert "no modality 'language'; found vision, audio" in done.err
