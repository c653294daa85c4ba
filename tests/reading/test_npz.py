import io
import zipfile

import numpy as np
import pytest

from fsrf_jax.errors import DataError, OutOfMemory, RunError
from fsrf_jax.reading import limits
from fsrf_jax.reading.npz import open_npz, read_npy, read_npz

ARRAYS = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "big": np.arange(3, dtype=">i4"),
    "text": np.array(["x", "yé"]),
    "bytes": np.array([b"ab", b"c"]),
    "bool": np.array([True, False]),
    "one": np.array(3),
    "empty": np.empty((0, 4), np.float32),
    "large": np.arange(500_000.0),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    save(tmp_path / "x.npz", **ARRAYS)
    with open_npz(tmp_path / "x.npz") as found:
        assert list(found) == list(ARRAYS)
        assert len(found) == len(ARRAYS)
        assert "none" not in found
        for name, expected in ARRAYS.items():
            assert found[name].dtype == expected.dtype
            np.testing.assert_array_equal(found[name], expected)
        with pytest.raises(KeyError):
            found["none"]
    assert list(read_npz(tmp_path / "x.npz")) == list(ARRAYS)


@pytest.mark.parametrize("name", ARRAYS)
def test_one_array(tmp_path, name):
    np.save(tmp_path / "x.npy", ARRAYS[name])
    found = read_npy(tmp_path / "x.npy")
    assert found.dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(found, ARRAYS[name])


def test_headers_of_python_2(tmp_path):
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2L,), }\n"
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    (tmp_path / "x.npy").write_bytes(head + np.arange(2.0).tobytes())
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), [0, 1])


def test_only_what_is_asked_for_is_read(tmp_path):
    np.savez(tmp_path / "x.npz", good=np.ones(2), objects=np.array([{}], object))
    with open_npz(tmp_path / "x.npz") as found:
        np.testing.assert_array_equal(found["good"], 1)
        with pytest.raises(DataError, match="an array of Python objects: only numbers and text"):
            found["objects"]


def test_errors_are_of_the_kind_asked_for(tmp_path):
    (tmp_path / "x.npz").write_text("text")
    with pytest.raises(RunError, match=r"x\.npz: cannot be read as \.npz"):
        read_npz(tmp_path / "x.npz", RunError)


def test_bools_are_0_or_1(tmp_path):
    np.save(tmp_path / "x.npy", np.array([7, 0, 255], np.uint8))
    content = (tmp_path / "x.npy").read_bytes().replace(b"|u1", b"|b1")
    (tmp_path / "x.npy").write_bytes(content)
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy").view(np.uint8), [1, 0, 1])


def test_a_file_of_torch_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("x/data.pkl", b"")
    with pytest.raises(DataError, match=r"a file of torch\.save; .* torch\.load\(FILE\)"):
        read_npz(tmp_path / "x.npz")


def test_a_good_file_larger_than_the_memory_says_so(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", a=np.ones(1000))
    np.save(tmp_path / "x.npy", np.ones(1000))
    monkeypatch.setattr(limits, "memory_at_hand", lambda: 5000)
    for read, name in ((read_npz, "x.npz"), (read_npy, "x.npy")):
        with pytest.raises(OutOfMemory, match=r"needs 8\.1 kB of memory, found 5\.0 kB") as e:
            read(tmp_path / name)
        assert "read fewer modalities" in str(e.value)
        assert "download" not in str(e.value)


def test_a_damaged_member_is_noticed(tmp_path):
    packed = io.BytesIO()
    np.savez(packed, a=np.ones(100))
    content = bytearray(packed.getvalue())
    content[400] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match="Bad CRC-32"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_are_read_when_they_are_asked_for(tmp_path, save):
    x = np.arange(600.0).reshape(200, 3)
    save(tmp_path / "x.npz", x=x, fortran=np.asfortranarray(x + 1))
    with open_npz(tmp_path / "x.npz", stays=True) as found:
        arrays = [found.samples(name) for name in ("x", "fortran")]
    del found
    for rows, expected in zip(arrays, (x, x + 1), strict=True):
        assert (rows.shape, rows.dtype) == (x.shape, x.dtype)
        for index in ([0, 1], [2, 3, 4], [4], [190, 199, 195], [5], [], [199]):  # on, and back
            index = np.array(index, int)
            np.testing.assert_array_equal(rows(index), expected[index])


def test_rows_of_a_damaged_array(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(100_000.0))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[400_000] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    with open_npz(tmp_path / "x.npz", stays=True) as found:
        rows = found.samples("x")
    with pytest.raises(DataError, match=r"array 'x', .*; expected a complete file"):
        rows(np.arange(100_000))
