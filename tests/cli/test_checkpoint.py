"""`--checkpoint last_whole` of what reads a run, and training epochs that a run has."""

import shutil

import numpy as np
import pytest
from command_case import call, read_arrays, refused

import fsrf_jax
from fsrf_jax.errors import ConfigError, RunError
from fsrf_jax.evaluation.results import read_results


@pytest.fixture(scope="module")
def damaged(trained, tmp_path_factory):
    """The shared run trained for a third epoch, whose checkpoint has no digests then."""
    folder = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(trained.folder, folder)
    done = call("train", *trained.argv, "--output.directory", folder, "--training.epochs", "3")
    assert done.status == 0, done.err
    shutil.rmtree(folder / "checkpoints" / "3" / "digests")
    return folder


def test_evaluate(trained, damaged, tmp_path):
    out = tmp_path / "out.json"
    refused(call("evaluate", damaged, "--output", out), 2, "is damaged", "--checkpoint last_whole")
    assert not out.exists()
    done = call("evaluate", damaged, "--output", out, "--checkpoint", "last_whole")
    assert done.status == 0, done.err
    newest = damaged / "checkpoints" / "3"
    assert f"{newest} is damaged: reading the checkpoint before it." in done.out
    found, before = read_results(out), read_results(trained.folder / "results.json")
    assert found["epochs_trained"] == 2  # the results say which one they are of
    assert found["conditions"] == before["conditions"]


def test_what_is_whole_is_the_last_whole(trained, tmp_path):
    out = tmp_path / "out.json"
    done = call("evaluate", trained.folder, "--output", out, "--checkpoint", "last_whole")
    assert done.status == 0, done.err
    assert "damaged" not in done.out
    before = read_results(trained.folder / "results.json")
    assert read_results(out)["conditions"] == before["conditions"]


def test_predict_and_export(trained, damaged, tmp_path):
    data = tmp_path / "one.npz"
    np.savez(data, language=np.ones((4, 32)))
    asked = ("--checkpoint", "last_whole")
    for folder, more in ((trained.folder, ()), (damaged, asked)):
        done = call(
            "predict", folder, data, "--output", tmp_path / f"{folder.name}{len(more)}.npz", *more
        )
        assert done.status == 0, done.err
    assert f"{damaged / 'checkpoints' / '3'} is damaged" in done.out
    before, now = read_arrays(tmp_path / "run0.npz"), read_arrays(tmp_path / "run2.npz")
    np.testing.assert_array_equal(now["prediction"], before["prediction"])

    refused(call("predict", damaged, data, "--output", tmp_path / "no.csv"), 2, "is damaged")
    refused(call("export", damaged, "--output", tmp_path / "export"), 2, "is damaged")
    done = call("export", damaged, "--output", tmp_path / "export", *asked)
    assert done.status == 0, done.err
    of_export = call("predict", tmp_path / "export", data, "--output", tmp_path / "e.csv", *asked)
    refused(of_export, 2, "is an export, which has no checkpoints")


def test_from_python(damaged):
    with pytest.raises(RunError, match="is damaged"):
        _ = fsrf_jax.load(damaged).network
    lines = []
    run = fsrf_jax.load(damaged, checkpoint="last_whole", say=lines.append)
    assert run.evaluate(bootstrap=0)["epochs_trained"] == 2
    assert lines == [
        f"{damaged / 'checkpoints' / '3'} is damaged: reading the checkpoint before it."
    ]
    with pytest.raises(ConfigError, match="checkpoint: found 'best', expected one of newest, last"):
        fsrf_jax.load(damaged, checkpoint="best")


def test_predictions_have_no_checkpoint(trained):
    predictions = trained.folder / "predictions.npz"
    argv = ("--predictions", predictions, "--checkpoint", "last_whole")
    refused(call("evaluate", trained.folder, *argv), 2, "--checkpoint: predictions are of none")


def test_fewer_epochs_than_the_run_has(trained, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    before = (folder / "results.json").read_bytes()
    more = ("--output.directory", folder, "--training.epochs", "1", "--output.progress", "true")
    done = call("train", *trained.argv, *more)
    assert done.status == 0, done.err
    assert "Nothing is trained: the run has 2 epochs, training.epochs asks for 1." in done.out
    assert (folder / "results.json").read_bytes() == before
    assert "epochs: 2" in (folder / "config.yaml").read_text()
