"""Files in a folder of data: none outside it is ever read because a list in it says so."""

import csv
from pathlib import Path, PurePosixPath

import numpy as np

from fsrf_jax.errors import DataError


def inside(folder: Path, name: str) -> Path:
    """The file of that name in a folder.

    Raises:
        DataError: the name leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if not name or parts.is_absolute() or ".." in parts.parts or "\0" in name:
        raise DataError(f"{name!r} leads out of the folder {folder}; expected a name in it")
    return folder / name


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as .npy ({error})") from None


def read_csv(path: Path) -> list[list[str]]:
    """The rows of a CSV file, without empty ones."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({error})") from None


def read_sequence(folder: Path, name: str) -> np.ndarray | None:
    """Features [t, f] of a sample: NAME.npy, NAME.csv, or a folder of .npy; None without any.

    A CSV file has a row a frame; a first row that is no numbers is its header.
    """
    start = inside(folder, name)
    if (table := start.with_name(f"{start.name}.csv")).is_file():
        rows = read_csv(table)
        try:
            float((rows or [["0"]])[0][0])
        except ValueError:
            rows = rows[1:]
        try:
            return np.array(rows, np.float64).reshape(len(rows), -1) if rows else None
        except ValueError as error:
            raise DataError(f"{table}: rows are not all numbers of one count ({error})") from None
    file = start.with_name(f"{start.name}.npy")
    arrays = [read_npy(f) for f in ([file] if file.is_file() else sorted(start.glob("*.npy")))]
    frames = [a.reshape(-1, a.shape[-1]) for a in arrays if a.ndim and a.shape[-1]]
    try:
        return np.concatenate(frames) if frames else None
    except ValueError:
        raise DataError(f"{start}: its .npy files differ in their number of features") from None
