"""Small JSON files that say themselves whether they are whole: `digest` is that of all other keys.

A file that was cut off is no JSON, but a flipped bit may make another number of a number. Files
without a digest, of earlier versions, are taken as they are.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsrf_jax.errors import RunError
from fsrf_jax.files import write_text
from fsrf_jax.reading.text import parse_json, read_json

KEY = "digest"


class DamagedFile(RunError):
    """A small file is not what was written."""


def digest(content: Any) -> str:
    """SHA-256 of what JSON holds, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole, with its digest; a NaN is an error."""
    # As it is read back: a number as a key has become text.
    plain = parse_json(json.dumps(content, allow_nan=False), path.name)
    plain.pop(KEY, None)
    write_text(path, json.dumps({**plain, KEY: digest(plain)}, indent=1) + "\n")


def read(path: Path, remedy: str) -> dict[str, Any]:
    """What such a file holds, without its digest.

    Args:
        path: the file.
        remedy: what to do if it is damaged.

    Raises:
        DamagedFile: there is none, it is no JSON object, or does not have its digest.
    """
    try:
        found = read_json(path, RunError)
    except RunError as error:
        raise damaged(path, str(error).removeprefix(f"{path}: "), remedy) from error
    if not isinstance(found, dict):
        raise damaged(path, f"found {type(found).__name__}, expected an object", remedy)
    stated = found.pop(KEY, None)
    if stated is not None and stated != digest(found):
        raise damaged(path, "it does not have the digest that it states", remedy)
    return found


def damaged(path: Path, what: str, remedy: str) -> DamagedFile:
    """The one message about such a file."""
    return DamagedFile(f"{path}: is damaged: {what.rstrip('.')}: {remedy}.")
