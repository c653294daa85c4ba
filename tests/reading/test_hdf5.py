import h5py
import hostile
import numpy as np
import pytest

from fsrf_jax.errors import DataError, OutOfMemory, RunError
from fsrf_jax.reading import limits
from fsrf_jax.reading.hdf5 import Samples, number_of, open_hdf5, read_array

TEXTS = ["x", "", "yé" * 3000, "x"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.h5"


@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": (2,)}, {"compression": "gzip", "shuffle": True}, {"maxshape": (None,)}],
)
def test_texts_of_any_length_come_back(path, options):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=TEXTS, dtype=h5py.string_dtype(), **options)
        file.create_dataset("one", data="é", dtype=h5py.string_dtype())
        file.create_dataset("none", (3,), dtype=h5py.string_dtype())
    with open_hdf5(path) as file:
        assert [text.decode() for text in read_array(file["x"])] == TEXTS
        assert read_array(file["none"]).tolist() == [b""] * 3


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (2, 3)}, {"compression": "lzf"}, {"fletcher32": True}]
)
def test_arrays_come_back(path, options):
    values = np.arange(20.0).reshape(4, 5)
    with h5py.File(path, "w") as file:
        file.create_dataset("a/b/x", data=values, **options)
        file["bool"] = np.array([True, False])
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(read_array(file["a/b/x"]), values)
        assert read_array(file["bool"]).tolist() == [True, False]
        with pytest.raises(DataError, match="/a is a group; expected an array"):
            read_array(file["a"])


@pytest.mark.parametrize("rows", [[], [3], [0, 1, 2, 3], [2, 0], [1, 1, 3]])
def test_some_rows_of_an_array(path, rows):
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["x"] = x
    with open_hdf5(path, DataError) as file:
        found = Samples(file["x"])(np.asarray(rows, int))
    np.testing.assert_array_equal(found, x[rows])


def test_attributes_are_numbers(path):
    with h5py.File(path, "w") as file:
        file.attrs.update(a=3, b="text", c=[1, 2])
    with open_hdf5(path) as file:
        assert [number_of(file, name) for name in "abcd"] == [3, None, None, None]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("external storage", "/train_audio has its data in another file; .* with h5py"),
        ("an external link", "/train_audio is a link by name, to another place or file"),
        ("a link by name", "/x is a link by name"),
        ("a virtual data set", "/x is a virtual data set, of parts of other files"),
        ("a size without data", r"would become 24\.0 GB; expected at most 100 times"),
        ("a packed bomb", r"would become 1\.2 GB"),
        ("a circle of groups", "/x is a group with two names"),
        ("deep groups", "nested more than 100 deep"),
        ("one text for all", r"would become 2\.0 GB"),
        ("an endless heap", "texts at .* are damaged"),
        ("a chunk of nothing", "a chunk has 0 bytes"),
    ],
)
def test_what_is_refused_before_it_is_read(path, name, message):
    hostile.write_hdf5(path, hostile.HDF5[name])
    with pytest.raises(DataError, match=message), open_hdf5(path):
        pass


def test_a_filter_that_is_not_there_is_not_looked_for(path):
    with h5py.File(path, "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((2,))
        made.set_filter(32001, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((2,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, space, made)
    with pytest.raises(DataError, match="a filter that h5py has not, 32001"), open_hdf5(path):
        pass


def test_texts_with_other_lengths_than_the_heap_has(path):
    """The library would copy as much as the heap has into room for what was asked for."""
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", data=["a" * 100, "b"], dtype=h5py.string_dtype())
        place = x.id.get_offset()
    content = bytearray(path.read_bytes())
    for length in (1, 2**31):
        content[place : place + 4] = length.to_bytes(4, "little")
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"a text has {length} bytes"), open_hdf5(path):
            pass


def test_what_is_wrong_while_it_is_open_is_one_message(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with (
        pytest.raises(RunError, match=r"x\.h5: cannot be read as HDF5"),
        open_hdf5(path, RunError) as f,
    ):
        f["y"]
    with pytest.raises(ZeroDivisionError), open_hdf5(path):
        raise ZeroDivisionError


def test_a_good_file_larger_than_the_memory_says_so(path, monkeypatch):
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(1000)
    monkeypatch.setattr(limits, "memory_at_hand", lambda: 5000)
    with open_hdf5(path) as file, pytest.raises(OutOfMemory, match=r"needs 8\.0 kB of memory"):
        read_array(file["x"])
