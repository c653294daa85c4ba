"""Files made to do harm, by name: (suffix, content)."""

import io
import pickle
import struct
import zipfile

import h5py
import numpy as np


def arrays(**changes):
    found = {"train_label": np.ones(3), **{f"train_{m}": np.ones((3, 2, 2)) for m in MODALITIES}}
    return {k: v for k, v in {**found, **changes}.items() if v is not None}


MODALITIES = ("language", "audio", "vision")
LONG = struct.Struct("<q")


def number(value):
    return b"\x8a\x08" + LONG.pack(value)


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def raw(content):
    return b"B" + struct.pack("<I", len(content)) + content


def dtype(code, flags=b"K\x00"):
    text = b"X" + struct.pack("<I", len(code)) + code.encode()
    missing = b"J\xff\xff\xff\xff" * 2
    state = b"(K\x03X\x01\x00\x00\x00<NNN" + missing + flags + b"t"
    return name("numpy", "dtype") + text + b"\x89\x88\x87R" + state + b"b"


NEW = (
    name("numpy.core.multiarray", "_reconstruct")
    + name("numpy", "ndarray")
    + b"K\x00\x85C\x01b\x87R"
)


def array(shape, code, content):
    """The instructions for an array whose state says this."""
    return NEW + b"(K\x01" + shape + dtype(code) + b"\x89" + content + b"tb"


def mmsa(n, **changes):
    """A split in the schema of MMSA."""
    features = {key: np.ones((n, 1, 1)) for key in ("text", "audio", "vision")}
    content = {"train": {"regression_labels": [1] * n, **features, **changes}}
    return ".pkl", pickle.dumps(content)


def program(*parts):
    return ".pkl", b"\x80\x04" + b"".join(parts) + b"."


def shared(first, double):
    """60 levels, each of which holds the one below twice."""
    levels = (double(b"h" + bytes([i])) + b"q" + bytes([i + 1]) for i in range(60))
    return first + b"q\x00" + b"".join(levels)


LISTS = shared(b"]", lambda below: b"](" + below * 2 + b"e")
TUPLES = shared(b")", lambda below: below * 2 + b"\x86")
COLLIDING = b"".join(
    b"\x8a\x0a" + ((i + 1) * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(40000)
)

PICKLES = {
    # The three that crashed NumPy: pointers out of bytes, a size that is not there, a second state.
    "object bytes": program(array(b"K\x08\x85", "O8", raw(b"A" * 64))),
    "negative size": program(array(number(-4) + number(-2) + b"\x86", "f8", raw(b"A" * 64))),
    "two states": program(
        *(NEW, b"q\x00(K\x01K\x08\x85", dtype("f8"), b"\x89", raw(b"A" * 64), b"tb"),
        *(b"h\x00(K\x01K\x08\x85", dtype("O8"), b"\x89]tb"),
    ),
    "a size that is not there": program(array(number(2**40) + b"\x85", "f8", raw(b"A" * 64))),
    "no bytes an element": program(array(number(10**12) + b"\x85", "S0", raw(b""))),
    "an endless axis of nothing": program(
        array(b"K\x00" + number(2**60) + b"\x86", "f4", raw(b""))
    ),
    "flags of objects": program(
        *(NEW, b"(K\x01K\x01\x85", dtype("f8", b"K\x3f"), b"\x89", raw(b"A" * 16), b"tb")
    ),
    "state of a dtype is itself": program(dtype("O8"), b"q\x00h\x00b"),
    "state of a function": program(name("_codecs", "encode"), b"N}X\x01\x00\x00\x00aNs\x86b"),
    "a large memo": program(b"Nr\xff\xff\xff\x7f"),
    "a large byte array": program(b"\x96" + LONG.pack(2**36)),
    "a large frame": program(b"\x95" + LONG.pack(2**36)),
    "shared lists": program(LISTS),
    "shared tuples": program(TUPLES),
    "shared tuples as a key": program(b"}", TUPLES, b"Ns"),
    "a list of itself": program(b"]q\x00h\x00a"),
    "a dictionary of itself": program(b"}q\x00K\x01h\x00s"),
    "deep lists": program(b"]" * 100_000, b"a" * 99_999),
    "deep tuples": program(b")", b"\x85" * 200_000),
    "deep tuples as a key": program(b"}", b")", b"\x85" * 200_000, b"Ns"),
    "deep marks": program(b"(" * 200_000),
    "one text often": program(raw(b"a" * 10**6), b"q\x00](", b"h\x00" * 200_000, b"e"),
    "one array often": program(
        array(number(10**5) + b"\x85", "f8", raw(b"A" * 8 * 10**5)),
        b"q\x00](",
        b"h\x00" * 20000,
        b"e",
    ),
    "colliding keys": program(b"}(", COLLIDING, b"u"),
    "code": program(name("os", "system"), b"X\x04\x00\x00\x00true\x85R"),
    "an extension": program(b"\x82\x01"),
    "numbers as names": (".pkl", pickle.dumps({1: {2: np.ones((3, 2, 2))}})),
    "a long id": mmsa(20001, id=["a" * 300_000] + ["b"] * 20000),
    "a long text among labels": mmsa(20001, regression_labels=["a" * 300_000] + [1] * 20000),
    "a number beyond floats": mmsa(3, regression_labels=[10**400, 1, 2]),
}


def header(descr, shape):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npz(*, compression=zipfile.ZIP_DEFLATED, size=0, **members):
    """An archive of plain arrays, where some are what is given, and `size` zeros behind each."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for key, value in arrays(**members).items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                if isinstance(value, bytes):
                    file.write(value)
                    for _ in range(size // 10**7):
                        file.write(bytes(10**7))
                else:
                    np.lib.format.write_array(file, value)
    return ".npz", packed.getvalue()


NPZ = {
    "a bomb": npz(train_audio=header("<f8", (3, 2, 2 * 10**8 // 8)), size=12 * 10**8),
    "a size that is not there in npz": npz(train_audio=header("<f8", (3, 2, 10**12)) + bytes(96)),
    "negative sizes in npz": npz(train_audio=header("<f8", (3, -2, -2)) + bytes(96)),
    "Python objects": npz(train_audio=header("|O", (3,)) + pickle.dumps([1, 2, 3])),
    "a long header": npz(
        train_audio=b"\x93NUMPY\x01\x00" + struct.pack("<H", 60000) + b"(" * 60000
    ),
    "a deep header": npz(train_audio=b"\x93NUMPY\x01\x00" + b"\x28\x23" + b"[" * 9000),
    "text that is none": npz(train_id=header("<U1", (3,)) + b"\xff" * 12),
    "another compression": npz(compression=zipfile.ZIP_LZMA),
    "no archive": (".npz", b"PK\x03\x04" + b"x" * 100),
}


def _external(file, path):
    secret = path.with_suffix(".secret")
    secret.write_bytes(np.ones(12).tobytes())
    del file["train_audio"]
    file.create_dataset("train_audio", (3, 2, 2), "f8", external=[(str(secret), 0, 96)])


def _link(file, path):
    with h5py.File(path.with_suffix(".other"), "w") as other:
        other["x"] = np.ones((3, 2, 2))
    del file["train_audio"]
    file["train_audio"] = h5py.ExternalLink(path.with_suffix(".other").name, "/x")


def _soft_link(file, path):
    file["x"] = h5py.SoftLink("/train_vision")


def _virtual(file, path):
    layout = h5py.VirtualLayout((3, 2, 2), "f8")
    layout[:] = h5py.VirtualSource(str(path.with_suffix(".other")), "x", (3, 2, 2))
    file.create_virtual_dataset("x", layout)


def _empty(file, path):
    file.create_dataset("x", (3, 1000, 10**6), "f8", chunks=(1, 1, 1000))


def _packed(file, path):
    file.create_dataset(
        "x", (3, 5 * 10**7), "f8", chunks=(1, 10**6), compression="gzip", fillvalue=1
    )
    file["x"][0, : 10**6] = 0


def _circle(file, path):
    file["x"] = file["/"]


def _deep(file, path):
    for _ in range(300):
        file = file.create_group("x")


def _fields(file, path):
    del file["train_audio"]
    file["train_audio"] = np.zeros(3, [("a", "f4")])


def _one_text_often(file, path):
    """Every id points at the one long text."""
    ids = file.create_dataset(
        "train_id", data=["a" * 10**6] + ["b"] * 2000, dtype=h5py.string_dtype()
    )
    place = ids.id.get_offset()
    file.flush()
    content = bytearray(path.read_bytes())
    content[place : place + 16 * 2001] = content[place : place + 16] * 2001
    return content


def _endless_heap(file, path):
    file.create_dataset("train_id", data=["aa", "bb", "cc"], dtype=h5py.string_dtype())
    file.flush()
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL") + 16
    content[heap : heap + 16] = bytes(16)
    return content


def _chunk_of_nothing(file, path):
    x = file.create_dataset("x", data=np.ones((4, 4)), chunks=(4, 4), compression="gzip")
    size = x.id.get_chunk_info(0).size
    file.flush()
    content = bytearray(path.read_bytes())
    tree = content.rindex(b"TREE\x01")
    assert content[tree + 24 : tree + 28] == struct.pack("<I", size)
    content[tree + 24 : tree + 28] = bytes(4)
    return content


HDF5 = {
    "external storage": _external,
    "an external link": _link,
    "a link by name": _soft_link,
    "a virtual data set": _virtual,
    "a size without data": _empty,
    "a packed bomb": _packed,
    "a circle of groups": _circle,
    "deep groups": _deep,
    "fields": _fields,
    "one text for all": _one_text_often,
    "an endless heap": _endless_heap,
    "a chunk of nothing": _chunk_of_nothing,
}


def write_hdf5(path, make, store=False):
    """A file of plain arrays, or one that looks like the project's own, with something in it."""
    with h5py.File(path, "w") as file:
        if store:
            file.attrs.update(format="fsrf_jax data set", version=1)
            file.create_dataset("notes", data=["x"], dtype=h5py.string_dtype())
            file.create_group("splits")
        for key, value in arrays().items():
            file[key] = value
        content = make(file, path)
    if content is not None:
        path.write_bytes(content)


def _aliases(first, more):
    levels = (f"a{i}: &a{i} {more(f'*a{i - 1}')}" for i in range(1, 12))
    return "\n".join([f"a0: &a0 {first}", *levels]) + "\n"


YAML = {
    "aliases": _aliases("[x, x]", lambda below: f"[{', '.join([below] * 9)}]"),
    "merges": _aliases("{k: v}", lambda below: f"\n  <<: [{', '.join([below] * 9)}]"),
    "itself": "a: &a [*a]\n",
    "deep": "a: " + "[" * 50_000,
    "deep and closed": "a: " + "[" * 3000 + "]" * 3000,
    "deep blocks": "".join(" " * i + "a:\n" for i in range(400)),
    "megabytes": "a: " + "x" * 20_000_000,
    "no such date": "a: 2020-13-45\n",
    "half a character": 'a: "\\ud800"\n',
    "no character": "a: \x00",
    "code": "a: !!python/object/apply:os.system [true]\n",
    "many digits": "a: " + "9" * 10_000,
    "many sexagesimal digits": "a: " + "1:" * 20_000 + "1",
    "no base 64": "a: !!binary x\n",
    "no name": "? \n: 1\n",
    "a list as a name": "? [a, b]\n: 1\n",
    "numbers as names": "1.5: 2\ntraining: {1: 2}\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "nothing": "",
}

JSON = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deeper than allowed": "[" * 200 + "]" * 200,
    "many digits": "9" * 3000,
    "half a character": '["\\ud800"]',
    "cut off": '{"a": ',
}

CSV = {
    "a long cell": "id,a\nx," + "y" * 200_000,
    "an open quote": 'id,a\nx,"y' + "\nz,1" * 100_000,
    "a ragged row": "id,a\nx\n",
    "a name twice": "id,id\nx,y\n",
    "nothing": "",
    "no UTF-8": b"id,a\n\xff,1\n",
}
