"""Reads files of safetensors: named arrays behind a header that states their types and places."""

from pathlib import Path

import numpy as np
import safetensors.numpy

from fsrf_jax.errors import DataError, UserError
from fsrf_jax.reading import limits


def read_tensors(path: Path, error: type[UserError] = DataError) -> dict[str, np.ndarray]:
    """The arrays of a file by name; a file cannot run code, and is never larger in memory.

    Args:
        path: the file.
        error: what is raised if it cannot be read.

    Raises:
        UserError: there is no such file, or it is damaged.
        OutOfMemory: it is larger than the memory at hand.
    """
    limits.check_memory(path, 2 * limits.check_regular(path, error))  # the bytes, and the arrays
    with limits.one_message(path, "safetensors", error):
        return safetensors.numpy.load(path.read_bytes())
