"""Reads pickles of arrays and plain containers, and runs nothing that a pickle asks for.

A pickle is a program. NumPy's own constructors are not safe against a hostile one either: an object
array over a byte buffer is a loose pointer, and so is a dtype whose state lies about its flags.
Dtypes and arrays are therefore rebuilt here from their plain parts.
"""

import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data.formats import signature
from fsrf_jax.errors import DataError

_PLAIN_DTYPE = re.compile(r"[<>=|]?[?biufcSUO]\d*")


class _Dtype:
    """A dtype given by its code; of a pickled dtype's state only the byte order is believed."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not _PLAIN_DTYPE.fullmatch(code):
            raise DataError(f"it holds an array of dtype {code!r}: only numbers and text are read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that takes its dtype from a `_Dtype`."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, dtype, fortran, content = state
        super().__setstate__((version, shape, dtype.dtype, fortran, content))


def _reconstruct(*_: object) -> np.ndarray:
    return _Array((0,), np.int8)


def _from_buffer(buffer: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype.dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _scalar(dtype: _Dtype, content: bytes | str) -> Any:
    raw = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(raw, dtype.dtype, 1)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise DataError(f"it encodes text as {encoding!r}: only latin1, which stands for bytes")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "ndarray",  # only ever an argument of _reconstruct; never called
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
}
for _core in ("numpy.core", "numpy._core"):
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _ADMITTED[f"{_core}.multiarray", "scalar"] = _scalar
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = _from_buffer
for _builtins in ("builtins", "__builtin__"):
    _ADMITTED[_builtins, "bytes"] = _empty_bytes
    for _type in (set, frozenset, list, dict, tuple, bytearray, complex):
        _ADMITTED[_builtins, _type.__name__] = _type


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise DataError(
                f"it names {module}.{name}, which would run code: "
                "only arrays and plain containers are read"
            )
        return _ADMITTED[module, name]


def load(path: str | Path) -> Any:
    """The content of a pickle of arrays and plain containers, of Python 2 or 3.

    Args:
        path: the file.

    Returns:
        What was pickled; arrays are instances of `np.ndarray`, use `np.asarray` on them.

    Raises:
        DataError: the file is no pickle, is damaged, or names a global that is not plain data;
            nothing in the file has then been executed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{path} is not read: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    # A damaged pickle is a random program: it can fail with almost any exception.
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as a pickle ({error or type(error).__name__}): "
            f"found {signature.describe(path)}; "
            "expected a complete pickle file, so download or export it again"
        ) from None
