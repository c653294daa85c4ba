"""Reads pickles of arrays and plain containers. Nothing in them can run.

A pickle is a program for a small machine, and the reader of the standard library runs it: it
imports what the file names, calls it, and gives what comes back a state from the file. Here is why
a file cannot do that here.

1. The machine has instructions from a fixed list, `_Machine.dispatch`. Those that push numbers,
   text and bytes, and those that build lists, tuples and dictionaries, are the standard library's
   (its version in Python, not the one in C). The others are replaced; one that is not listed is an
   error.
2. No instruction imports, looks up or calls anything. A name becomes a `_Name`, two texts, and only
   if it is one of the few in `_KINDS`. A call becomes a `_Made`: the name with its arguments. A
   state is written beside them. Both are inert: no instruction can change what is behind them.
3. When the program has ended, `_Builder` turns each `_Made` into a value by a function of this
   module, which checks every argument. Arrays are made by `np.frombuffer` from as many bytes as
   dtype and shape need, and copied; the dtype is made from a short code of numbers or text. No
   array, and no other object of NumPy, is ever given a state. Object arrays are filled from a list.
4. Keys of dictionaries and members of sets are numbers or text, so that no hash is computed of
   anything that the file has nested or chosen to collide.

Time and memory: the machine never takes a size from the file without comparing it to the file's
size; what is shared counts as often as it is used; depth is bounded (`limits`).
"""

import io
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fsrf_jax.errors import DataError
from fsrf_jax.reading import limits, plain
from fsrf_jax.reading.limits import Refused

_OBJECT_DTYPE = re.compile(r"[|]?O\d?")
_DTYPE = re.compile(r"[<>=|]?([?]|[biufcSU]\d{1,9})")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_LARGEST_KEY = 2**63
_ATOMS = (int, float, bool, type(None), complex)
_SLOT, _OBJECT = 8, 56  # bytes of a reference and of a small object

_CONVERSIONS = {
    "torch": ("an object of PyTorch", "tensor.numpy() for every tensor, and pickle.dump again"),
    "pandas": ("a table of pandas", "table.to_numpy() for every table, and pickle.dump again"),
    "joblib": ("an array of joblib", "pickle.dump(joblib.load(FILE), open(NEW, 'wb'))"),
    "scipy": ("a sparse array of SciPy", "array.toarray() for every array, and pickle.dump again"),
    "tensorflow": ("a tensor of TensorFlow", "tensor.numpy(), and pickle.dump again"),
    "jax": ("an array of JAX", "numpy.asarray(array) for every array, and pickle.dump again"),
    "numpy.ma": (
        "a masked array",
        "array.filled(numpy.nan) for each, and pickle.dump again",
    ),
}
"""What an object of a library is, and the line that makes plain data of it."""


class Unread:
    """What stands in place of an array that is not read, such as one with fields.

    It is an error where it is used as an array, so that a key which nobody asks for does no harm.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise DataError(self.reason)


class _Name(NamedTuple):
    """A global that the file names; nothing is looked up."""

    module: str
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class _Text:
    """A `str` of Python 2: text, or the bytes of an array."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __str__(self) -> str:
        try:
            return self.raw.decode("utf-8")
        except UnicodeDecodeError:
            return self.raw.decode("latin1")


class _Made:
    """What the file asks to be made: a kind of `_KINDS`, arguments, state and members."""

    __slots__ = ("args", "kind", "members", "state")

    def __init__(self, kind: str, args: tuple[Any, ...]) -> None:
        self.kind, self.args = kind, args
        self.state: Any = None
        self.members: list[Any] = []


_KINDS: dict[tuple[str, str], str] = {
    ("numpy", "ndarray"): "type",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("collections", "OrderedDict"): "dict",
    ("collections", "defaultdict"): "default",
    ("collections", "Counter"): "dict",
}
for _core in ("numpy.core", "numpy._core"):
    _KINDS[f"{_core}.multiarray", "_reconstruct"] = "array"
    _KINDS[f"{_core}.multiarray", "scalar"] = "scalar"
    _KINDS[f"{_core}.numeric", "_frombuffer"] = "buffer"
for _builtins in ("builtins", "__builtin__"):
    for _name in ("set", "frozenset", "list", "dict", "tuple", "bytes", "bytearray", "complex"):
        _KINDS[_builtins, _name] = _name
    for _name in ("int", "float", "str", "bool"):  # what a defaultdict makes
        _KINDS[_builtins, _name] = "type"


class _Bounded:
    """A file that never makes room for more than it has."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        if count > 2**16 and count > self._size - self._file.tell():
            raise Refused("it ends too early")
        return self._file.read(count)


# The version in Python: its instructions are a table, and its memo a dictionary, which a large
# index does not make large.
class _Machine(pickle._Unpickler):
    """Runs the program of a pickle and returns plain values with `_Made` among them."""

    # Of the base class.
    stack: list[Any]
    metastack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readinto: Callable[[bytearray], int]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        super().__init__(_Bounded(file, size))
        self._size = size

    def _decode_string(self, value: bytes) -> _Text:
        return _Text(value)

    def _mark(self) -> None:
        if len(self.metastack) > limits.MAX_DEPTH:
            raise Refused(f"it is nested more than {limits.MAX_DEPTH} deep")
        self.metastack.append(self.stack)
        self.stack = []
        self.append = self.stack.append

    def _bytearray(self) -> None:
        (count,) = struct.unpack("<Q", self.read(8))
        if count > self._size:
            raise Refused("it ends too early")
        content = bytearray(count)
        self.readinto(content)
        self.append(content)

    def _push_name(self, module: str, name: str) -> None:
        kind = _KINDS.get((module, name))
        if kind is None:
            raise Refused(_foreign(f"{module}.{name}"))
        self.append(_Name(module, name, kind))

    def _global(self) -> None:
        module, name = (str(self.readline()[:-1], "utf-8") for _ in range(2))
        self._push_name(module, name)

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("a name in it is no text")
        self._push_name(module, name)

    def _instance(self) -> None:
        self._global()
        name = self.stack.pop()
        self._make(name, tuple(self.pop_mark()))

    def _object(self) -> None:
        name, *args = self.pop_mark()
        self._make(name, tuple(args))

    def _call(self) -> None:
        args, name = self.stack.pop(), self.stack.pop()
        self._make(name, args)

    def _call_with_keywords(self) -> None:
        if self.stack.pop() != {}:
            raise Refused("it makes an object with keywords")
        self._call()

    def _make(self, name: Any, args: Any) -> None:
        if type(name) is not _Name or type(args) is not tuple or name.kind == "type":
            raise Refused(f"it calls {str(name)[:100] if type(name) is _Name else 'no name'}")
        self.append(_Made(name.kind, args))

    def _build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is not _Made or made.kind not in ("array", "dtype", "dict", "default"):
            raise Refused("it gives a state to what has none")
        made.state = state

    def _put_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        pairs = zip(items[::2], items[1::2], strict=True)
        if type(target) is _Made and target.kind in ("dict", "default"):
            target.members.extend(pairs)
        elif type(target) is dict:
            target.update((_key(key), value) for key, value in pairs)
        else:
            raise Refused("it puts a key into what has none")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put_items([key, value])

    def _set_items(self) -> None:
        self._put_items(self.pop_mark())

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._put_items(items)

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is _Made and target.kind == "list":
            target.members.extend(items)
        elif type(target) is list:
            target.extend(items)
        else:
            raise Refused("it appends to what is no list")

    def _append(self) -> None:
        self._extend([self.stack.pop()])

    def _appends(self) -> None:
        self._extend(self.pop_mark())

    def _empty_set(self) -> None:
        self.append(_Made("set", ()))

    def _add_items(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is not _Made or target.kind != "set":
            raise Refused("it adds to what is no set")
        target.members.extend(items)

    def _frozenset(self) -> None:
        items = self.pop_mark()  # first, since it changes where `append` appends
        self.append(_Made("frozenset", (items,)))

    def _persistent(self) -> None:
        raise Refused(_foreign("torch.storage"))


class _Instructions(dict[int, Any]):
    def __missing__(self, code: int) -> Any:
        raise pickle.UnpicklingError(f"{code} is no instruction")


_FROM_LIBRARY = (
    *("PROTO", "FRAME", "STOP", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_LIST", "LIST"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT"),
    *("GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
)
_REPLACED: dict[str, Any] = {
    "MARK": _Machine._mark,
    "BYTEARRAY8": _Machine._bytearray,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "INST": _Machine._instance,
    "OBJ": _Machine._object,
    "REDUCE": _Machine._call,
    "NEWOBJ": _Machine._call,
    "NEWOBJ_EX": _Machine._call_with_keywords,
    "BUILD": _Machine._build,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "DICT": _Machine._dict,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "EMPTY_SET": _Machine._empty_set,
    "ADDITEMS": _Machine._add_items,
    "FROZENSET": _Machine._frozenset,
    "BINPERSID": _Machine._persistent,
}
_CODES = {name: getattr(pickle, name)[0] for name in (*_FROM_LIBRARY, *_REPLACED)}
_Machine.dispatch = _Instructions(
    {_CODES[name]: pickle._Unpickler.dispatch[_CODES[name]] for name in _FROM_LIBRARY}
    | {_CODES[name]: function for name, function in _REPLACED.items()}
)


def _foreign(name: str) -> str:
    """Why an object of that name is not read, and what to do."""
    name = name if name.isprintable() else repr(name)
    for library, (what, conversion) in _CONVERSIONS.items():
        if name.startswith(f"{library}."):
            return (
                f"it holds {what} ({name[:100]}): only NumPy arrays and plain containers are read; "
                f"convert it where {library} is installed: {conversion}"
            )
    return f"it names {name[:100]}, which would run code: only arrays and plain containers are read"


def _key(key: Any) -> Any:
    """A key of a dictionary or member of a set, whose hash is safe to compute."""
    if type(key) is _Text:
        return str(key)
    if type(key) is str:
        return _clean(key)
    if type(key) is tuple and all(type(part) in (str, _Text) for part in key):
        return tuple(_key(part) for part in key)
    late = type(key) is _Made and key.kind in ("scalar", "encode")
    small = type(key) is int and -_LARGEST_KEY < key < _LARGEST_KEY
    if (
        late
        or small
        or type(key) in (bytes, float, bool, type(None))
        or isinstance(key, np.generic)
    ):
        return key
    raise Refused("it has a key or a member of a set that is neither a number nor text")


def _clean(text: str) -> str:
    """Text that can be written as UTF-8: halves of characters become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class _Dtype(NamedTuple):
    """A checked dtype; None where it is of Python objects or not read, with its code."""

    dtype: np.dtype | None
    code: str


class _Builder:
    """Turns what a `_Machine` gave into values.

    Every method returns a value and the bytes that it would take if nothing in it were shared.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._most = path, limits.most_bytes(size)
        # The nodes are in there to stay alive: their addresses are the keys.
        self._done: dict[int, tuple[Any, Any, int]] = {}
        self._open: set[int] = set()

    def value(self, node: Any, depth: int = 0) -> tuple[Any, int]:
        kind = type(node)
        if kind in _ATOMS:
            return node, _OBJECT
        if kind is str:
            return _clean(node), _OBJECT + len(node)
        if kind is _Text:
            return str(node), _OBJECT + len(node.raw)
        if kind in (bytes, bytearray):
            return node, _OBJECT + len(node)
        if kind is _Name:
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
        if type(node) is _Made:
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
            late = type(_key(key)) is _Made
            key = _key(self.value(key, depth)[0] if late else key)
            built[key], more = self.value(item, depth)
            size += more + 2 * _SLOT + _OBJECT
        return built, size

    def _raw(self, content: Any) -> bytes | bytearray:
        """Bytes, however the version of Python wrote them."""
        if type(content) is _Made and content.kind in ("encode", "bytes", "bytearray"):
            content = _MAKERS[content.kind](self, content, 0)[0]
        if type(content) is _Text:
            return content.raw
        if type(content) is str:
            return content.encode("latin1")
        if type(content) not in (bytes, bytearray):
            raise Refused("the content of an array is no bytes")
        return content

    def _dtype(self, node: Any) -> _Dtype:
        """A dtype by its code; of its state only the byte order is believed."""
        if type(node) is not _Made or node.kind != "dtype":
            raise Refused("the dtype of an array is none")
        code = str(node.args[0]) if type(node.args[0]) in (str, _Text) else "?!"
        order = str(node.state[1]) if type(node.state) is tuple else ""
        if not _DTYPE.fullmatch(code):
            return _Dtype(None, "O" if _OBJECT_DTYPE.fullmatch(code) else code[:100])
        dtype = np.dtype(code)
        if order in ("<", ">"):
            dtype = dtype.newbyteorder("<" if order == "<" else ">")
        return _Dtype(dtype, code)

    def array(self, made: _Made, depth: int) -> tuple[Any, int]:
        _, shape, dtype, fortran, content = made.state
        made.state = None  # the bytes are free again once the array is made
        order = "F" if fortran else "C"
        found = self._dtype(dtype)
        if found.code == "O":
            return self._objects(content, shape, order, depth)
        return self._numbers(found, content, shape, order)

    def buffer(self, made: _Made, _: int) -> tuple[Any, int]:
        content, dtype, shape, order, *axes = made.args
        made.args = ()
        found = self._dtype(dtype)
        if order == "K" and axes and axes[0] is not None:
            array, size = self._numbers(found, content, shape, "C")
            if type(axes[0]) is not tuple or any(type(axis) is not int for axis in axes[0]):
                raise Refused("the axes of an array are none")
            return array if type(array) is Unread else array.transpose(axes[0]), size
        return self._numbers(found, content, shape, str(order))

    def _numbers(self, found: _Dtype, content: Any, shape: Any, order: str) -> tuple[Any, int]:
        if found.dtype is None:
            reason = f"{self._path}: is not read: it holds an array of dtype {found.code!r}"
            return Unread(f"{reason}: only numbers and text are read"), _OBJECT
        array = plain.from_bytes(self._raw(content), found.dtype, shape, order)
        return array, 2 * _OBJECT + array.nbytes

    def _objects(self, content: Any, shape: Any, order: str, depth: int) -> tuple[Any, int]:
        if type(content) is not list or len(content) != plain.check_shape(shape, 1, len(content)):
            raise Refused("an array of objects has no list of them")
        size = self.value(content, depth)[1]
        array = np.empty(len(content), object)
        for index, item in enumerate(content):
            array[index] = item
        return array.reshape(shape, order="F" if order == "F" else "C"), size

    def scalar(self, made: _Made, depth: int) -> tuple[Any, int]:
        dtype, content = made.args
        found = self._dtype(dtype)
        if found.code == "O":
            return self.value(content, depth)
        array, size = self._numbers(found, content, (), "C")
        return array if type(array) is Unread else array[()], size

    def encode(self, made: _Made, _: int) -> tuple[bytes, int]:
        text, encoding = made.args if len(made.args) == 2 else (*made.args, "latin1")
        if str(encoding) not in ("latin1", "latin-1"):
            raise Refused(f"it encodes text as {str(encoding)[:40]!r}: only latin1 is bytes")
        content = bytes(self._raw(text))
        return content, _OBJECT + len(content)

    def bytes_(self, made: _Made, _: int) -> tuple[Any, int]:
        """`bytes()`, `bytearray()`, `bytearray(bytes)` or `bytearray(text, "latin-1")`."""
        content = self._raw(made.args[0]) if made.args else b""
        return (bytes if made.kind == "bytes" else bytearray)(content), _OBJECT + len(content)

    def complex_(self, made: _Made, _: int) -> tuple[complex, int]:
        if len(made.args) != 2 or any(type(part) is not float for part in made.args):
            raise Refused("a complex number has no two parts")
        return complex(*made.args), _OBJECT

    def sequence(self, made: _Made, depth: int) -> tuple[Any, int]:
        """A set, frozenset, list or tuple."""
        if any(type(part) not in (list, tuple) for part in made.args):
            raise Refused(f"a {made.kind} is made of no list")
        items = [item for part in made.args for item in part] + made.members
        if made.kind in ("set", "frozenset"):
            items = [key if type(key := _key(item)) is not _Made else item for item in items]
            size = self._replace(items, depth)
            items = [_key(item) for item in items]
        else:
            size = self._replace(items, depth)
        kinds = {"set": set, "frozenset": frozenset, "list": list, "tuple": tuple}
        return kinds[made.kind](items), size

    def dict_(self, made: _Made, depth: int) -> tuple[dict[Any, Any], int]:
        """A dictionary of any kind, as a plain one; a default or a state is left out."""
        pairs: list[Any] = []
        for part in made.args if made.kind == "dict" else ():
            pairs.extend(part.items() if type(part) is dict else part)
        if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
            raise Refused("a dictionary is made of no pairs")
        return self._mapping([*pairs, *made.members], depth)


def _refuse_dtype(*_: object) -> tuple[Any, int]:
    raise Refused("it holds a dtype where data are expected")


_MAKERS: dict[str, Callable[[_Builder, _Made, int], tuple[Any, int]]] = {
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


def read_pickle(path: str | Path) -> Any:
    """The content of a pickle of arrays and plain containers, of Python 2 or 3.

    Args:
        path: the file.

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
    limits.check_memory(path, size)
    with limits.one_message(path, "a pickle"), path.open("rb") as file:
        content = _Machine(file, size).load()
        if type(content) is int and content == _TORCH_MAGIC:
            raise Refused(_foreign("torch.save"))
        return _Builder(path, size).value(content)[0]
