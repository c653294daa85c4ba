"""Any data file to a clean data set."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from fsrf_jax.data import store
from fsrf_jax.data.clean import clean
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import arrays, mmsa
from fsrf_jax.data.names import hint, listed
from fsrf_jax.errors import DataError
from fsrf_jax.reading import signature
from fsrf_jax.reading.limits import check_regular


class Reader(NamedTuple):
    """A data format.

    Attributes:
        recognises: whether a file is of this format, by its first bytes or its name.
        read: path and names of the modalities to the splits as they stand in the file.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path, tuple[str, ...]], Dataset]


READERS: dict[str, Reader] = {
    "mmsa": Reader(lambda path: signature.kind(path) == "pickle", mmsa.read),
    "arrays": Reader(lambda path: signature.kind(path) in ("zip", "npy", "hdf5"), arrays.read),
    "store": Reader(store.is_store, store.read),
}
"""By name; the last one that recognises a file reads it."""

if TYPE_CHECKING:  # the registry is the only list of names
    Format = str
else:
    Format = Literal[("auto", *READERS)]


def load(path: str | Path, modalities: tuple[str, ...], *, format: Format = "auto") -> Dataset:
    """Read, check and clean a data file.

    Args:
        path: the file: an MMSA pickle, plain arrays in .npz or HDF5, or the project's own store.
        modalities: names of the modalities to read; their order is kept.
        format: of the file; `auto` tells it from the content.

    Returns:
        A data set that keeps the contract of `Split`, with notes on what was assumed and cleaned.

    Raises:
        DataError: the file is missing or damaged, or its content cannot be used.
    """
    path = Path(path)
    if not modalities or len(set(modalities)) < len(modalities):
        raise DataError(f"modalities are {modalities}; expected one or more different names")
    known = ("auto", *READERS)
    if format not in known:
        message = f"unknown format {format!r}; expected {listed(known)}{hint(format, known)}"
        raise DataError(message)
    _check_exists(path)
    reader = READERS[_detect(path) if format == "auto" else format]
    return clean(reader.read(path, tuple(modalities)))


def _check_exists(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a data file")
    if path.exists():
        check_regular(path)
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"{path} does not exist, nor does its folder; check the path")
    near = hint(path.name, (entry.name for entry in folder.iterdir() if entry.is_file()))
    raise DataError(f"{path} does not exist{near or '; check the path'}")


def _detect(path: Path) -> str:
    """The format of a file; what nobody recognises is left to the reader of pickles to refuse."""
    try:
        found = [name for name, reader in READERS.items() if reader.recognises(path)]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return found[-1] if found else "mmsa"
