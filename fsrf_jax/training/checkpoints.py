"""Checkpoints of a run: whole, asynchronous, and checked against damage when restored.

A checkpoint holds the whole training state (the best network stands in it beside the current
one) and a tree of preparation arrays, such as the normaliser, without which the network is
useless. Orbax restores a damaged file without complaint, so a SHA-256 digest of every leaf is
stored beside the arrays and compared.
"""

import contextlib
import gc
import hashlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from fsrf_jax.errors import RunError

Manager: TypeAlias = ocp.CheckpointManager
KEPT = 2  # a checkpoint that was cut off while written never takes the one before with it


@contextlib.contextmanager
def open_manager(folder: Path, *, read_only: bool = False) -> Iterator[Manager]:
    """A checkpoint manager on `folder`; leaving the context waits for saves under way."""
    if read_only and not folder.is_dir():
        raise RunError(f"{folder}: found no checkpoints; train the run first.")
    options = ocp.CheckpointManagerOptions(
        preservation_policy=preservation_policy.LatestN(KEPT),
        cleanup_tmp_directories=not read_only,
        read_only=read_only,
    )
    manager = ocp.CheckpointManager(
        folder.absolute(), options=options, item_names=("arrays", "digests")
    )
    try:
        yield manager
    finally:
        manager.wait_until_finished()
        manager.close()


def save(manager: Manager, epoch: int, arrays: Any) -> None:
    """Begin to save a pytree of arrays under the number of epochs done; does not wait."""
    if epoch in manager.all_steps():
        return
    items = {"arrays": ocp.args.StandardSave(arrays), "digests": ocp.args.JsonSave(digests(arrays))}
    manager.save(epoch, args=ocp.args.Composite(**items))


def restore(manager: Manager, target: Any) -> Any:
    """The newest checkpoint.

    Args:
        manager: from `open_manager`.
        target: a pytree of arrays, or of `jax.ShapeDtypeStruct` with shardings: the shapes,
            types and devices to restore to.

    Returns:
        A pytree like `target`.

    Raises:
        RunError: there is no checkpoint, it has other shapes, or it is damaged.
    """
    epoch = manager.latest_step()
    if epoch is None:
        raise RunError(f"{manager.directory}: found no checkpoint; train the run first.")
    place = Path(manager.directory) / str(epoch)
    remedy = f"Move the folder {place} away to go on from an earlier checkpoint."
    failure = None
    try:
        restored = manager.restore(
            epoch,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardRestore(target), digests=ocp.args.JsonRestore()
            ),
        )
    except Exception as error:  # Orbax, TensorStore and JSON each raise errors of their own
        failure = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        traceback.clear_frames(error.__traceback__)
    if failure is not None:
        _collect_quietly()
        raise RunError(f"{place}: cannot restore the checkpoint: {failure}. {remedy}")
    found = digests(restored["arrays"])
    for leaf, digest in restored["digests"].items():
        if found.get(leaf) != digest:
            raise RunError(
                f"{place}: the checkpoint is damaged: {leaf} does not have the digest stored "
                f"with it. {remedy}"
            )
    return restored["arrays"]


def _collect_quietly() -> None:
    """Collect the coroutines that a failed restore leaves behind, and their complaints with them.

    They would print tracebacks when the program ends, behind the one message that matters.
    """
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook


def digests(arrays: Any) -> dict[str, str]:
    """SHA-256 of the type, shape and bytes of every leaf, by its path in the tree."""

    def digest(leaf: jax.Array) -> str:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.ascontiguousarray(leaf)
        return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).hexdigest()

    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    return {jax.tree_util.keystr(path): digest(leaf) for path, leaf in leaves}
