"""Where samples are in training: what is chosen, why, and what is refused."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from command_case import tiny_arrays
from lazy_case import staying

from fsrf_jax.config import DataConfig
from fsrf_jax.data import load, placement, store
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.placement import choose, stays_in_file
from fsrf_jax.errors import DataError, OutOfMemory
from fsrf_jax.source import open_source

NAMES = ("language", "audio", "vision")
FRAME = 4 * (32 + 16 + 20)  # bytes
SIZE = (40 + 16) * 6 * (FRAME + 3 * 2)  # of training and validation, and two masks for each


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same as .npz and as a store."""
    place = tmp_path_factory.mktemp("placement")
    np.savez(place / "x.npz", **tiny_arrays())
    store.write(place / "x.h5", load.load(place / "x.npz", NAMES))
    return place


@pytest.fixture
def memory(monkeypatch):
    """Sets what there is: of the machine, and of a device of its own."""

    def have(free, device=None):
        monkeypatch.setattr(placement, "memory_at_hand", lambda: free)
        stats = {"bytes_limit": device, "bytes_in_use": 0} if device else None
        platform = "gpu" if device else "cpu"
        one = SimpleNamespace(platform=platform, memory_stats=lambda: stats)
        monkeypatch.setattr(placement.jax, "local_devices", lambda: [one])

    return have


def opened(path, asked="auto", **options):
    return open_source(DataConfig(source="file", path=str(path), placement=asked, **options))


@pytest.mark.parametrize(
    ("free", "device", "expected"),
    [
        (2 * SIZE, None, "device"),
        (2 * SIZE - 1, None, "host"),
        (SIZE, None, "host"),
        (SIZE, 2 * SIZE, "device"),
        (10 * SIZE, 2 * SIZE - 1, "host"),
    ],
)
def test_the_first_that_the_memory_is_enough_for(files, memory, free, device, expected):
    memory(free, device)
    placed = opened(files / "x.npz").placed
    assert placed.kind == expected
    assert placed.reason.startswith(f"data.placement {expected}, chosen: training and validation")
    assert "take 93.4 kB, " in placed.reason
    assert ("on the device" in placed.reason) == (device is not None)


def test_too_little_memory_for_what_is_no_store(files, memory):
    memory(SIZE - 1, 10 * SIZE)
    with pytest.raises(OutOfMemory, match=r"93.4 kB, 93.4 kB of memory .*first by bin/prepare"):
        opened(files / "x.npz")


@pytest.mark.parametrize("asked", ["device", "host"])
def test_what_is_asked_for_is_not_weighed(files, memory, asked):
    memory(1)
    placed = opened(files / "x.h5", asked).placed
    assert (placed.kind, "as asked" in placed.reason) == (asked, True)


def test_a_store_stays_in_its_file_where_memory_is_short(files, memory):
    whole = FRAME * 6 * 80
    memory(3 * whole)
    assert opened(files / "x.h5").placed.kind == "device"
    memory(3 * whole - 1)
    source = opened(files / "x.h5")
    assert source.placed.kind == "stream"
    assert source.placed.reason.startswith("data.placement stream, chosen: ")
    assert not any(split.in_memory for split in source.dataset.splits.values())
    memory(10 * whole)
    assert opened(files / "x.h5", "stream").placed.reason.startswith("data.placement stream, as a")


@pytest.mark.parametrize("options", [{}, {"folds": 5, "fold": 2, "allow_pooled_test": True}])
def test_data_are_the_same_wherever_they_are(files, options):
    source = opened(files / "x.h5", "stream", **options)
    same = opened(files / "x.h5", "device", **options)
    assert source.fingerprint == same.fingerprint
    assert source.shapes == same.shapes
    assert source.dataset.notes == same.dataset.notes


def test_only_a_store_is_streamed(files, tmp_path):
    with pytest.raises(
        DataError, match=r"x.npz is no store; convert it first, bin/prepare .*x.npz"
    ):
        opened(files / "x.npz", "stream")
    with pytest.raises(DataError, match=r"does not exist; did you mean 'x.h5'\?"):
        opened(files / "x.h6", "stream")
    old = tmp_path / "old.h5"
    old.write_bytes((files / "x.h5").read_bytes())
    with h5py.File(old, "a") as file:
        file.attrs["version"] = 2
    with pytest.raises(DataError, match=r"store of version 2, .* expected version 3: prepare it a"):
        opened(old, "stream")


def test_a_store_of_an_earlier_version_that_is_too_large(files, tmp_path, memory):
    old = tmp_path / "old.h5"
    old.write_bytes((files / "x.h5").read_bytes())
    with h5py.File(old, "a") as file:
        file.attrs["version"] = 1
    memory(10**6)
    assert not stays_in_file("auto", old, NAMES, "auto")
    memory(10**5)
    with pytest.raises(
        DataError, match=r"and its 130.6 kB do not fit the memory; expected version"
    ):
        stays_in_file("auto", old, NAMES, "auto")


def test_one_split_that_stays_is_enough(files):
    dataset = load.load(files / "x.npz", NAMES)
    test = {"test": staying(dataset.splits["test"])}
    assert choose("auto", Dataset(dict(dataset.splits) | test)).kind == "stream"
