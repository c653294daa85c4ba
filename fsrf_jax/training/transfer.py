"""Parameters of one run for another one: what fits by name and shape.

Methods share their bricks by name, so that an encoder of one serves another. Where two runs have
other modalities, an array may hold something for each of them, one block of rows after the other;
then the blocks of the modalities that both have are taken, wherever they stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import jax.tree_util

from fsrf_jax.methods.method import Parameters
from fsrf_jax.training.frozen import named_leaves, size

Rows = tuple[tuple[int, int], ...]
"""Pairs of rows: there, here."""


@dataclass(frozen=True)
class Transfer:
    """What is taken.

    Attributes:
        rows: by the name of every array of which something is taken, which rows; None: all.
        taken: how many numbers are taken.
        total: of how many.
        anew: names of the arrays that are drawn anew, with the modalities where it is a part.
    """

    rows: Mapping[str, Rows | None]
    taken: int
    total: int
    anew: tuple[str, ...]


def plan(
    old: Parameters,
    new: Parameters,
    modalities: tuple[Sequence[str], Sequence[str]],
    wider: Parameters,
) -> Transfer:
    """What of the old parameters fits the new ones.

    Args:
        old: arrays, or their shapes.
        new: the same.
        modalities: of both, sorted.
        wider: the new ones as they would be with one modality more: what differs depends on them.
    """
    there, here, more = named_leaves(old), named_leaves(new), named_leaves(wider)
    rows: dict[str, Rows | None] = {}
    anew: list[str] = []
    taken = 0
    for name, leaf in here.items():
        found = there.get(name)
        if found is None or found.dtype != leaf.dtype:
            anew.append(name)
        elif modalities[0] == modalities[1] or more[name].shape == leaf.shape:
            if found.shape == leaf.shape:
                rows[name], taken = None, taken + size(leaf)
            else:
                anew.append(name)
        else:
            pairs = _blocks(found.shape, leaf.shape, more[name].shape, modalities)
            lacking = [m for m in modalities[1] if m not in modalities[0]]
            if pairs:
                rows[name], taken = pairs, taken + size(leaf) // leaf.shape[0] * len(pairs)
            if lacking or not pairs:
                anew.append(f"{name} ({', '.join(lacking)})" if pairs else name)
    return Transfer(rows, taken, sum(map(size, here.values())), tuple(anew))


def apply(transfer: Transfer, old: Parameters, new: Parameters) -> Parameters:
    """The new parameters [p, ..] of a population, with what is taken of the old ones in place."""
    there = named_leaves(old)

    def moved(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name not in transfer.rows:
            return leaf
        pairs = transfer.rows[name]
        if pairs is None:
            return jnp.broadcast_to(there[name][None], leaf.shape)
        sources, places = (jnp.asarray(numbers) for numbers in zip(*pairs, strict=True))
        return jnp.asarray(leaf).at[:, places].set(jnp.asarray(there[name])[sources][None])

    return jax.tree_util.tree_map_with_path(moved, new)


def grouped(names: Sequence[str], parameters: Parameters) -> list[str]:
    """Names of arrays, in a shorter form: a group whose arrays are all among them stands for them.

    Such as `inference.head` for `inference.head.bias` and `inference.head.kernel`.
    """
    complete = _prefixes(set(named_leaves(parameters)) - set(names))
    short = []
    for name in names:
        parts = name.split(".")
        heads = (".".join(parts[:i]) for i in range(1, len(parts)))
        short.append(next((head for head in heads if head not in complete), name))
    return list(dict.fromkeys(short))


def _prefixes(names: set[str]) -> set[str]:
    return {".".join(name.split(".")[:i]) for name in names for i in range(1, name.count(".") + 2)}


def _blocks(
    there: Sequence[int],
    here: Sequence[int],
    wider: Sequence[int],
    modalities: tuple[Sequence[str], Sequence[str]],
) -> Rows:
    """Rows of the modalities that both have; nothing, if rows are not in blocks of modalities."""
    old, new = modalities
    block = wider[0] - here[0] if here and tuple(wider[1:]) == tuple(here[1:]) else 0
    in_blocks = block > 0 and here[0] == block * len(new)
    if not in_blocks or tuple(there) != (block * len(old), *here[1:]):
        return ()
    return tuple(
        (block * old.index(m) + i, block * new.index(m) + i)
        for m in new
        if m in old
        for i in range(block)
    )
