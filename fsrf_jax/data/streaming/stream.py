"""Any readable data, with or without labels, some samples at a time.

What is read: all that `fsrf_jax.data.load` reads, whose labels are not looked at; arrays without
splits, see `keyed`; and folders of one file a sample, see `folder`. Arrays in .npz and HDF5, stores
and folders are never in memory as a whole; the rest is.
"""

from collections.abc import Iterator
from pathlib import Path

from fsrf_jax.data import frames, load, store
from fsrf_jax.data.assemble import NoModality
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.streaming import folder, keyed, parts
from fsrf_jax.data.streaming.wanted import Unread, Wanted
from fsrf_jax.errors import DataError

_NUMBERED = ("words", "csd")  # formats whose token ids number the words of their training split


def stream(path: str | Path, wanted: Wanted, format: str = "auto") -> Iterator[Split | Unread]:
    """The samples of a file or folder, in its order, not cleaned; and those that cannot be read.

    A split has all modalities of the network, and labels of 0. Ids are those of the data; without
    any they are SPLIT/NUMBER, in a file without splits FILE/NUMBER, and FILE for one sample.

    Args:
        path: of the data.
        wanted: what is to be read of them.
        format: of the data, see `fsrf_jax.data.load.READERS`; `auto` looks at them.

    Raises:
        DataError: they cannot be read as a whole, or do not fit: no modality, another width.
    """
    path = Path(path)
    load.check_exists(path)
    name = _detect(path) if format == "auto" else format
    try:
        yield from _of_format(path, name, wanted)
    except load.DAMAGE as error:
        raise load.strange(path, name, error) from error


def _detect(path: Path) -> str:
    """The format of the data; `samples` for a folder of no other one."""
    known = any(reader.recognises(path) for reader in load.READERS.values())
    return load.detect(path) if known or not path.is_dir() else "samples"


def _of_format(path: Path, name: str, wanted: Wanted) -> Iterator[Split | Unread]:
    if name == "samples":
        yield from folder.stream(path, wanted)
    elif name == "store":
        yield from _of_store(path, wanted)
    elif name in ("arrays", "mmsa") and path.is_file():
        with keyed.opened(path, wanted) as found:  # a pickle may be arrays without splits
            if found is not None:
                yield from keyed.stream(path, found, wanted)
                return
        yield from _of_dataset(path, name, wanted)
    else:
        yield from _of_dataset(path, name, wanted)


def _of_store(path: Path, wanted: Wanted) -> Iterator[Split]:
    splits, names = store.contents(path)
    wanted.check_splits(path, splits)
    chosen = tuple(wanted.chosen(path, names))
    for split in wanted.splits or splits:
        for part in store.parts(path, split, chosen, wanted.rows):
            where = f"{path}, split {split!r}"
            yield parts.from_valid(part.ids, part.features, part.valid, wanted, where)


def _of_dataset(path: Path, name: str, wanted: Wanted) -> Iterator[Split]:
    """Of what is read as a whole."""
    if name in _NUMBERED and any(m in wanted.tokens for m in wanted.modalities):
        raise DataError(
            f"{path}: its token ids number the words of its own training split, and mean others "
            "than those that were trained on: give token ids of one tokenizer, or word vectors"
        )
    dataset = _read(path, name, wanted)
    wanted.check_splits(path, dataset.splits)
    for split_name in wanted.splits or dataset.splits:
        split = dataset.splits[split_name]
        for start in range(0, len(split), wanted.rows):
            part = split.take(slice(start, start + wanted.rows))
            features = {m: frames.as_sequences(x, m) for m, x in part.features.items()}
            where = f"{path}, split {split_name!r}"
            yield parts.from_valid(part.ids, features, part.valid, wanted, where)


def _read(path: Path, name: str, wanted: Wanted) -> Dataset:
    """The data set with those modalities that it has."""
    present = list(wanted.modalities)
    while True:
        try:
            return load.read(path, tuple(present), name, labelled=False)
        except NoModality as error:
            wanted.check_lack(error)
            present.remove(error.modality)
            if not present:
                raise
