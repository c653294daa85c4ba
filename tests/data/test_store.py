import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fsrf_jax.data import store
from fsrf_jax.data.clean import clean
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.errors import DataError, WriteError

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


def example(n=3):
    features = {
        "vision": np.arange(n * 8, dtype=np.float32).reshape(n, 4, 2),
        "audio": np.zeros((n, 1, 2), np.float32),
    }
    valid = {"vision": np.ones((n, 4), bool), "audio": np.zeros((n, 1), bool)}
    ids = np.array([f"v$_${i}é" for i in range(n)])
    split = Split(ids, features, valid, np.linspace(-3, 3, n, dtype=np.float32))
    return Dataset({"train": split, "a": split}, ("a note", "é"))


def assert_same(found, expected):
    assert found.notes == expected.notes
    assert list(found.splits) == list(expected.splits)
    for name, split in expected.splits.items():
        other = found.splits[name]
        assert other.modalities == split.modalities
        pairs = [(other.ids, split.ids), (other.labels, split.labels)]
        for m in split.modalities:
            pairs += [(other.features[m], split.features[m]), (other.valid[m], split.valid[m])]
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype or a.dtype.kind == b.dtype.kind == "U"


def test_round_trip_keeps_order_and_missing(tmp_path):
    store.write(tmp_path / "x.h5", example())
    assert_same(store.read(tmp_path / "x.h5", ("vision", "audio")), example())
    assert store.is_store(tmp_path / "x.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]
    turned = store.read(tmp_path / "x.h5", ("audio", "vision")).splits["train"]
    assert turned.modalities == ("audio", "vision")


@st.composite
def datasets(draw):
    n, t, f = (draw(st.integers(1, 4)) for _ in range(3))
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    ids = draw(st.lists(TEXT, min_size=n, max_size=n, unique=True))
    valid = draw(hnp.arrays(bool, (n, t)))
    features = draw(hnp.arrays(np.float32, (n, t, f), elements=floats))
    shape = draw(st.sampled_from([(n,), (n, 1), (n, 3)]))
    labels = draw(hnp.arrays(np.float32, shape, elements=floats))
    split = Split(np.array(ids, np.str_), {"a": features}, {"a": valid}, labels)
    return Dataset({"train": split}, tuple(draw(st.lists(TEXT, max_size=3))))


@settings(max_examples=40, deadline=None)
@given(datasets())
def test_round_trip_is_exact(dataset):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        store.write(path, dataset)
        assert_same(store.read(path, ("a",)), dataset)


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match="exists already"):
        store.write(path, example())
    assert path.read_bytes() == b"mine"


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(WriteError, match="cannot be written: disk full"):
        store.write(tmp_path / "x.h5", example())
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="cannot be written"):
        store.write(tmp_path / "no" / "x.h5", example())


def test_what_is_no_store_is_said(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["train_label"] = [1.0]
    with pytest.raises(DataError, match=r"not a store of this project: found .*hdf5.*'arrays'"):
        store.read(path, ("audio",))
    path.write_bytes(b"nothing")
    assert not store.is_store(path)


def test_other_versions_and_modalities_are_named(tmp_path):
    path = tmp_path / "x.h5"
    store.write(path, example())
    with pytest.raises(DataError, match=r"no modality 'visio'; found vision, audio; did you mean"):
        store.read(path, ("visio",))
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 99
    with pytest.raises(DataError, match="has version 99 of the store; this program reads version"):
        store.read(path, ("audio",))


def test_damage_is_noticed(tmp_path):
    path = tmp_path / "x.h5"
    dataset = example(200)
    store.write(path, dataset)
    content = bytearray(path.read_bytes())
    wanted = dataset.splits["train"].labels[:20].tobytes()
    content[content.index(wanted) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as HDF5 .* prepare it again"):
        store.read(path, ("vision",))
    path.write_bytes(content[:-1000])
    assert not store.is_store(path)


def test_files_of_version_1_are_read(tmp_path):
    """They have no classes, tokens or groups."""
    path = tmp_path / "x.h5"
    store.write(path, example())
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 1
        del file["classes"], file["tokens"]
    assert_same(store.read(path, ("vision", "audio")), example())


def test_classes_tokens_and_groups_are_stored(tmp_path):
    dataset = example()
    groups = np.array(["a", "b", "é"])
    splits = {n: dataclasses.replace(s, groups=groups) for n, s in dataset.splits.items()}
    dataset = dataclasses.replace(
        dataset, splits=splits, classes=("no", "yés"), tokens=("audio", "vision")
    )
    store.write(tmp_path / "x.h5", dataset)
    found = store.read(tmp_path / "x.h5", ("audio",))
    assert (found.classes, found.tokens) == (("no", "yés"), ("audio",))
    assert found.splits["a"].groups.tolist() == groups.tolist()


def test_gaps_are_known_again(tmp_path):
    audio = np.ones((2, 4, 3), np.float32)
    audio[0, 1] = audio[1, 3] = 0
    valid = {"audio": np.array([[True] * 4, [True] * 3 + [False]])}
    split = Split(np.array(["a", "b"]), {"audio": audio}, valid, np.zeros(2, np.float32))
    dataset = clean(Dataset({"train": split}))
    store.write(tmp_path / "x.h5", dataset)
    found = store.read(tmp_path / "x.h5", ("audio",)).splits["train"]
    np.testing.assert_array_equal(found.present["audio"], [[1, 0, 1, 1], [1, 1, 1, 0]])
    np.testing.assert_array_equal(found.valid["audio"], valid["audio"])


def test_a_disk_that_is_full_is_one_message_and_no_crash(tmp_path):
    """In a process of its own, which HDF5 would take with it."""
    code = (
        "import resource, sys; from pathlib import Path; import numpy as np\n"
        "from fsrf_jax.data import store\n"
        "from fsrf_jax.data.dataset import Dataset, Split\n"
        "from fsrf_jax.errors import WriteError\n"
        "values = np.random.default_rng(0).normal(size=(40, 50, 30)).astype(np.float32)\n"
        "ids, valid = np.arange(40).astype(str), {'audio': np.ones((40, 50), bool)}\n"
        "split = Split(ids, {'audio': values}, valid, np.zeros(40, np.float32))\n"
        "path = Path(sys.argv[1])\n"
        "store.write(path, Dataset({'train': split}, ()))\n"
        "size = path.stat().st_size\n"
        "path.unlink()\n"
        "for limit in (0, 100, 5000, size // 2, size - 1):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        store.write(path, Dataset({'train': split}, ()))\n"
        "    except WriteError as error:\n"
        "        sys.stderr.write(f'{error}\\n')\n"
    )
    path = tmp_path / "x.h5"
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    line = f"{path}: cannot be written: File too large: make room, or look after the folder"
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 5, lines
    assert all(one.startswith(line) for one in lines)
    assert list(tmp_path.iterdir()) == []
