import numpy as np
import pytest

from fsrf_jax.reading.limits import Refused
from fsrf_jax.reading.plain import check_dtype, check_shape, from_bytes


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("code", ["<f4", ">i8", "?", "<c16", "S3", "<U2"])
def test_bytes_become_the_array(code, order):
    expected = np.arange(6).reshape(2, 3).astype(code)
    found = from_bytes(expected.tobytes(order), np.dtype(code), (2, 3), order)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert found.flags.writeable


@pytest.mark.parametrize(
    ("shape", "itemsize", "length"),
    [
        ((3,), 8, 16),  # fewer bytes
        ((3,), 8, 32),  # more
        ((-1,), 8, 16),
        ((-2, -1), 8, 16),
        ((True, 2), 8, 16),
        ((2.0,), 8, 16),
        ([2], 8, 16),
        (2, 8, 16),
        ((10**12,), 0, 0),
        ((0, 2**50), 8, 0),
        ((0, 2**30, 2**30), 8, 0),
        ((1,) * 40, 8, 8),
    ],
)
def test_shapes_that_do_not_fit_the_bytes(shape, itemsize, length):
    with pytest.raises(ValueError, match="an array"):
        check_shape(shape, itemsize, length)


@pytest.mark.parametrize("code", ["O", "f4,O", "M8[D]", "m8[s]", "V8", "(2,)f4", [("a", "U3")]])
def test_dtypes_that_are_not_plain(code):
    with pytest.raises(Refused, match="only numbers and text are read"):
        check_dtype(np.dtype(code))
    assert check_dtype(np.dtype("<f2")).itemsize == 2


@pytest.mark.parametrize("character", [0x110000, 0xFFFFFFFF, 0xD800, 0xDFFF])
def test_numbers_that_are_no_characters(character):
    content = np.array([65, character], "<u4").tobytes()
    with pytest.raises(ValueError, match="no characters"):
        from_bytes(content, np.dtype("<U1"), (2,), "C")
