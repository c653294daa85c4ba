import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import lazy_case
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fsrf_jax.data import overlaps, store
from fsrf_jax.data.clean import clean
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.errors import DataError, WriteError
from fsrf_jax.reading import hdf5

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


def rounded(x):
    return x.astype(np.float16).astype(np.float32)


def fractions(n=20, scale=1.0):
    """Features that float16 cannot hold exactly, and token ids that it could not hold at all."""
    rng = np.random.default_rng(0)
    features = {
        "audio": (scale * rng.normal(size=(n, 5, 3))).astype(np.float32),
        "language": rng.integers(60_000, 70_000, (n, 4, 1)).astype(np.float32),
    }
    valid = {m: np.ones(x.shape[:2], bool) for m, x in features.items()}
    split = Split(np.array([f"{i}" for i in range(n)]), features, valid, np.zeros(n, np.float32))
    return Dataset({"train": split}, ("a note",), tokens=("language",))


def test_float16_is_half_the_size_read_as_float32_and_says_what_it_changed(tmp_path):
    path, data = tmp_path / "x.h5", fractions()
    store.write(path, data, precision="float16")
    x = data.splits["train"].features["audio"]
    for stays in (False, True):
        found = store.read(path, ("audio", "language"), stays=stays)
        features = found.splits["train"].features
        assert [f.dtype for f in features.values()] == [np.float32] * 2
        np.testing.assert_array_equal(features["audio"][:], rounded(x))
        np.testing.assert_array_equal(
            features["language"], data.splits["train"].features["language"]
        )
    (part,) = store.parts(path, "train", ("audio",), 100)
    np.testing.assert_array_equal(part.features["audio"], rounded(x))
    with store.opened(path) as file:
        kinds = {m: d.dtype for m, d in file["splits/train/features"].items()}
    assert kinds == {"audio": np.float16, "language": np.float32}
    difference = rounded(x).astype(np.float64) - x
    relative = np.sqrt(np.square(difference).sum() / np.square(x, dtype=np.float64).sum())
    assert 1e-5 < relative < 1e-3
    assert found.notes == (
        "a note",
        f"audio: stored as float16, which changes a value by at most {np.abs(difference).max():.3g}"
        f", and all by {relative:.3g} of their size (root mean square)",
    )


def test_digests_of_a_float16_store_are_those_of_what_is_read(tmp_path):
    store.write(tmp_path / "x.h5", fractions(), precision="float16")
    read = store.read(tmp_path / "x.h5", ("audio",), stays=True)
    store.write(tmp_path / "y.h5", read)
    again = store.read(tmp_path / "y.h5", ("audio",), stays=True)
    one, other = (found.splits["train"].features["audio"].digests for found in (read, again))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (1e5, r"audio: found .*, above the largest number of float16, 65504: write it as float32"),
        (1e-9, "audio: found a frame whose values are all below 3e-8, .* which say missing"),
    ],
)
def test_what_float16_cannot_hold_is_refused_and_no_file_is_left(tmp_path, scale, message):
    with pytest.raises(DataError, match=message):
        store.write(tmp_path / "x.h5", fractions(scale=scale), precision="float16")
    assert list(tmp_path.iterdir()) == []
    store.write(tmp_path / "x.h5", fractions(scale=scale))


def test_features_that_stay_are_those_that_are_read(tmp_path):
    dataset = clean(example(5))
    store.write(tmp_path / "x.h5", dataset)
    found = store.read(tmp_path / "x.h5", ("vision", "audio"), stays=True)
    assert (found.notes, list(found.splits)) == (dataset.notes, list(dataset.splits))
    for name, split in dataset.splits.items():
        assert not found.splits[name].in_memory
        lazy_case.assert_same(found.splits[name], split)
        rows = [3, 0, 1, 4]  # neighbours and others
        x = found.splits[name].features["vision"]
        np.testing.assert_array_equal(x[rows], split.features["vision"][rows])
    assert overlaps.find(found) == overlaps.find(dataset) != []


def test_nothing_is_read_of_features_that_stay(tmp_path, monkeypatch):
    """Neither to open them, nor to compare samples."""
    store.write(tmp_path / "x.h5", example())

    def read(*_):
        raise AssertionError("read")

    monkeypatch.setattr(hdf5.Samples, "__call__", read)
    found = store.read(tmp_path / "x.h5", ("vision",), stays=True)
    assert len(overlaps.find(clean(found, stored=True))) == 3
    with pytest.raises(AssertionError, match="read"):
        found.splits["a"].features["vision"][0]


def test_token_ids_are_small_and_do_not_stay(tmp_path):
    store.write(tmp_path / "x.h5", dataclasses.replace(example(), tokens=("vision",)))
    split = store.read(tmp_path / "x.h5", ("vision", "audio"), stays=True).splits["train"]
    assert isinstance(split.features["vision"], np.ndarray)
    assert not isinstance(split.features["audio"], np.ndarray)


@pytest.mark.parametrize("compression", ["none", "lzf"])
def test_chunks_are_whole_samples(tmp_path, compression):
    x = np.random.default_rng(0).normal(size=(9, 90, 200)).astype("f4")  # 72 kB a sample
    ones = np.ones((9, 90), bool)
    many, few = {"a": x, "b": x[:, :, :1]}, {"a": ones, "b": ones}
    split = Split(np.array(list("abcdefghi")), many, few, np.zeros(9, np.float32))
    store.write(tmp_path / "x.h5", Dataset({"train": split}), compression=compression)
    with h5py.File(tmp_path / "x.h5") as file:
        made = file["splits/train/features"]
        assert made["a"].chunks == (1, 90, 200)
        assert made["b"].chunks == (9, 90, 1)
        assert made["a"].compression == (None if compression == "none" else "lzf")
        assert made["a"].fletcher32
    for stays in (True, False):
        found = store.read(tmp_path / "x.h5", ("a", "b"), stays=stays).splits["train"]
        lazy_case.assert_same(found, split)


def test_damage_of_features_that_stay_is_noticed_when_they_are_read(tmp_path):
    path, dataset = tmp_path / "x.h5", example(200)
    store.write(path, dataset)
    content = bytearray(path.read_bytes())
    content[content.index(dataset.splits["train"].features["vision"][7].tobytes()) + 5] ^= 1
    path.write_bytes(content)
    x = store.read(path, ("vision",), stays=True).splits["train"].features["vision"]
    with pytest.raises(DataError, match=r"x.h5: cannot be read as HDF5 .* prepare it again"):
        x[[7]]


def test_what_stands_beside_features_that_stay_has_to_fit(tmp_path):
    path = tmp_path / "x.h5"
    store.write(path, example())
    with h5py.File(path, "a") as file:
        del file["splits/a/present/audio"]
        file["splits/a/present/audio"] = np.ones((3, 2), bool)
    with pytest.raises(
        DataError, match=r"beside it are arrays of .*\(3, 2\).*prepare the data set"
    ):
        store.read(path, ("audio",), stays=True)


def as_version_2(path):
    """A store as an earlier program wrote it, with h5py's chunks."""
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 2
        for group in file["splits"].values():
            del group["present"], group["digests"]
            for m, x in {m: x[()] for m, x in group["features"].items()}.items():
                del group["features"][m]
                group["features"].create_dataset(m, data=x, compression="gzip", fletcher32=True)


def test_files_of_version_2_are_read(tmp_path):
    dataset = clean(example())
    store.write(tmp_path / "x.h5", dataset)
    as_version_2(tmp_path / "x.h5")
    for stays in (True, False):
        found = store.read(tmp_path / "x.h5", ("vision", "audio"), stays=stays)
        lazy_case.assert_same(found.splits["train"], dataset.splits["train"])
    assert store.size(tmp_path / "x.h5", ("vision",)) == (2, 2 * 3 * 4 * 2 * 4)


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
        for group in file["splits"].values():
            del group["present"], group["digests"]
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
