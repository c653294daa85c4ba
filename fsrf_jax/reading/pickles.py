"""Reads pickles of arrays and plain containers. Nothing in them can run.

A pickle is a program for a small machine, and the reader of the standard library runs it: it
imports what the file names, calls it, and gives what comes back a state from the file. Here is why
a file cannot do that here.

1. The machine has instructions from a fixed list, `Machine.dispatch`. Those that push numbers,
   text and bytes, and those that build lists, tuples and dictionaries, are the standard library's
   (its version in Python, not the one in C). The others are replaced; one that is not listed is an
   error.
2. No instruction imports, looks up or calls anything. A name becomes a `Name`, two texts, and only
   if it is one of the few in `machine.KINDS`. A call becomes a `Made`: the name with its arguments.
   A state is written beside them. Both are inert: no instruction can change what is behind them.
3. When the program has ended, `_Builder` turns each `Made` into a value by a function of this
   module, which checks every argument. Arrays are made by `np.frombuffer` from as many bytes as
   dtype and shape need, and copied, or read from their place in the file (`spans`); the dtype is
   made from a short code of numbers or text. No array, and no other object of NumPy, is ever given
   a state. Object arrays are filled from a list.
4. Keys of dictionaries and members of sets are numbers or text, so that no hash is computed of
   anything that the file has nested or chosen to collide.

Time and memory: the machine never takes a size from the file without comparing it to the file's
size; what is shared counts as often as it is used; depth is bounded (`limits`).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fsrf_jax.errors import DataError
from fsrf_jax.reading import limits, plain, spans
from fsrf_jax.reading.limits import Refused
from fsrf_jax.reading.machine import Machine, Made, Name, Text, clean, foreign, key_of
from fsrf_jax.reading.spans import Samples, Span

_OBJECT_DTYPE = re.compile(r"[|]?O\d?")
_DTYPE = re.compile(r"[<>=|]?([?]|[biufcSU]\d{1,9})")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_ATOMS = (int, float, bool, type(None), complex)
_SLOT, _OBJECT = 8, 56  # bytes of a reference and of a small object


class Unread:
    """What stands in place of an array that is not read, such as one with fields.

    It is an error where it is used as an array, so that a key which nobody asks for does no harm.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise DataError(self.reason)


class _Dtype(NamedTuple):
    """A checked dtype; None where it is of Python objects or not read, with its code."""

    dtype: np.dtype | None
    code: str


class _Builder:
    """Turns what a `Machine` gave into values.

    Every method returns a value and the bytes that it would take if nothing in it were shared.
    """

    def __init__(self, path: Path, size: int, stays: bool) -> None:
        self._path, self._most, self._stays = path, limits.most_bytes(size), stays
        self._file = spans.File(path)
        # The nodes are in there to stay alive: their addresses are the keys.
        self._done: dict[int, tuple[Any, Any, int]] = {}
        self._open: set[int] = set()

    def value(self, node: Any, depth: int = 0) -> tuple[Any, int]:
        kind = type(node)
        if kind in _ATOMS:
            return node, _OBJECT
        if kind is str:
            return clean(node), _OBJECT + len(node)
        if kind is Text:
            return str(node), _OBJECT + len(node.raw)
        if kind in (bytes, bytearray):
            return node, _OBJECT + len(node)
        if kind is Span:
            return self._raw(node), _OBJECT + node.size
        if kind is Name:
            raise Refused(f"it holds {node}, which is no data")
        if id(node) in self._done:
            return self._done[id(node)][1:]
        if id(node) in self._open:
            raise Refused("a part of it holds itself")
        if depth > limits.MAX_DEPTH:
            raise Refused(f"it is nested more than {limits.MAX_DEPTH} deep")
        self._open.add(id(node))
        value, size = self._container(node, depth + 1)
        self._open.discard(id(node))
        if size > self._most:
            limits.check_expansion(self._path, size)
        self._done[id(node)] = node, value, size
        return value, size

    def _container(self, node: Any, depth: int) -> tuple[Any, int]:
        if type(node) is list:
            return node, self._replace(node, depth)
        if type(node) is tuple:
            items = list(node)
            size = self._replace(items, depth)
            return tuple(items), size
        if type(node) is dict:
            return self._mapping(node.items(), depth)
        if type(node) is Made:
            return _MAKERS[node.kind](self, node, depth)
        raise Refused(f"it holds a {type(node).__name__}")

    def _replace(self, items: list[Any], depth: int) -> int:
        """Build the items in place."""
        size = _OBJECT + _SLOT * len(items)
        for index, item in enumerate(items):
            if type(item) in _ATOMS:
                size += _OBJECT
            else:
                items[index], more = self.value(item, depth)
                size += more
        return size

    def _mapping(self, pairs: Any, depth: int) -> tuple[dict[Any, Any], int]:
        built, size = {}, _OBJECT
        for key, item in list(pairs):
            late = type(key_of(key)) is Made
            key = key_of(self.value(key, depth)[0] if late else key)
            built[key], more = self.value(item, depth)
            size += more + 2 * _SLOT + _OBJECT
        return built, size

    def _raw(self, content: Any) -> bytes | bytearray:
        """Bytes, however the version of Python wrote them."""
        if type(content) is Made and content.kind in ("encode", "bytes", "bytearray"):
            content = _MAKERS[content.kind](self, content, 0)[0]
        if type(content) is Span:
            dtype = np.dtype(np.uint8)
            return spans.array_of(self._file, content, dtype, (content.size,), "C").tobytes()
        if type(content) is Text:
            return content.raw
        if type(content) is str:
            return content.encode("latin1")
        if type(content) not in (bytes, bytearray):
            raise Refused("the content of an array is no bytes")
        return content

    def _dtype(self, node: Any) -> _Dtype:
        """A dtype by its code; of its state only the byte order is believed."""
        if type(node) is not Made or node.kind != "dtype":
            raise Refused("the dtype of an array is none")
        code = str(node.args[0]) if type(node.args[0]) in (str, Text) else "?!"
        order = str(node.state[1]) if type(node.state) is tuple else ""
        if not _DTYPE.fullmatch(code):
            return _Dtype(None, "O" if _OBJECT_DTYPE.fullmatch(code) else code[:100])
        dtype = np.dtype(code)
        if order in ("<", ">"):
            dtype = dtype.newbyteorder("<" if order == "<" else ">")
        return _Dtype(dtype, code)

    def array(self, made: Made, depth: int) -> tuple[Any, int]:
        _, shape, dtype, fortran, content = made.state
        made.state = None  # the bytes are free again once the array is made
        order = "F" if fortran else "C"
        found = self._dtype(dtype)
        if found.code == "O":
            return self._objects(content, shape, order, depth)
        return self._numbers(found, content, shape, order)

    def buffer(self, made: Made, _: int) -> tuple[Any, int]:
        content, dtype, shape, order, *axes = made.args
        made.args = ()
        found = self._dtype(dtype)
        if order == "K" and axes and axes[0] is not None:
            array, size = self._numbers(found, content, shape, "C")
            if type(axes[0]) is not tuple or any(type(axis) is not int for axis in axes[0]):
                raise Refused("the axes of an array are none")
            return array if type(array) is Unread else np.asarray(array).transpose(axes[0]), size
        return self._numbers(found, content, shape, str(order))

    def _numbers(self, found: _Dtype, content: Any, shape: Any, order: str) -> tuple[Any, int]:
        if found.dtype is None:
            reason = f"{self._path}: is not read: it holds an array of dtype {found.code!r}"
            return Unread(f"{reason}: only numbers and text are read"), _OBJECT
        if type(content) is not Span:
            array = plain.from_bytes(self._raw(content), found.dtype, shape, order)
            return array, 2 * _OBJECT + array.nbytes
        plain.check_shape(shape, found.dtype.itemsize, content.size)
        if self._stays and found.dtype.kind == "f" and len(shape) == 3 and order != "F":
            left = Samples(self._file, content, found.dtype, shape)
            return left, 2 * _OBJECT + content.size
        array = spans.array_of(self._file, content, found.dtype, shape, order)
        return array, 2 * _OBJECT + content.size

    def _objects(self, content: Any, shape: Any, order: str, depth: int) -> tuple[Any, int]:
        if type(content) is not list or len(content) != plain.check_shape(shape, 1, len(content)):
            raise Refused("an array of objects has no list of them")
        size = self.value(content, depth)[1]
        array = np.empty(len(content), object)
        for index, item in enumerate(content):
            array[index] = item
        return array.reshape(shape, order="F" if order == "F" else "C"), size

    def scalar(self, made: Made, depth: int) -> tuple[Any, int]:
        dtype, content = made.args
        found = self._dtype(dtype)
        if found.code == "O":
            return self.value(content, depth)
        array, size = self._numbers(found, content, (), "C")
        return array if type(array) is Unread else np.asarray(array)[()], size

    def encode(self, made: Made, _: int) -> tuple[bytes, int]:
        text, encoding = made.args if len(made.args) == 2 else (*made.args, "latin1")
        if str(encoding) not in ("latin1", "latin-1"):
            raise Refused(f"it encodes text as {str(encoding)[:40]!r}: only latin1 is bytes")
        content = bytes(self._raw(text))
        return content, _OBJECT + len(content)

    def bytes_(self, made: Made, _: int) -> tuple[Any, int]:
        """`bytes()`, `bytearray()`, `bytearray(bytes)` or `bytearray(text, "latin-1")`."""
        content = self._raw(made.args[0]) if made.args else b""
        return (bytes if made.kind == "bytes" else bytearray)(content), _OBJECT + len(content)

    def complex_(self, made: Made, _: int) -> tuple[complex, int]:
        if len(made.args) != 2 or any(type(part) is not float for part in made.args):
            raise Refused("a complex number has no two parts")
        return complex(*made.args), _OBJECT

    def sequence(self, made: Made, depth: int) -> tuple[Any, int]:
        """A set, frozenset, list or tuple."""
        if any(type(part) not in (list, tuple) for part in made.args):
            raise Refused(f"a {made.kind} is made of no list")
        items = [item for part in made.args for item in part] + made.members
        if made.kind in ("set", "frozenset"):
            items = [key if type(key := key_of(item)) is not Made else item for item in items]
            size = self._replace(items, depth)
            items = [key_of(item) for item in items]
        else:
            size = self._replace(items, depth)
        kinds = {"set": set, "frozenset": frozenset, "list": list, "tuple": tuple}
        return kinds[made.kind](items), size

    def dict_(self, made: Made, depth: int) -> tuple[dict[Any, Any], int]:
        """A dictionary of any kind, as a plain one; a default or a state is left out."""
        pairs: list[Any] = []
        for part in made.args if made.kind == "dict" else ():
            pairs.extend(part.items() if type(part) is dict else part)
        if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
            raise Refused("a dictionary is made of no pairs")
        return self._mapping([*pairs, *made.members], depth)


def _refuse_dtype(*_: object) -> tuple[Any, int]:
    raise Refused("it holds a dtype where data are expected")


_MAKERS: dict[str, Callable[[_Builder, Made, int], tuple[Any, int]]] = {
    "array": _Builder.array,
    "buffer": _Builder.buffer,
    "scalar": _Builder.scalar,
    "encode": _Builder.encode,
    "bytes": _Builder.bytes_,
    "bytearray": _Builder.bytes_,
    "complex": _Builder.complex_,
    "dict": _Builder.dict_,
    "default": _Builder.dict_,
    "dtype": _refuse_dtype,
    **dict.fromkeys(("set", "frozenset", "list", "tuple"), _Builder.sequence),
}


def read_pickle(path: str | Path, stays: bool = False) -> Any:
    """The content of a pickle of arrays and plain containers, of Python 2 or 3.

    Args:
        path: the file.
        stays: large arrays of floating-point numbers [n, t, f] stay in the file: each is `Samples`.
            Those that Python 2 wrote are read all the same.

    Returns:
        What was pickled: numbers, text, bytes, lists, tuples, sets, dictionaries (of any kind, as
        plain ones), NumPy arrays and scalars. An array that is not read, such as one with fields,
        is an `Unread`.

    Raises:
        DataError: the file is no pickle, is damaged, is a bomb, or names a global that is not
            plain data; nothing in the file has then been executed.
        OutOfMemory: the machine has less memory than the file has content.
    """
    path = Path(path)
    size = limits.check_regular(path)
    if not stays:
        limits.check_memory(path, size)
    with limits.one_message(path, "a pickle"), path.open("rb") as file:
        content = Machine(file, size).load()
        if type(content) is int and content == _TORCH_MAGIC:
            raise Refused(foreign("torch.save"))
        return _Builder(path, size, stays).value(content)[0]
