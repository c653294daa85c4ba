"""Names: those in error messages, and those that files give to the same thing."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice

import numpy as np

_MOST = 100
FEW = 5
"""How many are named of what can be very many."""

SPLITS = ("train", "valid", "test")
"""The splits that an experiment needs; a file may have others."""

_SPLIT_OF = {"trn": "train", "dev": "valid", "val": "valid", "validation": "valid", "tst": "test"}
_OTHER_NAMES = {
    "language": ("text", "words", "L"),
    "audio": ("acoustic", "A"),
    "vision": ("visual", "video", "V"),
}


MODALITIES = tuple(_OTHER_NAMES)
"""Those that formats of this field have names for."""


def split_names(found: Iterable[str]) -> dict[str, str]:
    """For each split of a file by its name there, the name here: `dev` and `val` are `valid`."""
    names = list(found)
    renamed = {name: _SPLIT_OF.get(name.lower(), name) for name in names}
    return {name: name if new in names else new for name, new in renamed.items()}


def names_of(modality: str) -> tuple[str, ...]:
    """What files call a modality: its name, and others for it, such as `text` for language."""
    return (modality, *_OTHER_NAMES.get(modality, ()))


def key_of(modality: str, keys: Iterable[str]) -> str | None:
    """Which key holds a modality: the first of its names that there is."""
    known = set(keys)
    return next((name for name in names_of(modality) if name in known), None)


def modality_of(key: str) -> str:
    """The name here of what a file calls `key`."""
    return next((name for name, others in _OTHER_NAMES.items() if key in others), key)


def not_read(found: Iterable[str], modalities: Iterable[str]) -> list[str]:
    """A note on the modalities of a file that are not asked for, if there are any.

    Args:
        found: names of those in the file, as they are there.
        modalities: names of those that are read.
    """
    read = {name for m in modalities for name in names_of(m)}
    others = [name for name in dict.fromkeys(found) if name not in read]
    return [f"not asked for, and not read: {listed(others)}"] if others else []


def listed(names: Iterable[object]) -> str:
    """The names, comma-separated, or `nothing`; of very many or very long ones the beginning."""
    found = list(islice(names, _MOST + 1))
    shown = ", ".join(str(name)[:_MOST] for name in found[:_MOST])
    return f"{shown}, ..." if len(found) > _MOST else shown or "nothing"


def first_of(found: Sequence[object] | np.ndarray) -> str:
    """The first few, comma-separated, of what can be very many."""
    few = ", ".join(str(item)[:_MOST] for item in found[:FEW])
    return f"{few}, ..." if len(found) > FEW else few


def hint(name: str, known: Iterable[object]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing where none is near."""
    near = get_close_matches(name, [str(other) for other in known], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
