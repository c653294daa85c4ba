"""A stopped training, from the command to the file that it leaves, and what can be seen there."""

import json
import shutil
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from command_case import ROOT, call, read_arrays, refused
from linear_method import Linear

from fsrf_jax import arguments
from fsrf_jax.experiments import replay
from fsrf_jax.experiments.experiment import open_experiment
from fsrf_jax.inference import make_batch
from fsrf_jax.methods import METHODS
from fsrf_jax.training.bad_steps import BadSteps
from fsrf_jax.training.loop import member
from fsrf_jax.training.step import epoch_order, take

SETTINGS = {
    "method.name": "linear",
    "data.synthetic.train": 40,
    "data.synthetic.valid": 8,
    "data.synthetic.test": 8,
    "training.batch_size": 8,
    "training.epochs": 2,
    "training.bad_steps": 3,
    "optimizer.learning_rate": 1e38,
    "optimizer.warmup": 0.0,
    "output.loggers": "[]",
    "output.progress": False,
}
OPTIONS = [part for name, value in SETTINGS.items() for part in (f"--{name}", str(value))]


@pytest.fixture(scope="module", autouse=True)
def method():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "linear", Linear)
        yield


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder and the message of a run that was stopped."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    return folder, call("train", *OPTIONS, "--output.directory", folder)


def test_a_run_that_stops_keeps_its_step(stopped):
    folder, done = stopped
    path = folder / "bad-step.npz"
    refused(
        done,
        2,
        "became inf in epoch 1, step 4, the last of 3 steps in a row that gave NaN or an infinity",
        f"The step is kept: bin/train --replay {path} says which operation went wrong first.",
    )
    again = call("train", *OPTIONS, "--output.directory", folder)
    assert (again.status, again.err) == (2, done.err)


def test_the_step_is_repeated(stopped):
    folder, done = stopped
    shown = call("train", "--replay", folder / "bad-step.npz")
    assert (shown.status, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert lines[0] == "epoch 1, step 4: 8 samples"
    assert lines[1].removeprefix("then: ") == lines[2].removeprefix("now: ")
    assert done.err.startswith(f"error: {lines[1].removeprefix('then: ')} in epoch 1")
    assert lines[-2] == "first: the operation dot_general gave an infinity"
    source = (ROOT / "tests" / "linear_method.py").read_text().splitlines()
    (number,) = (i for i, line in enumerate(source, 1) if '@ inference["kernel"]' in line)
    assert lines[-1] == f"  at {ROOT}/tests/linear_method.py:{number}, in _raw"


def test_what_is_kept(stopped):
    folder, _ = stopped
    arrays = read_arrays(folder / "bad-step.npz")
    header = json.loads(str(arrays["header"]))
    assert len(header["ids"]) == len(set(header["ids"])) == 8
    assert all(name.startswith("train/") for name in header["ids"])
    assert arrays["state/step"] == 3
    assert np.isfinite(arrays["state/parameters/inference/kernel"]).all()
    assert not np.isfinite(arrays["terms/total"])
    for view in range(2):
        for modality in ("language", "audio", "vision"):
            observed = arrays[f"views/{view}/{modality}"]
            present = arrays[f"batch/present/{modality}"]
            assert observed.shape == present.shape
            assert not (observed & ~present).any()
            assert (observed != present).any()
    run = open_experiment(arguments.load(SETTINGS | {"output.loggers": []}))
    train = run.source.split("train")
    rows = [list(train.ids).index(name) for name in header["ids"]]
    order = epoch_order(member(run.initial_states([0]), 0), 40, 5, 8)
    assert rows == order[3].tolist()
    np.testing.assert_allclose(arrays["batch/labels"], train.labels[rows], rtol=1e-6)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[: len(content) // 2], "is not"),
        (lambda content: flipped(content, b"state/parameters/inference/kernel"), "kernel"),
        (lambda content: b"", "is not"),
    ],
)
def test_a_damaged_file_is_refused(stopped, tmp_path, damage, message):
    path = tmp_path / "bad.npz"
    path.write_bytes(damage((stopped[0] / "bad-step.npz").read_bytes()))
    refused(call("train", "--replay", path), 2, str(path), message)


def flipped(content, name):
    """One bit of the array of that name is another one."""
    place = content.index(name) + len(name) + 200
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "found version 2, expected 1"),
        ({"config": {"method": {"name": "linear", "views": 3, "x": 1}}}, "x"),
        ({"config": {"method": {"name": "late_fusion"}}}, "parameters/inference"),
        ({"ids": None}, "of another version of this package"),
    ],
)
def test_a_file_of_another_version_or_config_is_refused(stopped, tmp_path, change, message):
    arrays = read_arrays(stopped[0] / "bad-step.npz")
    header = json.loads(str(arrays["header"])) | change
    path = tmp_path / "bad.npz"
    np.savez(path, **(arrays | {"header": json.dumps(header)}))
    refused(call("train", "--replay", path), 2, str(path), message)


@pytest.mark.parametrize(
    "change", [lambda kernel: kernel[:-1], lambda kernel: kernel.astype(np.float64)]
)
def test_parameters_of_another_network_are_refused(stopped, tmp_path, change):
    arrays, name = read_arrays(stopped[0] / "bad-step.npz"), "state/parameters/inference/kernel"
    np.savez(tmp_path / "bad.npz", **(arrays | {name: change(arrays[name])}))
    refused(call("train", "--replay", tmp_path / "bad.npz"), 2, f"of {name}, expected float32[68")


def test_what_is_no_such_file_is_refused(stopped, tmp_path):
    np.savez(tmp_path / "other.npz", x=np.ones(2))
    refused(call("train", "--replay", tmp_path / "other.npz"), 2, "has no header")
    refused(call("train", "--replay", tmp_path / "none.npz"), 2, "none.npz")
    path = shutil.copy(stopped[0] / "bad-step.npz", tmp_path)
    refused(call("train", "--replay", path, "--training.seed", "1"), 2, "expected none")


def test_a_sample_that_is_bad_is_named(tmp_path):
    """A member of a population, and a teacher."""
    changed = {"method.with_teacher": True, "output.loggers": []}
    run = open_experiment(arguments.load(SETTINGS | changed))
    split = run.source.split("train")
    data = make_batch(split)
    data = data.replace(labels=data.labels.at[:].set(np.nan))
    state = member(run.initial_states([3]), 0).replace(step=jnp.int32(7))
    ended = BadSteps("", 1, state, {"task": float("nan"), "total": float("nan")})
    teacher = {"kernel": jnp.ones((68, 1))}
    path = tmp_path / "bad-step.npz"
    replay.write_dump(path, run, ended, partial(take, data), teacher)
    dump = replay.read_dump(path)
    assert (dump.epoch, dump.step) == (2, 3)
    np.testing.assert_array_equal(dump.teacher["kernel"], teacher["kernel"])
    lines = replay.replay(path)
    assert lines[-2] == "first: the step was given NaN or an infinity in batch.labels"
    assert lines[-1] == f"  of the samples {', '.join(dump.ids[:5])}, ..."
