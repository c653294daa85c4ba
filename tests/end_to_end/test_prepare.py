"""bin/prepare: a file becomes a store, and training from either is the same."""

import numpy as np
import pytest
from command_case import TINY, call, tiny_arrays


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
    for name in ("results.json", "metrics.jsonl"):
        former, latter = (tmp_path / f"run x.{kind}" / name for kind in ("npz", "h5"))
        # The results name the file.
        assert former.read_bytes().replace(b'"x.npz"', b'"x.h5"') == latter.read_bytes()
    # It is even the same run: the store may take the place of the file.
    argv = (*argv, "--output.directory", tmp_path / "run x.npz")
    assert call("train", *argv).status == 0


def test_some_modalities_in_another_order(npz, tmp_path):
    done = call("prepare", npz, "--output", tmp_path / "x.h5", "--modalities", "[vision,audio]")
    assert done.status == 0
    argv = (*TINY, "--data.source", "file", "--data.path", tmp_path / "x.h5")
    done = call("train", *argv)
    assert done.status == 1
    assert "no modality 'language'; found vision, audio" in done.err
