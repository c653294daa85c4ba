"""Features rounded to float16: half the size of a store, and what it changes is measured."""

from typing import Literal

import numpy as np

from fsrf_jax.data.frames import filled
from fsrf_jax.errors import DataError

Precision = Literal["float32", "float16"]
"""Of features in a store, which are read as float32 in any case."""


class Rounding:
    """Rounds features of a modality to float16, and knows what that changes.

    Attributes:
        largest: difference of a value so far.
        squares: sums of squared differences and of squared values.
    """

    def __init__(self, modality: str) -> None:
        self.modality, self.largest = modality, 0.0
        self.squares = np.zeros(2)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Values as float32, rounded.

        Raises:
            DataError: one is too large, or all of a frame are too small, which would make it a
                missing one.
        """
        with np.errstate(over="ignore"):
            rounded = x.astype(np.float16).astype(np.float32)
        why = ""
        if not np.isfinite(rounded).all():
            why = f"{np.abs(x).max():.6g}, above the largest number of float16, 65504"
        elif (filled(x) & ~filled(rounded)).any():
            why = "a frame whose values are all below 3e-8, and would be zeros, which say missing"
        if why:
            raise DataError(f"{self.modality}: found {why}: write it as float32")
        difference = np.abs(rounded.astype(np.float64) - x)
        self.largest = max(self.largest, float(difference.max(initial=0)))
        self.squares += [np.square(difference).sum(), np.square(x, dtype=np.float64).sum()]
        return rounded

    def note(self) -> str:
        """The largest difference, and the relative one: the root of the ratio of the squares."""
        changed, whole = self.squares
        relative = float(np.sqrt(changed / whole)) if whole else 0.0
        return (
            f"{self.modality}: stored as float16, which changes a value by at most "
            f"{self.largest:.3g}, and all by {relative:.3g} of their size (root mean square)"
        )
