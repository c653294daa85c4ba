"""The machine that runs the program of a pickle, without the instructions that call anything.

Why nothing can run is in `fsrf_jax.reading.pickles`.
"""

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fsrf_jax.reading import limits, spans
from fsrf_jax.reading.limits import Refused
from fsrf_jax.reading.spans import Span

_LARGEST_KEY = 2**63

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


class Name(NamedTuple):
    """A global that the file names; nothing is looked up."""

    module: str
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Text:
    """A `str` of Python 2: text, or the bytes of an array."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __str__(self) -> str:
        try:
            return self.raw.decode("utf-8")
        except UnicodeDecodeError:
            return self.raw.decode("latin1")


class Made:
    """What the file asks to be made: a kind of `KINDS`, arguments, state and members."""

    __slots__ = ("args", "kind", "members", "state")

    def __init__(self, kind: str, args: tuple[Any, ...]) -> None:
        self.kind, self.args = kind, args
        self.state: Any = None
        self.members: list[Any] = []


KINDS: dict[tuple[str, str], str] = {
    ("numpy", "ndarray"): "type",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("collections", "OrderedDict"): "dict",
    ("collections", "defaultdict"): "default",
    ("collections", "Counter"): "dict",
}
for _core in ("numpy.core", "numpy._core"):
    KINDS[f"{_core}.multiarray", "_reconstruct"] = "array"
    KINDS[f"{_core}.multiarray", "scalar"] = "scalar"
    KINDS[f"{_core}.numeric", "_frombuffer"] = "buffer"
for _builtins in ("builtins", "__builtin__"):
    for _name in ("set", "frozenset", "list", "dict", "tuple", "bytes", "bytearray", "complex"):
        KINDS[_builtins, _name] = _name
    for _name in ("int", "float", "str", "bool"):  # what a defaultdict makes
        KINDS[_builtins, _name] = "type"


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
class Machine(pickle._Unpickler):
    """Runs the program of a pickle and returns plain values with `Made` among them.

    Large bytes are left in the file: a `Span` stands in their place.
    """

    # Of the base class.
    stack: list[Any]
    metastack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readinto: Callable[[bytearray], int]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]
    _unframer: Any

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        super().__init__(_Bounded(file, size))
        self._source, self._size = file, size

    def _decode_string(self, value: bytes) -> Text:
        return Text(value)

    def _mark(self) -> None:
        if len(self.metastack) > limits.MAX_DEPTH:
            raise Refused(f"it is nested more than {limits.MAX_DEPTH} deep")
        self.metastack.append(self.stack)
        self.stack = []
        self.append = self.stack.append

    def _left(self, count: int) -> bool:
        """Whether the next bytes are left in the file, which then goes on behind them."""
        frame = self._unframer.current_frame
        if count < spans.LARGE or (frame and frame.tell() < len(frame.getbuffer())):
            return False
        self._unframer.current_frame = None  # it is at its end, as large bytes are in no frame
        start = self._source.tell()
        if count > self._size - start:
            raise Refused("it ends too early")
        self._source.seek(count, io.SEEK_CUR)
        self.append(Span(start, count))
        return True

    def _bytes(self) -> None:
        (count,) = struct.unpack("<I", self.read(4))
        if not self._left(count):
            self.append(self.read(count))

    def _bytes8(self) -> None:
        (count,) = struct.unpack("<Q", self.read(8))
        if not self._left(count):
            self.append(self.read(count))

    def _bytearray(self) -> None:
        (count,) = struct.unpack("<Q", self.read(8))
        if count > self._size:
            raise Refused("it ends too early")
        if not self._left(count):
            content = bytearray(count)
            self.readinto(content)
            self.append(content)

    def _push_name(self, module: str, name: str) -> None:
        kind = KINDS.get((module, name))
        if kind is None:
            raise Refused(foreign(f"{module}.{name}"))
        self.append(Name(module, name, kind))

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
        if type(name) is not Name or type(args) is not tuple or name.kind == "type":
            raise Refused(f"it calls {str(name)[:100] if type(name) is Name else 'no name'}")
        self.append(Made(name.kind, args))

    def _build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is not Made or made.kind not in ("array", "dtype", "dict", "default"):
            raise Refused("it gives a state to what has none")
        made.state = state

    def _put_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        pairs = zip(items[::2], items[1::2], strict=True)
        if type(target) is Made and target.kind in ("dict", "default"):
            target.members.extend(pairs)
        elif type(target) is dict:
            target.update((key_of(key), value) for key, value in pairs)
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
        if type(target) is Made and target.kind == "list":
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
        self.append(Made("set", ()))

    def _add_items(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is not Made or target.kind != "set":
            raise Refused("it adds to what is no set")
        target.members.extend(items)

    def _frozenset(self) -> None:
        items = self.pop_mark()  # first, since it changes where `append` appends
        self.append(Made("frozenset", (items,)))

    def _persistent(self) -> None:
        raise Refused(foreign("torch.storage"))


class _Instructions(dict[int, Any]):
    def __missing__(self, code: int) -> Any:
        raise pickle.UnpicklingError(f"{code} is no instruction")


_FROM_LIBRARY = (
    *("PROTO", "FRAME", "STOP", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "SHORT_BINBYTES"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_LIST", "LIST"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT"),
    *("GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
)
_REPLACED: dict[str, Any] = {
    "MARK": Machine._mark,
    "BINBYTES": Machine._bytes,
    "BINBYTES8": Machine._bytes8,
    "BYTEARRAY8": Machine._bytearray,
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "INST": Machine._instance,
    "OBJ": Machine._object,
    "REDUCE": Machine._call,
    "NEWOBJ": Machine._call,
    "NEWOBJ_EX": Machine._call_with_keywords,
    "BUILD": Machine._build,
    "SETITEM": Machine._set_item,
    "SETITEMS": Machine._set_items,
    "DICT": Machine._dict,
    "APPEND": Machine._append,
    "APPENDS": Machine._appends,
    "EMPTY_SET": Machine._empty_set,
    "ADDITEMS": Machine._add_items,
    "FROZENSET": Machine._frozenset,
    "BINPERSID": Machine._persistent,
}
_CODES = {name: getattr(pickle, name)[0] for name in (*_FROM_LIBRARY, *_REPLACED)}
Machine.dispatch = _Instructions(
    {_CODES[name]: pickle._Unpickler.dispatch[_CODES[name]] for name in _FROM_LIBRARY}
    | {_CODES[name]: function for name, function in _REPLACED.items()}
)


def foreign(name: str) -> str:
    """Why an object of that name is not read, and what to do."""
    name = name if name.isprintable() else repr(name)
    for library, (what, conversion) in _CONVERSIONS.items():
        if name.startswith(f"{library}."):
            return (
                f"it holds {what} ({name[:100]}): only NumPy arrays and plain containers are read; "
                f"convert it where {library} is installed: {conversion}"
            )
    return f"it names {name[:100]}, which would run code: only arrays and plain containers are read"


def key_of(key: Any) -> Any:
    """A key of a dictionary or member of a set, whose hash is safe to compute."""
    if type(key) is Text:
        return str(key)
    if type(key) is str:
        return clean(key)
    if type(key) is tuple and all(type(part) in (str, Text) for part in key):
        return tuple(key_of(part) for part in key)
    late = type(key) is Made and key.kind in ("scalar", "encode")
    small = type(key) is int and -_LARGEST_KEY < key < _LARGEST_KEY
    if (
        late
        or small
        or type(key) in (bytes, float, bool, type(None))
        or isinstance(key, np.generic)
    ):
        return key
    raise Refused("it has a key or a member of a set that is neither a number nor text")


def clean(text: str) -> str:
    """Text that can be written as UTF-8: halves of characters become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
