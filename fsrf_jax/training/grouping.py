"""Which experiments can train as one program, and how many at a time."""

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import jax

from fsrf_jax.config import Config, flatten

Item = TypeVar("Item")

# Numbers of the config that are arrays in training, beside the weights.
ARRAYS = (
    "training.seed",
    "optimizer.learning_rate",
    "losses.distillation.temperature",
    "model.dropout",
)


def static_key(config: Config) -> Hashable:
    """What two configs must share to train as one program: all but arrays and the run folder."""
    kept: list[Hashable] = []
    for key, value in flatten(config).items():
        if key in ARRAYS or key.startswith("output."):
            continue
        if key == "weights.feature_distillation":
            kept.append((key, tuple(sorted(value))))
        elif not key.startswith("weights."):
            kept.append((key, repr(value)))
    return tuple(kept)


def groups(configs: Iterable[Config]) -> list[list[int]]:
    """Indices of the configs that share a program, in the order in which they come first."""
    by_key: dict[Hashable, list[int]] = {}
    for index, config in enumerate(configs):
        by_key.setdefault(static_key(config), []).append(index)
    return list(by_key.values())


def varies_dropout(configs: Sequence[Config]) -> bool:
    """Whether the configs of a group differ in their dropout rate."""
    return len({config.model.dropout for config in configs}) > 1


def common(configs: Sequence[Config]) -> Config:
    """The config that stands for a group when its program is made."""
    first = configs[0]
    rate = max(config.model.dropout for config in configs)
    return dataclasses.replace(first, model=dataclasses.replace(first.model, dropout=rate))


def members_at_a_time(asked: int) -> int:
    """How many members train together unless memory forbids it.

    Args:
        asked: the user's wish; 0 leaves it to this function: as many as there are CPU devices,
            since a population on one CPU is no faster than its members one by one, and all of a
            group, 64 at most, on an accelerator.
    """
    if asked:
        return asked
    return jax.local_device_count() if jax.default_backend() == "cpu" else 64


def chunks(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Consecutive parts of at most `size` items, as equal as can be: fewer programs to compile."""
    count = -(-len(items) // size)
    per_chunk = -(-len(items) // count) if count else 0
    return [list(items[i : i + per_chunk]) for i in range(0, len(items), per_chunk or 1)]
