"""Random samples in the shapes of public data sets, as NumPy arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Arrays(NamedTuple):
    """n complete samples; frames beyond a sample's length are 0."""

    features: dict[str, np.ndarray]  # float32 [n, t, f]
    present: dict[str, np.ndarray]  # bool [n, t]
    labels: np.ndarray  # float32 [n]
    weights: np.ndarray  # float32 [n]


@dataclass(frozen=True)
class Shape:
    """Frames and features of each modality."""

    frames: Mapping[str, int]
    features: Mapping[str, int]

    def draw(self, n: int, seed: int = 0) -> Arrays:
        """Standard normal features; lengths are uniform from half the frames to all of them."""
        rng = np.random.default_rng(seed)
        features, present = {}, {}
        for m, t in self.frames.items():
            length_n = rng.integers(t // 2, t + 1, size=n)
            present[m] = np.arange(t) < length_n[:, None]
            x_ntf = rng.standard_normal((n, t, self.features[m]), np.float32)
            features[m] = x_ntf * present[m][..., None]
        labels = rng.uniform(-3, 3, size=n).astype(np.float32)
        return Arrays(features, present, labels, np.ones(n, np.float32))


def aligned(t: int) -> Shape:
    """As CMU-MOSI in 300 features of language, 5 of audio and 20 of vision, with t frames each."""
    widths = {"language": 300, "audio": 5, "vision": 20}
    return Shape(dict.fromkeys(widths, t), widths)


def unaligned(t: int) -> Shape:
    """As CMU-MOSEI, unaligned, with t frames of audio and vision."""
    frames = {"language": 50, "audio": t, "vision": t}
    return Shape(frames, {"language": 768, "audio": 74, "vision": 35})


SHAPES = {
    "mosi": aligned(50),
    "mosei": unaligned(500),
    "demo": Shape(
        {"language": 20, "audio": 20, "vision": 20}, {"language": 16, "audio": 8, "vision": 8}
    ),
}
"""By the name that the table gives them; `demo` is about that of configs/demo.yaml."""


def shape_of(name: str) -> Shape:
    """A shape by its name, or `t100`: the one of `aligned` with 100 frames."""
    return SHAPES[name] if name in SHAPES else aligned(int(name.removeprefix("t")))


def index_of(n: int, batch: int, steps: int, seed: int = 0) -> np.ndarray:
    """Numbers of random samples for each step, int32 [steps, batch]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, n, size=(steps, batch), dtype=np.int32)
