"""What `environment.json` of a run folder holds: by what, and on which data, a run was trained."""

from pathlib import Path
from types import NoneType
from typing import Any

from fsrf_jax import sealed

KINDS: dict[str, tuple[type, ...]] = {
    "command": (list,),
    "time": (str,),
    "python": (str,),
    "versions": (dict,),
    "commit": (str, NoneType),
    "devices": (list,),
    "data_fingerprint": (str,),
    "config_digest": (str,),
}
"""Keys and their types; only `data_fingerprint` is always there."""

ANEW = "the same bin/train command writes it anew"


def read_environment(folder: Path) -> dict[str, Any] | None:
    """What environment.json holds; None where there is none.

    Raises:
        DamagedFile: it is not what was written.
    """
    path = folder / "environment.json"
    if not path.exists():
        return None
    found = sealed.read(path, ANEW)
    for key, kinds in KINDS.items():
        if not isinstance(found.get(key), kinds) and (key in found or key == "data_fingerprint"):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            what = f"{key} is {found.get(key)!r}, expected {wanted}"
            raise sealed.damaged(path, what, ANEW)
    return found
