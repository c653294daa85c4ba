"""Files made to do harm: a command ends in one message, soon, and in little memory."""

import json
import os
import subprocess
import sys
import time

import hostile
import numpy as np
import pytest
from command_case import ROOT, TINY, call, refused

from fsrf_jax.errors import DataError
from fsrf_jax.reading.text import read_csv, read_json

PREPARED = {**hostile.PICKLES, **hostile.NPZ}
MASKS = {
    "modalities without an axis": {"modalities": np.array("audio")},
    "frames of text": {"frames": np.array(["a", "b"])},
    "endless frames": {"frames": np.array([2**62, 2**62])},
    "negative frames": {"frames": np.array([-8, -8])},
    "seeds of text": {"mask_seeds": np.array(["a", "b"])},
    "ids without an axis": {"ids": np.array("a")},
    "a deep protocol": {"protocol": np.array("[" * 50_000)},
    "a protocol of another kind": {"protocol": np.array("[1, 2]")},
    "a protocol that is no text": {"protocol": np.array([1.5, 2.5])},
    "conditions that do not fit": {"observed_audio": np.zeros((1, 1, 1, 1), np.uint8)},
}
PREDICTIONS = {
    "ids of two axes": {"ids": np.array([["a", "b"]])},
    "seeds without an axis": {"mask_seeds": np.array(0)},
    "text": {"predictions": np.array([["a", "b"]])},
    "one number": {"predictions": np.array(1.0)},
}


def one_message(done, status=1):
    refused(done, status)
    assert len(done.err) < 20_000


@pytest.mark.parametrize("name", PREPARED)
def test_data(tmp_path, name):
    suffix, content = PREPARED[name]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    one_message(call("prepare", path, "--output", tmp_path / "out.h5"))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("name", hostile.HDF5)
def test_hdf5(tmp_path, name, store):
    hostile.write_hdf5(tmp_path / "x.h5", hostile.HDF5[name], store)
    one_message(call("prepare", tmp_path / "x.h5", "--output", tmp_path / "out.h5"))
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("name", hostile.YAML)
def test_protocols(tmp_path, name):
    path = tmp_path / "x.yaml"
    path.write_text(hostile.YAML[name], "utf-8")
    one_message(call("train", *TINY, "--evaluation.protocol", path), 2)


@pytest.mark.parametrize("name", hostile.YAML)
def test_configs(tmp_path, name):
    path = tmp_path / "x.yaml"
    path.write_text(hostile.YAML[name], "utf-8")
    one_message(call("train", "--config", path, "--print_config"), 2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Masks of a tiny data set, and predictions on them, as arrays."""
    folder = tmp_path_factory.mktemp("exported")
    done = call("masks", *TINY, "--evaluation.protocol", "gcnet", folder / "m.npz")
    assert done.status == 0, done.err
    with np.load(folder / "m.npz") as content:
        masks = dict(content)
    shape = tuple(masks[key].size for key in ("conditions", "mask_seeds", "ids"))
    same = {key: masks[key] for key in ("ids", "conditions", "mask_seeds")}
    return masks, {**same, "predictions": np.zeros(shape)}


def evaluate(tmp_path, masks, predictions):
    (tmp_path / "c.yaml").write_text("{}")
    np.savez(tmp_path / "m.npz", **masks)
    np.savez(tmp_path / "p.npz", **predictions)
    argv = ("--masks", tmp_path / "m.npz", "--predictions", tmp_path / "p.npz")
    return call("evaluate", "--config", tmp_path / "c.yaml", *argv, *TINY)


def test_what_the_hostile_ones_are_made_of_is_read(tmp_path, exported):
    assert evaluate(tmp_path, *exported).status == 0


@pytest.mark.parametrize("name", MASKS)
def test_masks(tmp_path, exported, name):
    masks, predictions = exported
    one_message(evaluate(tmp_path, masks | MASKS[name], predictions))


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions(tmp_path, exported, name):
    masks, predictions = exported
    one_message(evaluate(tmp_path, masks, predictions | PREDICTIONS[name]))


@pytest.mark.parametrize("name", hostile.JSON)
def test_json(tmp_path, name):
    (tmp_path / "x.json").write_text(hostile.JSON[name], "utf-8")
    with pytest.raises(DataError, match=r"x\.json: is not JSON"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("name", hostile.CSV)
def test_csv(tmp_path, name):
    content = hostile.CSV[name]
    (tmp_path / "x.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"x\.csv: "):
        read_csv(tmp_path / "x.csv")


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(pipe := tmp_path / "x.h5")
    (tmp_path / "c.yaml").symlink_to("/dev/zero")
    one_message(call("prepare", pipe, "--output", tmp_path / "out.h5"))
    one_message(call("train", *TINY, "--evaluation.protocol", tmp_path / "c.yaml"), 2)
    one_message(call("train", "--config", tmp_path / "c.yaml"), 2)
    argv = ("--masks", pipe, "--predictions", pipe, "--output", tmp_path / "r.json")
    one_message(call("evaluate", "--config", ROOT / "configs/demo.yaml", *argv))


COMMAND = """
import json, resource, sys, time
from fsrf_jax.cli.prepare import main
began, sys.argv = time.monotonic(), ["prepare", *sys.argv[1:]]
status = main()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([status, time.monotonic() - began, memory]))
"""


def measured(path, out):
    """Status, seconds and MB of `prepare`, in a process of its own."""
    argv = [sys.executable, "-c", COMMAND, str(path), "--output", str(out)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


def test_bombs_take_little_time_and_memory(tmp_path):
    np.savez(tmp_path / "tiny.npz", **hostile.arrays())
    status, seconds, memory = measured(tmp_path / "tiny.npz", tmp_path / "out.h5")
    assert status == 0
    for name in ("shared lists", "one array often", "a bomb", "a long id"):
        suffix, content = PREPARED[name]
        (tmp_path / f"x{suffix}").write_bytes(content)
        found = measured(tmp_path / f"x{suffix}", tmp_path / "y.h5")
        assert found[0] == 1
        assert found[1] < seconds + 5, name
        assert found[2] < memory + 200, name
    hostile.write_hdf5(tmp_path / "x.h5", hostile.HDF5["one text for all"])
    found = measured(tmp_path / "x.h5", tmp_path / "y.h5")
    assert found[0] == 1
    assert found[1] < seconds + 5
    assert found[2] < memory + 200


def test_a_pickle_without_an_end_in_sight_ends(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(hostile.PICKLES["deep tuples as a key"][1])
    began = time.monotonic()
    one_message(call("prepare", path, "--output", tmp_path / "out.h5"))
    assert time.monotonic() - began < 5
