"""Arrays of pickles that stay in their file, or are read from their place in it."""

import pickle

import numpy as np
import pytest

from fsrf_jax.errors import DataError, OutOfMemory
from fsrf_jax.reading import limits
from fsrf_jax.reading.pickles import read_pickle
from fsrf_jax.reading.spans import Samples

RNG = np.random.default_rng(0)
LARGE = RNG.normal(size=(900, 16, 20)).astype(np.float32)  # 1.15 MB
AS_THEY_ARE = {
    "two axes": LARGE.reshape(900, -1),
    "whole numbers": (LARGE * 100).astype(np.int32),
    "in the order of Fortran": np.asfortranarray(LARGE),
    "small": LARGE[:10],
}


def pickled(tmp_path, content, protocol):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_large_array_stays_and_gives_its_rows_in_any_order(tmp_path, protocol, dtype):
    x = LARGE.astype(dtype)
    path = pickled(tmp_path, {"train": {"audio": x, "again": [x]}, "after": "end"}, protocol)
    found = read_pickle(path, stays=True)
    stays = found["train"]["audio"]
    assert isinstance(stays, Samples)
    assert (stays.shape, stays.ndim, len(stays)) == (x.shape, 3, 900)
    assert stays is found["train"]["again"][0]
    assert found["after"] == "end"
    for rows in ([0], [899, 0, 1, 2, 7, 7], [], range(900)):
        index = np.array(rows, int)
        np.testing.assert_array_equal(stays(index), x[index])
        assert stays(index).dtype == dtype
    np.testing.assert_array_equal(np.asarray(stays), x)
    whole = read_pickle(path)["train"]["audio"]
    np.testing.assert_array_equal(whole, x)
    assert whole.flags.writeable


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_other_arrays_are_read(tmp_path, name):
    found = read_pickle(pickled(tmp_path, AS_THEY_ARE[name], 4), stays=True)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, AS_THEY_ARE[name])


def test_large_bytes_that_are_no_array_are_read(tmp_path):
    content = [LARGE.tobytes(), bytearray(LARGE.tobytes())]
    for protocol in (3, 4, 5):
        assert read_pickle(pickled(tmp_path, content, protocol), stays=True) == content


def test_a_file_that_ends_too_early_is_an_error_now_or_when_rows_are_read(tmp_path):
    path = pickled(tmp_path, LARGE, 4)
    found = read_pickle(path, stays=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"x\.pkl: ends too early"):
        found(np.array([899]))
    with pytest.raises(DataError, match=r"x\.pkl: is not read: it ends too early"):
        read_pickle(path, stays=True)


def test_a_shape_of_more_than_there_is_is_refused(tmp_path):
    path = pickled(tmp_path, LARGE, 4)
    content = path.read_bytes()
    assert content.count(b"M\x84\x03K\x10K\x14") == 1  # 900, 16, 20
    path.write_bytes(content.replace(b"M\x84\x03K\x10K\x14", b"M\x85\x03K\x10K\x14"))
    with pytest.raises(DataError, match=r"shape \(901, 16, 20\) and 4 bytes an element"):
        read_pickle(path, stays=True)


def test_memory_is_needed_for_what_is_read_alone(tmp_path, monkeypatch):
    path = pickled(tmp_path, {"a": LARGE, "b": LARGE + 1}, 4)
    monkeypatch.setattr(limits, "memory_at_hand", lambda: LARGE.nbytes - 1)
    found = read_pickle(path, stays=True)
    np.testing.assert_array_equal(found["b"](np.array([3])), LARGE[[3]] + 1)
    for read in (lambda: np.asarray(found["a"]), lambda: read_pickle(path)):
        with pytest.raises(OutOfMemory, match=r"x\.pkl: reading it needs"):
            read()
