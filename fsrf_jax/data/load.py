"""Any data file to a clean data set."""

from pathlib import Path
from typing import Literal, get_args

from fsrf_jax.data import store
from fsrf_jax.data.clean import clean
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import arrays, mmsa, signature
from fsrf_jax.data.names import hint, listed
from fsrf_jax.errors import DataError

Format = Literal["auto", "mmsa", "arrays", "store"]

_READERS = {"mmsa": mmsa.read, "arrays": arrays.read, "store": store.read}


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
    if format not in get_args(Format):
        raise DataError(
            f"unknown format {format!r}; expected {listed(get_args(Format))}"
            f"{hint(format, get_args(Format))}"
        )
    _check_exists(path)
    return clean(_READERS[_detect(path) if format == "auto" else format](path, tuple(modalities)))


def _check_exists(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a data file")
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"{path} does not exist, nor does its folder; check the path")
    near = hint(path.name, (entry.name for entry in folder.iterdir() if entry.is_file()))
    raise DataError(f"{path} does not exist{near or '; check the path'}")


def _detect(path: Path) -> str:
    try:
        kind = signature.kind(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if kind == "hdf5":
        return "store" if store.is_store(path) else "arrays"
    return "arrays" if kind in ("zip", "npy") else "mmsa"
