"""Names in error messages."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_MOST = 100


def listed(names: Iterable[object]) -> str:
    """The names, comma-separated, or `nothing`; of very many or very long ones the beginning."""
    found = list(islice(names, _MOST + 1))
    shown = ", ".join(str(name)[:_MOST] for name in found[:_MOST])
    return f"{shown}, ..." if len(found) > _MOST else shown or "nothing"


def hint(name: str, known: Iterable[object]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing where none is near."""
    near = get_close_matches(name, [str(other) for other in known], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
