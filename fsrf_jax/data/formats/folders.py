"""Files in a folder of data: none outside it is ever read because a list in it says so."""

from pathlib import Path, PurePosixPath

import numpy as np

from fsrf_jax.errors import DataError
from fsrf_jax.reading.npz import read_npy
from fsrf_jax.reading.text import parse_csv, read_text

_SUFFIXES = (".npy", ".csv")


def inside(folder: Path, name: str) -> Path:
    """The file of that name in a folder.

    Raises:
        DataError: the name leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if not name or parts.is_absolute() or ".." in parts.parts or "\0" in name:
        raise DataError(f"{name!r} leads out of the folder {folder}; expected a name in it")
    return folder / name


def names_in(folder: Path) -> set[str]:
    """Names of the samples that `read_sequence` could find at the top of a folder."""
    return {
        entry.name if entry.is_dir() else entry.stem
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and (entry.is_dir() or entry.suffix in _SUFFIXES)
    }


def read_sequence(folder: Path, name: str) -> np.ndarray | None:
    """Features [t, f] of a sample: NAME.npy, NAME.csv, or a folder of .npy; None without any.

    A CSV file has a row a frame; a first row that is no numbers is its header.
    """
    start = inside(folder, name)
    if (table := start.with_name(f"{start.name}.csv")).is_file():
        return _table(table)
    file = start.with_name(f"{start.name}.npy")
    files = [file] if file.is_file() else sorted(start.glob("*.npy"))
    parts = [a.reshape(-1, a.shape[-1]) for a in map(read_npy, files) if a.ndim and a.shape[-1]]
    if len({part.shape[1] for part in parts}) > 1:
        raise DataError(f"{start}: its .npy files differ in their number of features")
    return np.concatenate(parts) if parts else None


def _table(path: Path) -> np.ndarray | None:
    rows = [row for row in parse_csv(read_text(path).splitlines(), str(path)) if row]
    try:
        float((rows or [["0"]])[0][0])
    except ValueError:
        rows = rows[1:]
    try:
        return np.array(rows, np.float64) if rows else None
    except ValueError:
        raise DataError(
            f"{path}: expected rows of numbers, as many in each, under a header"
        ) from None
