import os
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

from fsrf_jax.errors import DataError
from fsrf_jax.reading import machine, spans
from fsrf_jax.reading.pickles import Unread
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


@pytest.mark.parametrize("large", [spans.LARGE, 1])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_come_back(tmp_path, monkeypatch, protocol, large):
    monkeypatch.setattr(spans, "LARGE", large)
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


MORE = {
    "empty": np.empty((0, 3), np.float32),
    "no text": np.array([], str),
    "one": np.array(2.5),
    "turned": np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    "bool": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "long": np.array([1, 2], np.longdouble),
    "nested": np.array([[{"a": 1}, "x"], [None, 2.5]], object),
}


@pytest.mark.parametrize("large", [spans.LARGE, 1])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_kind_of_array_of_numpy_1_and_2(tmp_path, monkeypatch, protocol, core, large):
    monkeypatch.setattr(spans, "LARGE", large)
    path = tmp_path / "x.pkl"
    for expected in MORE.values():
        content = pickle.dumps(expected, protocol)
        if protocol < 4:  # names are lines
            content = content.replace(b"numpy._core", core)
        path.write_bytes(content)
        found = load(path)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found, expected)
        assert found.flags.writeable
        assert found.base is None or found.base.flags.owndata  # nobody else's memory


def test_dictionaries_and_keys(tmp_path):
    path = tmp_path / "x.pkl"
    counted = defaultdict(list, {"x": [1]})
    content = {np.str_("a"): 1, np.int64(3): 2, ("a", "b"): 3, b"x": 4, 2.5: 5, None: counted}
    for protocol in range(6):
        path.write_bytes(
            pickle.dumps([content, Counter("aab"), frozenset({np.int64(1)})], protocol)
        )
        assert load(path) == [content, {"a": 2, "b": 1}, {1}]


def test_what_is_shared_stays_shared(tmp_path):
    path = tmp_path / "x.pkl"
    array = np.ones(3)
    path.write_bytes(pickle.dumps({"a": array, "b": [array]}))
    found = load(path)
    assert found["a"] is found["b"][0]


def test_text_of_python_2(tmp_path):
    path = tmp_path / "x.pkl"
    # {'a\xc3\xa9': '\xe9', u'b': 'c'} in protocol 2: UTF-8 where it is, latin1 where it is not.
    path.write_bytes(b"\x80\x02}(U\x03a\xc3\xa9U\x01\xe9X\x01\x00\x00\x00bU\x01cu.")
    assert load(path) == {"aé": "é", "b": "c"}
    path.write_bytes(b"(dp0\nS'a'\np1\n(lp2\nI1\naL2L\naF0.5\nas.")
    assert load(path) == {"a": [1, 2, 0.5]}


def test_halves_of_characters_are_replaced(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"a\ud800": ["\ud83d", "é"]}))
    assert load(path) == {"a?": ["?", "é"]}


def test_bools_are_0_or_1(tmp_path):
    path = tmp_path / "x.pkl"
    content = pickle.dumps(np.array([True, False, True]), 3)
    path.write_bytes(content.replace(b"\x01\x00\x01", b"\x07\x00\xff"))
    np.testing.assert_array_equal(load(path).view(np.uint8), [1, 0, 1])


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("torch._utils\n_rebuild_tensor_v2", "an object of PyTorch .* tensor.numpy"),
        ("pandas.core.frame\nDataFrame", "a table of pandas .* table.to_numpy"),
        ("joblib.numpy_pickle\nNumpyArrayWrapper", r"an array of joblib .*\(joblib\.load"),
        ("scipy.sparse._csr\ncsr_matrix", "a sparse array .* array.toarray"),
        ("numpy.ma.core\n_mareconstruct", "a masked array .* array.filled"),
    ],
)
def test_objects_of_libraries_are_named_with_a_conversion(tmp_path, named, message):
    path = tmp_path / "x.pkl"
    path.write_bytes(f"c{named}\n.".encode())
    with pytest.raises(DataError, match=message):
        load(path)


def test_files_of_torch_are_named(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2))
    with pytest.raises(DataError, match="an object of PyTorch"):
        load(path)
    path.write_bytes(b"\x80\x02X\x01\x00\x00\x00aQ.")
    with pytest.raises(DataError, match="an object of PyTorch"):
        load(path)


def test_an_array_that_is_not_read_does_no_harm_where_nobody_uses_it(tmp_path):
    path = tmp_path / "x.pkl"
    fields = np.zeros(2, [("a", "f4")])
    path.write_bytes(pickle.dumps({"a": np.ones(2), "b": fields, "c": np.array(["2020"], "M8[D]")}))
    found = load(path)
    np.testing.assert_array_equal(found["a"], 1)
    assert [type(found[key]) for key in "bc"] == [Unread, Unread]
    with pytest.raises(DataError, match=r"x\.pkl: is not read: .* dtype 'M8'"):
        np.asarray(found["c"])


def test_no_instruction_looks_anything_up(tmp_path, monkeypatch):
    """What the module promises: nothing is imported, and the library's calls are not reached."""
    library = pickle._Unpickler.dispatch
    for name in ("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD"):
        code = getattr(pickle, name)[0]
        assert machine.Machine.dispatch[code] is not library[code]
    for name in ("EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "READONLY_BUFFER"):
        with pytest.raises(pickle.UnpicklingError, match="is no instruction"):
            machine.Machine.dispatch[getattr(pickle, name)[0]]
    for name in ("find_class", "get_extension", "_instantiate", "persistent_load"):
        monkeypatch.delattr(pickle._Unpickler, name)
    path = tmp_path / "x.pkl"
    for protocol in range(6):
        path.write_bytes(pickle.dumps(CONTENT, protocol))
        assert list(load(path)) == list(CONTENT)
    path.write_bytes(b"cantigravity\nfly\n.")
    with pytest.raises(DataError, match=r"antigravity\.fly, which would run code"):
        load(path)
    assert "antigravity" not in sys.modules
