"""Predictions as a file, written a part at a time: .csv, .jsonl or .npz, whole or not at all.

A part is columns by name, arrays whose first axis is the samples. In a .csv all columns are values;
in .jsonl rows may be lists; in .npz arrays of unequal length are filled up with NaN.
"""

import csv
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from fsrf_jax.files import replacing, write_text

Columns = Mapping[str, np.ndarray]


@contextmanager
def writer(path: Path) -> Iterator[Callable[[Columns], None]]:
    """Give a function that appends a part; the file is there once all parts are."""
    with replacing(path) as temporary, WRITERS[path.suffix](temporary) as append:
        yield append


@contextmanager
def _csv(path: Path) -> Iterator[Callable[[Columns], None]]:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        begun = False

        def append(columns: Columns) -> None:
            nonlocal begun
            if not begun:
                rows.writerow(columns)
                begun = True
            rows.writerows(zip(*(_plain(x) for x in columns.values()), strict=True))

        yield append


@contextmanager
def _jsonl(path: Path) -> Iterator[Callable[[Columns], None]]:
    with path.open("w", encoding="utf-8") as file:

        def append(columns: Columns) -> None:
            for cells in zip(*(_plain(x) for x in columns.values()), strict=True):
                line = dict(zip(columns, cells, strict=True))
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")

        yield append


def _plain(x: np.ndarray) -> list[Any]:
    """As Python's numbers; float32 by its shortest digits, not by those of its float64."""
    if x.dtype == np.float32:
        return np.reshape([float(str(value)) for value in x.ravel()], x.shape).tolist()
    return x.tolist()


@contextmanager
def _npz(path: Path) -> Iterator[Callable[[Columns], None]]:
    """Numbers wait in files without a name, which are gone with the process; texts in memory."""
    with ExitStack() as stack:
        numbers: dict[str, _Waiting] = {}
        texts: dict[str, list[np.ndarray]] = {}

        def append(columns: Columns) -> None:
            for name, x in columns.items():
                if x.dtype.kind == "U":
                    texts.setdefault(name, []).append(x)
                    continue
                if name not in numbers:
                    file = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
                    numbers[name] = _Waiting(file)
                numbers[name].append(x)

        yield append
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for name, found in texts.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as target:
                    np.lib.format.write_array(target, np.concatenate(found), allow_pickle=False)
            for name, waiting in numbers.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as target:
                    waiting.copy_to(target)


class _Waiting:
    """Parts of one array."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._shapes: list[tuple[int, ...]] = []
        self._dtype = np.dtype(np.float32)

    def append(self, x: np.ndarray) -> None:
        self._dtype = x.dtype
        self._shapes.append(x.shape)
        self._file.write(np.ascontiguousarray(x).tobytes())

    def copy_to(self, target: IO[bytes]) -> None:
        longest = tuple(map(max, zip(*(shape[1:] for shape in self._shapes), strict=True)))
        shape = (sum(shape[0] for shape in self._shapes), *longest)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(target, header)
        self._file.seek(0)
        if all(shape[1:] == longest for shape in self._shapes):
            shutil.copyfileobj(self._file, target)
            return
        for shape in self._shapes:
            content = self._file.read(int(np.prod(shape)) * self._dtype.itemsize)
            x = np.frombuffer(content, self._dtype).reshape(shape)
            pad = [(0, 0), *((0, most - own) for most, own in zip(longest, shape[1:], strict=True))]
            target.write(np.pad(x, pad, constant_values=np.nan).tobytes())


WRITERS = {".csv": _csv, ".jsonl": _jsonl, ".npz": _npz}
"""By the ending of the file."""


def write_unread(path: Path, unread: Sequence[tuple[str, str]]) -> None:
    """Samples that could not be read, and why, as comma-separated values."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows([("id", "reason"), *unread])
    write_text(path, text.getvalue())
