"""Parameters that do not move, by the names of their groups.

A group is named by its dotted path inside `inference` or `training`, such as `encoders.language`;
one of these two in front, as in `training.decoder_audio`, means it alone. What is frozen takes no
gradient: it has no weight decay, no state of the optimizer and no part in the gradient's norm, by
which the others' is clipped.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import jax

from fsrf_jax.data.names import hint

Tree = TypeVar("Tree")


def named_leaves(tree: Any) -> dict[str, Any]:
    """Every array of a pytree by its dotted path, such as `inference.head.bias`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def size(leaf: Any) -> int:
    """How many numbers an array has, or what stands for one."""
    return math.prod(leaf.shape)


def frozen_leaves(parameters: Any, names: Sequence[str]) -> Any:
    """A pytree like `parameters`, True where an array belongs to one of the groups.

    Raises:
        ValueError: there is no such group, or nothing is left to train; it begins with `freeze`.
    """
    leaves = named_leaves(parameters)
    groups = {path: _groups(path) for path in leaves}
    known = {name for found in groups.values() for name in found}
    for name in names:
        if name not in known:
            tops = ", ".join(dict.fromkeys(path.split(".")[:2][-1] for path in leaves))
            near = hint(name, sorted(known)) or "."
            raise ValueError(
                f"freeze: found {name!r}, expected groups of parameters, which are {tops}, or "
                f"parts of them, as encoders.language{near}"
            )
    held = [not groups[path].isdisjoint(names) for path in leaves]
    if names and all(held):
        raise ValueError(f"freeze: found {list(names)}, which is everything: nothing would train.")
    return jax.tree.unflatten(jax.tree.structure(parameters), held)


def hold(frozen: Any, parameters: Tree) -> Tree:
    """The same parameters, without a gradient where they are frozen."""
    return jax.tree.map(
        lambda still, x: jax.lax.stop_gradient(x) if still else x, frozen, parameters
    )


def keep(frozen: Any, old: Tree, new: Tree) -> Tree:
    """The new parameters, but the old ones, to the last bit, where they are frozen."""
    return jax.tree.map(lambda still, a, b: a if still else b, frozen, old, new)


def describe(parameters: Any, names: Sequence[str]) -> str:
    """`frozen: 12,345 of 67,890 parameters: encoders.language`."""
    leaves = jax.tree.leaves(parameters)
    held = jax.tree.leaves(frozen_leaves(parameters, names))
    count = sum(size(leaf) for leaf, still in zip(leaves, held, strict=True) if still)
    return f"frozen: {count:,} of {sum(map(size, leaves)):,} parameters: {', '.join(names)}"


def _groups(path: str) -> set[str]:
    """Every name that an array can be called by: its path and all that it begins with."""
    parts = path.split(".")
    return {".".join(parts[i:j]) for i in (0, 1) for j in range(i + 1, len(parts) + 1)}
