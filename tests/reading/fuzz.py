"""Damaged files by the thousand: every loader gives a value or one message, whatever it reads.

    python tests/reading/fuzz.py SECONDS [FIRST]

Input number i of a kind is the same on every machine; FIRST is the number to begin at.
"""

import faulthandler
import io
import itertools
import pickle
import random
import re
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import h5py
import numpy as np
import yaml

from fsrf_jax.data import load, store
from fsrf_jax.data.streaming.stream import stream
from fsrf_jax.data.streaming.wanted import Wanted
from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.external import read_predictions
from fsrf_jax.evaluation.protocols.files import describe, read_protocol
from fsrf_jax.evaluation.protocols.mask_files import read_masks, write_masks
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.reading import spans
from fsrf_jax.reading.text import read_csv, read_json

MODALITIES = ("language", "audio")
LONGEST_MESSAGE = 20_000
SLOWEST = 5.0
MEMORY = 2 * 10**9
WORDS = (
    *(b"{}", b"[]", b"null", b"-1", b"1e999", b"NaN", b'"x"', b"0", b"true", b"~", b"&a ", b"*a"),
    *(b"<<: ", b"!!set ", b"\n", b"  ", b"- ", b": ", b",", b"[", b"{", b"9" * 30, b"\xc3\xa9"),
    *(b"'", b'"', b"2020-13-01", b"all", b"name", b"conditions", b"\\ud800", b"\x00", b"#"),
)


class Kind(NamedTuple):
    """A kind of input: whole files by suffix, how one is damaged, and what reads it."""

    seeds: list[tuple[str, bytes]]
    damage: Callable[[bytes, random.Random], bytes]
    read: Callable[[Path], object]


def bytes_changed(content, rng, most=8):
    """Some bits, bytes or stretches are changed, doubled, moved or left out."""
    found = bytearray(content)
    for _ in range(rng.randint(1, most)):
        if not found:
            break
        at, other = rng.randrange(len(found)), rng.randrange(len(found))
        how, length = rng.randrange(7), rng.choice((1, 2, 4, 8, 16))
        if how == 0:
            found[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            found[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif how == 2:
            del found[at : at + length]
        elif how == 3:
            found[at:at] = found[other : other + length]
        elif how == 4:
            found[at : at + length] = found[other : other + length]
        elif how == 5:
            number = rng.choice((0, 1, 2**7, 2**15, 2**31 - 1, 2**32, 2**63 - 1, 2**64 - 1))
            found[at : at + length] = number.to_bytes(16, "little")[:length]
        elif rng.random() < 0.1:
            del found[at:]
    return bytes(found)


def words_changed(content, rng):
    """Some words or lines are replaced, added, doubled or left out."""
    found = content
    for _ in range(rng.randint(1, 4)):
        word, how = rng.choice(WORDS), rng.randrange(4)
        at = rng.randrange(len(found) + 1)
        if how == 0:
            found = found[:at] + word + found[at:]
        elif how == 1 and (places := list(re.finditer(rb"[\w.+-]+", found))):
            place = rng.choice(places)
            found = found[: place.start()] + word + found[place.end() :]
        else:
            lines = found.split(b"\n")
            line = rng.randrange(len(lines))
            lines[line : line + 1] = [] if how == 2 else [lines[line]] * 2
            found = b"\n".join(lines)
    return bytes_changed(found, rng, 2) if rng.random() < 0.2 else found


def members_changed(content, rng):
    """Members of a zip are changed, and packed again with the right checksums."""
    if rng.random() < 0.3:
        return bytes_changed(content, rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            member = old.read(name)
            if rng.random() < 0.2:  # in the header as often as in the data
                cut = 128 if rng.random() < 0.5 else len(member)
                member = bytes_changed(member[:cut], rng) + member[cut:]
            new.writestr(name, member)
    return packed.getvalue()


def program_changed(content, rng):
    """A pickle with some of its bytes changed, or with random instructions in between."""
    if rng.random() < 0.6:
        return bytes_changed(content, rng)
    codes = [getattr(pickle, name) for name in pickle.__all__ if name.isupper()]
    codes = [code for code in codes if isinstance(code, bytes) and len(code) == 1]
    names = (b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n")
    calls = (
        b"c_codecs\nencode\n",
        b"cbuiltins\nset\n",
        b"X\x01\x00\x00\x00a",
        b"K\x01",
        b"U\x02f4",
    )
    extra = b"".join(
        rng.choice((*names, *calls)) if rng.random() < 0.4 else rng.choice(codes)
        for _ in range(rng.randint(1, 30))
    )
    at = rng.randrange(len(content) + 1)
    return content[:at] + extra + content[at:]


def arrays():
    rng = np.random.default_rng(0)
    found = {}
    for split, n in (("train", 4), ("valid", 2), ("test", 2)):
        found[f"{split}_label"] = rng.normal(size=n)
        found[f"{split}_id"] = np.array([f"{split}{i}" for i in range(n)])
        found[f"{split}_language"] = rng.normal(size=(n, 3, 2)).astype(np.float32)
        found[f"{split}_audio"] = rng.normal(size=(n, 3, 3))
    return found


def mmsa():
    content = arrays()
    return {
        split: {
            "id": content[f"{split}_id"].tolist(),
            "raw_text": np.array([f"é {i}" for i in range(len(content[f"{split}_label"]))], object),
            "regression_labels": content[f"{split}_label"],
            "text": content[f"{split}_language"],
            "audio": content[f"{split}_audio"],
            "audio_lengths": [3] * len(content[f"{split}_label"]),
            "more": {"set": {1, 2}, "scalar": np.float32(2), "bytes": b"x"},
        }
        for split in ("train", "valid", "test")
    }


def kinds(folder):
    """Every kind by name; files are made in the folder."""
    np.savez(plain := folder / "plain.npz", **arrays())
    np.savez_compressed(packed := folder / "packed.npz", **arrays())
    with h5py.File(hdf5 := folder / "plain.h5", "w") as file:
        for key, value in arrays().items():
            if key.endswith("_id"):
                text = h5py.string_dtype()
                file.create_dataset(key, data=value.tolist(), dtype=text, compression="gzip")
            else:
                file.create_dataset(key, data=value, compression="gzip", fletcher32=True)
    store.write(own := folder / "own.h5", load.load(plain, MODALITIES))
    split = load.load(plain, MODALITIES).splits["test"]
    protocol = PROTOCOLS["gcnet"](MODALITIES)
    write_masks(
        masks := folder / "m.npz",
        protocol,
        split,
        [0, 1],
        make_observer(split, [0, 1]),
        "test",
        "x",
    )
    np.savez(
        predictions := folder / "p.npz",
        **{"ids": ["a", "b"], "conditions": ["x", "y"], "mask_seeds": [0, 1]},
        predictions=np.ones((2, 2, 2)),
    )
    table = "# masks_digest=abc\nid,condition,mask_seed,prediction\n" + "".join(
        f"{i},{c},{s},0.5\n" for i, c, s in itertools.product("ab", "xy", "01")
    )
    described = yaml.safe_dump(describe(protocol) | {"name": "mine"}, sort_keys=False).encode()

    def data(path):
        return load.load(path, MODALITIES)

    def pickled(path):
        return load.load(path, MODALITIES, format="mmsa")

    widths = {m: x.shape[2] for m, x in split.features.items()}

    def streamed(path):
        return list(stream(path, Wanted(widths, MODALITIES, rows=3)))

    def staying(path):
        """As `prepare` and training from a store read them: whole in the end, some at a time."""
        raw = load.read(path, MODALITIES, stays=True)
        dataset = load.cleaned(raw, "zero", stored=store.is_store(path))
        for part in dataset.splits.values():
            list(part.parts(2))

    def left(path):
        """As `staying`, with all bytes left in the file that can be, however few."""
        with mock.patch.object(spans, "LARGE", 1):
            staying(path)

    pickles = [(".pkl", pickle.dumps(mmsa(), protocol)) for protocol in range(6)]
    npz = [(".npz", p.read_bytes()) for p in (plain, packed)]
    return {
        "streamed pickle": Kind(pickles, program_changed, streamed),
        "streamed npz": Kind(npz, members_changed, streamed),
        "streamed hdf5": Kind([(".h5", hdf5.read_bytes())], bytes_changed, streamed),
        "streamed store": Kind([(".h5", own.read_bytes())], bytes_changed, streamed),
        "staying pickle": Kind(pickles[3:], program_changed, left),
        "staying npz": Kind(npz, members_changed, staying),
        "staying hdf5": Kind([(".h5", hdf5.read_bytes())], bytes_changed, staying),
        "staying store": Kind([(".h5", own.read_bytes())], bytes_changed, staying),
        "pickle": Kind(pickles, program_changed, pickled),
        "npz": Kind(npz, members_changed, data),
        "hdf5": Kind([(".h5", hdf5.read_bytes())], bytes_changed, data),
        "store": Kind([(".h5", own.read_bytes())], bytes_changed, data),
        "masks": Kind([(".npz", masks.read_bytes())], members_changed, read_masks),
        "predictions": Kind(
            [(".npz", predictions.read_bytes())], members_changed, read_predictions
        ),
        "table": Kind([(".csv", table.encode())], words_changed, read_predictions),
        "csv": Kind([(".csv", table.encode())], words_changed, read_csv),
        "yaml": Kind([(".yaml", described)], words_changed, lambda p: read_protocol(p, MODALITIES)),
        "json": Kind([(".json", b'{"a": [1, 2.5, "x", null], "b": {}}')], words_changed, read_json),
    }


def fuzz(name, kind, folder, seconds, first):
    """Read damaged files of a kind for so many seconds; how many, and of how many came a value."""
    values = 0
    number, end = first, time.monotonic() + seconds
    while time.monotonic() < end:
        rng = random.Random(f"{name} {number}")
        suffix, content = rng.choice(kind.seeds)
        path = folder / f"input{suffix}"
        path.write_bytes(kind.damage(content, rng))
        print(f"{name} {number}", file=sys.stderr)  # the last line is the input of a crash
        faulthandler.dump_traceback_later(4 * SLOWEST, exit=True)
        began = time.monotonic()
        try:
            kind.read(path)
            values += 1
        except UserError as error:
            if len(str(error)) > LONGEST_MESSAGE:
                raise
        assert time.monotonic() - began < SLOWEST, f"{name} {number}: slow"
        faulthandler.cancel_dump_traceback_later()
        number += 1
    return number - first, values


def main(seconds, first=0):
    warnings.simplefilter("error")
    faulthandler.enable()
    used = 1024 * int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    with tempfile.TemporaryDirectory() as place:
        found = kinds(Path(place))
        for name, kind in found.items():
            inputs, values = fuzz(name, kind, Path(place), seconds / len(found), first)
            print(f"{name}: {inputs} inputs, {values} read", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), *map(int, sys.argv[2:]))
