"""Files of safetensors: what is whole is read, what is not has one message."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy

from fsrf_jax.errors import DataError, RunError
from fsrf_jax.reading.tensors import read_tensors

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b.c": np.array(4, np.int32)}


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.numpy.save(ARRAYS))
    found = read_tensors(path)
    np.testing.assert_equal(found, ARRAYS)
    assert {name: x.dtype for name, x in found.items()} == {n: x.dtype for n, x in ARRAYS.items()}


def header(content, data=b""):
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2**60) + b"{}",
        safetensors.numpy.save(ARRAYS)[:-1],
        header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
    ],
)
def test_what_is_damaged_has_one_message(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.safetensors: cannot be read as safetensors"):
        read_tensors(path)


def test_the_error_is_that_of_who_asks(tmp_path):
    with pytest.raises(RunError, match="found no file"):
        read_tensors(tmp_path / "x.safetensors", RunError)
