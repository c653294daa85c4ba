"""Checkpoints of a run: whole, asynchronous, and checked against damage when restored.

A checkpoint holds the whole training state (the best parameters with the current
ones) and a tree of preparation arrays, such as the normaliser, without which the network is
useless. Orbax restores a damaged file, or a target of another type, without complaint, so the
type, the shape and a SHA-256 digest of every leaf are stored with the arrays and compared, and a
digest of these and of the epoch beside them: so a checkpoint that is whole but of another network
is told from one that is damaged, or copied from another epoch.

FOLDER/EPOCH/ is a whole checkpoint: Orbax gives it this name when all of it is written. What was
cut off is called FOLDER/EPOCH.orbax-checkpoint-tmp, what turned out to be damaged when training
went on FOLDER/EPOCH.damaged.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from fsrf_jax.errors import RunError, WriteError
from fsrf_jax.files import is_text, writing
from fsrf_jax.training.quiet import Failure, quiet_saving, quietly

Which = Literal["newest", "last_whole"]
"""The checkpoint to read: the newest, or, if it is damaged, the newest of those that are not."""

KEPT = 2  # one that turns out to be damaged never takes the one before with it
DAMAGED = ".damaged"
VERSION = "1"
"""Of what a checkpoint holds. Later ones keep the digest of all digests, which is checked first."""

WHOLE, FORMAT = "digests and epoch", "format"
"""Keys beside the digests, of the digest of them all and of the version; no path is called so."""
UNFINISHED = ".orbax-checkpoint-tmp"  # Orbax's name; it begins with the number of epochs


@dataclasses.dataclass
class Manager:
    """The checkpoints of one folder, from `open_manager`."""

    folder: Path
    read_only: bool
    which: Which = "last_whole"
    saving: tuple[int, ocp.AsyncResponse] | None = None
    """The save under way, with its number of epochs."""
    passed_over: list[Path] = dataclasses.field(default_factory=list)
    """Damaged checkpoints, newer than the one restored; for training, where they are now."""


class DamagedCheckpoint(RunError):
    """A checkpoint is not what was saved."""


@contextlib.contextmanager
def open_manager(
    folder: Path, *, read_only: bool = False, which: Which = "newest"
) -> Iterator[Manager]:
    """The checkpoints in `folder`; leaving the context waits for the save under way.

    Opening for writing creates the folder and removes what a save that was cut off left behind:
    one process at a time. Others may read meanwhile, with `read_only`.

    Args:
        folder: of the checkpoints.
        read_only: change nothing.
        which: what is read; training always goes on from the last that is whole.

    Raises:
        RunError: `read_only` and there is no such folder.
        WriteError: the folder cannot be made; or, on leaving, the save failed.
    """
    check_path(folder)
    if read_only and not folder.is_dir():
        raise RunError(f"{folder}: found no checkpoints; train the run first.")
    manager = Manager(folder.absolute(), read_only, which if read_only else "last_whole")
    if not read_only:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"*{UNFINISHED}") if jax.process_index() == 0 else ():
            shutil.rmtree(left)
    with quiet_saving():
        try:
            yield manager
            wait(manager)
        except WriteError as error:
            wait(manager)
            if str(manager.folder) in str(error):
                raise
            raise WriteError(f"{error} {_left(manager)}") from error
        finally:
            wait(manager)


def check_path(folder: Path) -> None:
    """Nothing, if checkpoints can lie in the folder.

    Raises:
        RunError: its whole path is no text in UTF-8, which TensorStore needs, or has a NUL.
    """
    path = str(folder.absolute())
    if "\0" in path or not is_text(path):
        raise RunError(
            f"{path!r}: found a path that is no text in UTF-8, expected one for a run: rename the "
            "folder, or choose another."
        )


def latest(manager: Manager) -> int | None:
    """The number of epochs of the newest whole checkpoint; None if there is none."""
    return max(_epochs(manager.folder), default=None)


def save(manager: Manager, epoch: int, arrays: Any) -> None:
    """Begin to save a pytree of arrays under the number of epochs done.

    Waits for the save before it, not for this one. The arrays may be donated or written to
    afterwards. Does nothing if the epoch is already saved.

    Raises:
        WriteError: this save or the one before cannot be written.
    """
    if manager.read_only:
        raise ValueError(f"{manager.folder} was opened read_only.")
    wait(manager)
    with _failed_save_is_write_error(manager, epoch), _context():
        if epoch in _epochs(manager.folder):
            return
        found = {**digests(arrays), FORMAT: VERSION}
        items = {"arrays": arrays, "digests": {**found, WHOLE: _digest_of_all(found, epoch)}}
        response = ocp.save_checkpointables_async(manager.folder / str(epoch), items)
    manager.saving = epoch, response


def wait(manager: Manager) -> None:
    """Wait for the save under way, then remove all but the newest KEPT checkpoints.

    Raises:
        WriteError: the checkpoint cannot be written.
    """
    if manager.saving is None:
        return
    (epoch, response), manager.saving = manager.saving, None
    with _failed_save_is_write_error(manager, epoch):
        response.result()
        for old in sorted(_epochs(manager.folder))[:-KEPT] if jax.process_index() == 0 else ():
            # Renamed first: a kill while removing leaves nothing that looks like a checkpoint.
            place = manager.folder / str(old)
            shutil.rmtree(place.rename(place.with_name(place.name + UNFINISHED)))


def restore(manager: Manager, target: Any) -> Any:
    """The checkpoint that `Manager.which` asks for, as a pytree like `target`.

    `Manager.passed_over` has the damaged ones that are newer. For training they are renamed; who
    only reads changes nothing.

    Args:
        manager: from `open_manager`.
        target: a pytree of arrays, or of `jax.ShapeDtypeStruct` with shardings: the shapes,
            types and devices to restore to.

    Raises:
        RunError: there is no checkpoint, or it has other leaves, shapes or types.
        DamagedCheckpoint: it is damaged; of `last_whole`, all of them are.
    """
    wait(manager)
    newest = latest(manager)
    if newest is None:
        raise RunError(f"{manager.folder}: found no checkpoint; train the run first.")
    try:
        return _restore_asked(manager, target)
    except RunError:
        if not manager.read_only or latest(manager) == newest:
            raise
    # Another process trains here, and newer checkpoints have replaced this one meanwhile.
    return restore(manager, target)


def _restore_asked(manager: Manager, target: Any) -> Any:
    """As `restore`; those passed over are renamed once there is one that is whole."""
    damaged: list[tuple[Path, DamagedCheckpoint]] = []
    for epoch in sorted(_epochs(manager.folder), reverse=True):
        place = manager.folder / str(epoch)
        try:
            arrays = _restore(place, target)
        except DamagedCheckpoint as error:
            damaged.append((place, error))
            if manager.which == "newest":
                break
            continue
        bad = [place for place, _ in damaged]
        if not manager.read_only:
            bad = list(map(_set_aside, bad)) if jax.process_index() == 0 else []
        manager.passed_over = bad
        return arrays
    raise damaged[0][1]


def say_passed_over(manager: Manager, say: Callable[[str], None]) -> None:
    """Say which damaged checkpoints the restored one was read in place of."""
    for place in manager.passed_over:
        say(f"{place} is damaged: reading the checkpoint before it.")


def _set_aside(place: Path) -> Path:
    aside = place.with_name(place.name + DAMAGED)
    shutil.rmtree(aside, ignore_errors=True)
    return place.rename(aside)


def digests(arrays: Any) -> dict[str, str]:
    """Type, shape and SHA-256 of the bytes of every leaf, by its path in the tree."""

    def digest(leaf: Any) -> str:
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        data = jax.random.key_data(leaf) if is_key else leaf
        return f"{_kind(leaf)} {hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()}"

    return {path: digest(leaf) for path, leaf in _leaves(arrays).items()}


def _digest_of_all(found: Mapping[str, str], epoch: int) -> str:
    text = json.dumps([epoch, sorted(found.items())])
    return hashlib.sha256(text.encode()).hexdigest()


def _restore(place: Path, target: Any) -> Any:
    stored = _load(place, "digests", None)
    stored = dict(stored) if isinstance(stored, dict) else {}  # what is damaged may be anything
    whole = stored.pop(WHOLE, None)
    if not all(isinstance(x, str) for x in stored.values()) or whole != _digest_of_all(
        stored, int(place.name)
    ):
        raise _damaged(place, "its digests are not those of this epoch")
    version = stored.pop(FORMAT, "1")  # those of package 0.2.0 have none
    if version != VERSION:
        raise RunError(
            f"{place}: the checkpoint is whole, but of format {version}, and this version of the "
            f"package reads {VERSION}: use the one that made it (see environment.json)."
        )
    _check_kinds(place, stored, target)
    arrays = _load(place, "arrays", target)
    found = digests(arrays)
    for path in stored:
        if found[path] != stored[path]:
            raise _damaged(place, f"{path} does not have the digest stored with it")
    return arrays


def _check_kinds(place: Path, stored: Mapping[str, str], target: Any) -> None:
    """Raise RunError if a whole checkpoint has other leaves, shapes or types than wanted."""
    expected = {path: _kind(leaf) for path, leaf in _leaves(target).items()}
    kinds = {path: value.partition(" ")[0] for path, value in stored.items()}
    differing = [
        p for p in sorted(expected.keys() | kinds.keys()) if kinds.get(p) != expected.get(p)
    ]
    if not differing:
        return
    first = differing[0]
    message = (
        f"{place}: cannot restore the checkpoint, which is whole: expected {first} to be "
        f"{expected.get(first, 'absent')} and found {kinds.get(first, 'nothing of that name')}"
    )
    pairs = [(kinds.get(path, ""), expected.get(path, "")) for path in differing]
    if all(there.replace("64", "32") == here.replace("64", "32") for there, here in pairs):
        bits = "without" if "64" in pairs[0][1] else "with"
        raise RunError(
            f"{message}. The run was trained {bits} JAX_ENABLE_X64: set it as it was then."
        )
    raise RunError(
        f"{message}. Its network is another one: the method, the sizes of the model, the widths or "
        "classes of the data, or the version of this package are not those that it was trained by."
    )


def _damaged(place: Path, what: str) -> DamagedCheckpoint:
    return DamagedCheckpoint(
        f"{place}: the checkpoint is damaged: {what}. If one before it is whole, the same "
        "bin/train command goes on from there, and --checkpoint last_whole reads it."
    )


def _load(place: Path, item: str, target: Any) -> Any:
    try:
        with quietly(), _context():
            return ocp.load_checkpointables(place, {item: target})[item]
    except Failure as failure:
        raise _damaged(place, f"it cannot be restored: {failure}") from None


@contextlib.contextmanager
def _failed_save_is_write_error(manager: Manager, epoch: int) -> Iterator[None]:
    try:
        with quietly():
            yield
    except Failure as failure:
        raise WriteError(
            f"{manager.folder / str(epoch)}: cannot save the checkpoint: {failure}. Make room, or "
            f"look after the folder and its rights. {_left(manager)}"
        ) from None


def _left(manager: Manager) -> str:
    """What there is to go on from after a failed save."""
    try:
        epoch = latest(manager)
    except OSError:
        return "The folder is gone, and with it all checkpoints."
    if epoch is None:
        return "There is no checkpoint yet to go on from."
    return f"The same command goes on from epoch {epoch}, whose checkpoint is whole."


@functools.cache
def _context() -> ocp.Context:
    context = ocp.Context()
    # Dividing the copies of an array among its devices takes longer than writing one of them.
    context.array.saving.use_replica_parallel = False
    # Otherwise the digests, a tree of strings, are saved as a pytree, with a warning on stderr.
    registry = ocp.handlers.local_registry()
    registry.add(ocp.handlers.JsonHandler, checkpointable_name="digests")
    context.checkpointables.registry = registry
    return context


def _epochs(folder: Path) -> set[int]:
    return {int(place.name) for place in folder.iterdir() if place.name.isdigit()}


def _leaves(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _kind(leaf: Any) -> str:
    """The type and shape of an array or of what stands for one, such as `float32[30,40]`."""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
