"""Which experiments can train as one program, and how many at a time."""

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import jax

from fsrf_jax.arguments import to_yaml
from fsrf_jax.config import Config, OutputConfig
from fsrf_jax.experiments.experiment import teacher_config
from fsrf_jax.options import split

Item = TypeVar("Item")


def static_key(config: Config) -> Hashable:
    """What two configs must share to train together: all but numbers, seed and folder.

    Missingness must be the same with its numbers, since members share the masks of validation.
    Where the method has a teacher, its config must be the same as well, numbers included.
    """
    training = dataclasses.replace(config.training, seed=0)
    config = dataclasses.replace(config, training=training, output=OutputConfig())
    teacher = teacher_config(config, Path())
    static, _ = split(config)
    return static, config.missing, teacher and to_yaml(teacher)


def groups(configs: Iterable[Config]) -> list[list[int]]:
    """Indices of the configs that share a program, in the order in which they come first."""
    by_key: dict[Hashable, list[int]] = {}
    for index, config in enumerate(configs):
        by_key.setdefault(static_key(config), []).append(index)
    return list(by_key.values())


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
