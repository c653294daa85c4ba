import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from fsrf_jax.errors import DataError
from fsrf_jax.reading.pickles import read_pickle as load

CONTENT = {
    "a": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "big": np.arange(3, dtype=">i4"),
    "half": np.ones(2, np.float16),
    "text": np.array(["x", "yé"]),
    "bytes": np.array([b"ab", b"c"]),
    "object": np.array(["x", 3, None], dtype=object),
    "strided": np.arange(10)[::2],
    "scalar": np.float32(2.5),
    "list": [1, 2.5, "s", b"raw", b""],
    "ordered": OrderedDict(x=1),
    "set": {1, 2},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_come_back(tmp_path, protocol):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(CONTENT, protocol))
    found = load(path)
    assert list(found) == list(CONTENT)
    for name, expected in CONTENT.items():
        assert isinstance(expected, type(found[name]))  # an OrderedDict as a plain one
        np.testing.assert_array_equal(found[name], expected)
        if isinstance(expected, np.ndarray):
            assert found[name].dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")


def test_old_numpy_and_python_2_are_read(tmp_path):
    # What Python 2 and NumPy 1 wrote: the old module path, integers for flags, bytes as text.
    text = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x80?\x00\x00\x00\xc0tb."
    )
    path = tmp_path / "x.pkl"
    path.write_bytes(text)
    np.testing.assert_array_equal(load(path), np.array([1, -2], np.float32))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_code_is_named_and_not_run(tmp_path):
    sentinel, path = tmp_path / "ran", tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"train": Evil(sentinel)}))
    with pytest.raises(DataError, match=r"names posix\.system, which would run code: only arrays"):
        load(path)
    assert not sentinel.exists()
    pickle.loads(path.read_bytes())  # the pickle is a real one: it would have run
    assert sentinel.exists()


@pytest.mark.parametrize(
    ("module", "name"), [("builtins", "eval"), ("builtins", "getattr"), ("numpy", "load")]
)
def test_other_globals_are_refused(tmp_path, module, name):
    path = tmp_path / "x.pkl"
    path.write_bytes(f"c{module}\n{name}\n.".encode())
    with pytest.raises(DataError, match=rf"{module}\.{name}"):
        load(path)


def test_numpy_constructors_give_no_loose_pointers(tmp_path):
    path = tmp_path / "x.pkl"
    # ndarray((1,), 'O', b'AAAAAAAA'): NumPy itself would take the bytes for a pointer.
    path.write_bytes(b"\x80\x03cnumpy\nndarray\nK\x01\x85U\x01OC\x08AAAAAAAA\x87R.")
    with pytest.raises(DataError, match=r"it calls numpy\.ndarray"):
        load(path)
    state = np.zeros(1, [("a", "O")])
    path.write_bytes(pickle.dumps(state))
    with pytest.raises(DataError, match=r"x\.pkl: is not read: .*dtype 'V8'"):
        np.asarray(load(path))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"hello, world", r"unknown kind \(first bytes b'hello, world', 12 bytes"),
        (pickle.dumps(np.arange(100.0))[:-50], "exhausted.*starts as pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x1f\x8b\x08", "gzip"),
    ],
)
def test_what_is_no_pickle_is_said(tmp_path, content, found):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=found):
        load(path)


def test_text_encodings_are_not_imported(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.")
    with pytest.raises(DataError, match="encodes text as 'zlib'"):
        load(path)
