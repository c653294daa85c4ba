"""What earlier versions of the package wrote is read, and predicts what it predicted."""

import shutil
import tarfile
from pathlib import Path

import chex
import numpy as np
import pytest
from command_case import call, read_arrays

import fsrf_jax
from fsrf_jax.evaluation.results import read_results
from fsrf_jax.journal import read_journal

ARCHIVES = sorted(Path(__file__).parent.glob("*.tar.xz"))


@pytest.fixture(scope="module", params=ARCHIVES, ids=[path.name for path in ARCHIVES])
def frozen(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def expected(frozen):
    """Predictions of the test split with everything seen [n], and its raw samples."""
    arrays = read_arrays(frozen / "run" / "predictions.npz")
    conditions = dict(zip(arrays["conditions"].tolist(), arrays["predictions"], strict=True))
    return conditions["language+audio+vision"][0]


def test_there_is_the_first_one():
    assert "0.2.0.tar.xz" in [path.name for path in ARCHIVES]


@pytest.mark.parametrize("data", ["data.npz", "store.h5"])
def test_a_run_gives_its_results_again(frozen, data):
    run = fsrf_jax.load(frozen / "run", data_path=frozen / data)
    before, now = read_results(frozen / "run" / "results.json"), run.evaluate()
    assert now["masks_digest"] == before["masks_digest"]
    assert now["epochs_trained"] == before["epochs_trained"] == 2
    for old, new in zip(before["conditions"], now["conditions"], strict=True):
        assert old["name"] == new["name"]
        for name, value in old["metrics"].items():
            assert new["metrics"][name] == pytest.approx(value, abs=1e-5, nan_ok=True), name


@pytest.mark.parametrize("source", ["run", "export"])
def test_the_network_predicts_what_it_did(frozen, expected, source, tmp_path):
    out = tmp_path / "out.npz"
    argv = ("--splits", "[test]", "--output", out)
    done = call("predict", frozen / source, frozen / "store.h5", *argv)
    assert done.status == 0, done.err
    found = read_arrays(out)["prediction"]
    chex.assert_trees_all_close(found, expected, atol=1e-5)
    assert np.ptp(found) > 1e-3  # not a constant


def test_training_goes_on(frozen, tmp_path):
    run = shutil.copytree(frozen / "run", tmp_path / "run")
    argv = ("--data.path", frozen / "data.npz", "--output.directory", run, "--training.epochs", "3")
    done = call("train", "--config", run / "config.yaml", *argv)
    assert done.status == 0, done.err
    assert read_results(run / "results.json")["epochs_trained"] == 3
    before, now = read_journal(frozen / "run"), read_journal(run)
    assert now[:2] == before
    assert [line["epoch"] for line in now] == [1, 2, 3]
