"""Any data file to a clean data set."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from fsrf_jax.data import store
from fsrf_jax.data.clean import BadValues, clean
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.formats import (
    arrays,
    csd,
    gcnet,
    mapping,
    mmin,
    mmsa,
    mult,
    others,
    samples,
    tables,
    words,
)
from fsrf_jax.data.names import hint, listed
from fsrf_jax.data.tokens import with_note_on_states
from fsrf_jax.errors import DataError
from fsrf_jax.reading.limits import check_regular


class Reader(NamedTuple):
    """A data format.

    Attributes:
        recognises: whether a file or folder is of this format, by its first bytes, names in it, or
            what it holds.
        read: path and names of the modalities to the splits as they stand in the file.
        unlabelled: the same where labels are not looked for; None: files of this format have them.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path, tuple[str, ...]], Dataset]
    unlabelled: Callable[[Path, tuple[str, ...]], Dataset] | None = None


READERS: dict[str, Reader] = {
    "mmsa": Reader(mmsa.recognises, mmsa.read, partial(mmsa.read, labelled=False)),
    "mult": Reader(mult.recognises, mult.read, partial(mult.read, labelled=False)),
    "words": Reader(words.recognises, words.read),
    "gcnet": Reader(gcnet.recognises, gcnet.read),
    "mmin": Reader(mmin.recognises, mmin.read),
    "samples": Reader(samples.recognises, samples.read),
    "mapping": Reader(mapping.recognises, mapping.read, partial(mapping.read, labelled=False)),
    "arrays": Reader(arrays.recognises, arrays.read),
    "csd": Reader(csd.recognises, csd.read),
    "store": Reader(store.is_store, store.read),
}
"""By name; the last one that recognises a file or folder reads it."""

LAZY: dict[str, Callable[[Path, tuple[str, ...]], Dataset]] = {
    "mmsa": partial(mmsa.read, stays=True),
    "mult": partial(mult.read, stays=True),
    "arrays": partial(arrays.read, stays=True),
    "store": partial(store.read, stays=True),
}
"""By name of the format: how its splits are read with features that stay in the file."""

DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What is raised where a file that is damaged, or made to do harm, holds anything in place of what
its format has: a reader takes a file at its word."""

if TYPE_CHECKING:  # the registry is the only list of names
    Format = str
else:
    Format = Literal[("auto", *READERS)]


def load(
    path: str | Path,
    modalities: tuple[str, ...],
    *,
    format: Format = "auto",
    bad_values: BadValues = "zero",
    stays: bool = False,
) -> Dataset:
    """Read, check and clean a data file.

    Args:
        path: the file or folder, of one of the formats in docs/data.md.
        modalities: names of the modalities to read; their order is kept.
        format: of the file; `auto` tells it from the content.
        bad_values: what becomes of values that are NaN or infinite.
        stays: the file is a store, whose features stay in it.

    Returns:
        A data set that keeps the contract of `Split`, with notes on what was assumed and cleaned.

    Raises:
        DataError: the file is missing or damaged, or its content cannot be used.
    """
    raw = read(path, modalities, format, stays=stays)
    return cleaned(raw, bad_values, stored=stays)


def cleaned(raw: Dataset, bad_values: BadValues, *, stored: bool = False) -> Dataset:
    """What `read` gave, cleaned, with all notes; see `load` and `clean`."""
    return with_note_on_states(clean(raw, bad_values, stored=stored))


def read(
    path: str | Path,
    modalities: tuple[str, ...],
    format: Format = "auto",
    *,
    labelled: bool = True,
    stays: bool = False,
) -> Dataset:
    """The splits as they stand in a data file; see `load`.

    Args:
        path, modalities, format: see `load`.
        labelled: False: labels are not looked for where a format can lack them, and are 0.
        stays: features of a format that can be read by rows stay in the file, see `LAZY`.
    """
    path = Path(path)
    if not modalities or len(set(modalities)) < len(modalities):
        raise DataError(f"modalities are {modalities}; expected one or more different names")
    known = ("auto", *READERS)
    if format not in known:
        message = f"unknown format {format!r}; expected {listed(known)}{hint(format, known)}"
        raise DataError(message)
    check_exists(path)
    name = format
    try:
        name = detect(path) if format == "auto" else format
        reader = READERS[name]
        used = reader.read if labelled else reader.unlabelled or reader.read
        if stays and name in LAZY:
            used = LAZY[name]
        return used(path, tuple(modalities))
    except DAMAGE as error:
        raise strange(path, name, error) from error
    finally:
        tables.forget()


def strange(path: Path, name: str, error: Exception) -> DataError:
    """What a reader says whose file, of the format `name`, does not hold what it took for given."""
    return DataError(
        f"{path} does not hold what the format {name!r} has ({type(error).__name__}: {error}); "
        "expected a file as docs/data.md describes it"
    )


def check_exists(path: Path) -> None:
    """Raise DataError, with the nearest name, if there is no such file or folder."""
    if path.exists():
        if not path.is_dir():
            check_regular(path)
        return
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"{path} does not exist, nor does its folder; check the path")
    near = hint(path.name, (entry.name for entry in folder.iterdir()))
    raise DataError(f"{path} does not exist{near or '; check the path'}")


def detect(path: Path) -> str:
    """The format of a file or folder; the reader of pickles refuses what nobody recognises."""
    advice = ""
    try:
        advice = others.advice(path) if path.is_file() else ""
        found = [name for name, reader in READERS.items() if reader.recognises(path)]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except DataError:
        if not advice:
            raise
        found = []
    if advice and found in ([], ["arrays"]):
        raise DataError(f"{path} is {advice}")
    if not found and path.is_dir():
        names = sorted(entry.name for entry in path.iterdir())
        raise DataError(
            f"{path} is a folder of no known format; expected labels.csv, .csd files, train.pkl, "
            "the folders A, L, V and target (MMIN), or features and a pickle (GCNet); found "
            f"{listed(names[:10])}"
        )
    return found[-1] if found else "mmsa"
