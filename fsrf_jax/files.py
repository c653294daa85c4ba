"""Files: written whole or not at all, and read with one message for what is wrong."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fsrf_jax.errors import ConfigError, DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`, and move it there only if all went well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8 whatever the locale."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def read_yaml(path: Path, key: str) -> Any:
    """What a YAML file holds.

    Raises:
        ConfigError: there is no such file, or it is no YAML.
    """
    if not path.is_file():
        raise ConfigError(f"{key}: found no file {path}.")
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz file, without executing a pickle.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no .npz file of plain arrays ({error}).") from error
