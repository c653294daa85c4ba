"""Arrays of plain data, made of values that were checked before."""

import math
from collections.abc import Sequence

import numpy as np

from fsrf_jax.reading.limits import Refused

_MOST_AXES = 32


def check_shape(shape: object, itemsize: int, length: int) -> int:
    """The number of elements of an array that has exactly `length` bytes.

    Raises:
        ValueError: the shape is none, or asks for more or fewer bytes.
    """
    sizes = shape if isinstance(shape, tuple) else (-1,)
    if len(sizes) > _MOST_AXES or any(type(n) is not int or not 0 <= n < 2**40 for n in sizes):
        raise ValueError(f"an array has the shape {str(shape)[:100]}")
    count = math.prod(sizes)
    if count * itemsize != length or (itemsize == 0 and count):
        raise ValueError(
            f"an array of shape {shape} and {itemsize} bytes an element has {length} bytes of data"
        )
    # An empty array with a long axis is small itself, but not what is later made like it.
    if not count and math.prod(n for n in sizes if n) > 2**40:
        raise ValueError(f"an array has the shape {shape}")
    return count


def check_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype, if it is of numbers or of text of fixed width.

    Raises:
        Refused: it is of Python objects, of fields, or of dates.
    """
    if dtype.kind not in "biufcSU" or dtype.subdtype is not None or dtype.names is not None:
        name = "Python objects" if dtype.hasobject else f"dtype {str(dtype)[:100]}"
        raise Refused(f"it holds an array of {name}: only numbers and text are read")
    return dtype


def checked(array: np.ndarray) -> np.ndarray:
    """The array, with bools of 0 and 1 alone.

    Raises:
        ValueError: it holds numbers that are no characters as text.
    """
    if array.dtype.kind == "b":
        return array.view(np.uint8) != 0
    if array.dtype.kind == "U" and array.size:
        codes = np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)
        flat = array.reshape(-1, order="A").view(codes)
        if bool(np.any((flat > 0x10FFFF) | ((flat >= 0xD800) & (flat < 0xE000)))):
            raise ValueError("an array of text holds numbers that are no characters")
    return array


def from_bytes(
    content: bytes | bytearray, dtype: np.dtype, shape: Sequence[int], order: str
) -> np.ndarray:
    """A new array of exactly these bytes.

    Args:
        content: all of it.
        dtype: of numbers, or of text of fixed width.
        shape: of the array.
        order: "C" or "F".

    Raises:
        ValueError: a value is not what it has to be.
    """
    check_dtype(dtype)
    if not check_shape(shape, dtype.itemsize, len(content)):
        return np.empty(shape, dtype)
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if order == "F" else "C")
    return checked(array.copy(order="K"))
