"""The run folder: who may use it, what it holds, and never losing one.

RUN/config.yaml, RUN/environment.json, RUN/init.json, RUN/checkpoints/, RUN/metrics.jsonl,
RUN/tensorboard/, RUN/metrics.csv, RUN/wandb/, RUN/mlflow/,
RUN/results.json, RUN/results.md, RUN/results.png, RUN/conditions.csv, RUN/predictions.npz,
RUN/probes.json, RUN/probes.md, RUN/probes.png, RUN/recovery.json, RUN/recovery.md,
RUN/report.html, RUN/report.md, RUN/card.md, RUN/table.md, RUN/table.tex.
"""

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock
import jax

from fsrf_jax import arguments
from fsrf_jax.config import Config, flatten
from fsrf_jax.data.names import listed
from fsrf_jax.errors import RunError
from fsrf_jax.experiments.environment import own_program
from fsrf_jax.files import write_text
from fsrf_jax.reading.text import read_json
from fsrf_jax.source import Shapes

VERSION = 1
"""Of shapes.json."""

ELSEWHERE = "choose another folder by --output.directory (in Python folder=...)"
ANEW = "start anew by --overwrite (in Python overwrite=True)"

# Keys that may differ between a run and the command that resumes it.
FREE = (
    *("data.path", "data.licence", "data.placement", "data.readers"),
    *("method.teacher", "training.epochs", "output."),
)


def choose(config: Config, name: str) -> Path:
    """The run folder of a config: as given, or runs/NAME-TIME."""
    if config.output.directory is not None:
        given = Path(config.output.directory)
        return given if given.name not in ("", "..") else given.resolve()
    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def check_same(folder: Path, config: Config) -> None:
    """Nothing, if the folder is new or belongs to the same config.

    Raises:
        RunError: the folder belongs to another config, or holds something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder}: is a file, expected a run folder; choose another name.")
    saved = folder / "config.yaml"
    if not saved.exists():
        if any(path.name != ".lock" for path in folder.iterdir()):
            raise RunError(
                f"{folder}: holds files but no config.yaml, so it is no run folder; {ELSEWHERE}."
            )
        return
    before, now = flatten(arguments.load(saved)), flatten(config)
    differing = [
        f"  {key}: {before.get(key)!r} there, {now[key]!r} here"
        for key in now
        if not key.startswith(FREE) and before.get(key) != now[key]
    ]
    if differing:
        raise RunError(
            f"{folder}: belongs to a run with another config:\n"
            + "\n".join(differing)
            + f"\nGive these values to go on with it, or {ELSEWHERE}, or {ANEW} (the old folder "
            "is renamed, not deleted)."
        )


def check_several(folder: Path) -> None:
    """Nothing, if the folder is new, empty, or holds runs of `ablate` or `rank`.

    Raises:
        RunError: it holds something else.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise RunError(f"{folder}: is no folder; {ELSEWHERE}.")
    found = sorted(path.name for path in folder.iterdir() if path.name != ".lock")
    if found and "members" not in found and not any(name.startswith("fold-") for name in found):
        raise RunError(
            f"{folder}: holds {listed(found)}, which is nothing of ablate or rank; {ELSEWHERE}."
        )


def check_own(folder: Path) -> None:
    """Nothing, if the folder is new, empty, or a run: what may be renamed.

    Raises:
        RunError: it is anything else, also a link to a run, or where the program works.
    """
    if not os.path.lexists(folder):
        return
    place, here = folder.resolve(), Path.cwd()
    problem = ""
    if folder.is_symlink():
        problem = f"is a link to {place}"
    elif not folder.is_dir():
        problem = "is a file"
    elif place in (here, *here.parents, Path.home()):
        problem = "is the home folder, or that of the command, or one that it is in"
    elif not _is_run(place) and any(path.name != ".lock" for path in place.iterdir()):
        names = listed(sorted(path.name for path in place.iterdir()))
        problem = f"is no run (a run has config.yaml and environment.json): it holds {names}"
    if problem:
        raise RunError(f"{folder}: {problem}, so it is not renamed; {ELSEWHERE}.")


def _is_run(folder: Path) -> bool:
    made = ("environment.json", "checkpoints")
    return (folder / "config.yaml").is_file() and any((folder / name).exists() for name in made)


def set_aside(folder: Path) -> Path | None:
    """Rename the folder of a run to NAME.old-TIME, and return the new name; None for a new one.

    Raises:
        RunError: another process trains in it, or it is none that may be renamed.
    """
    check_own(folder)
    if not folder.exists() or not _is_run(folder):
        return None
    if (folder / ".lock").exists():
        with locked(folder):
            pass
    old = folder.with_name(f"{folder.name}.old-{datetime.now():%Y%m%d-%H%M%S}")
    while old.exists():
        time.sleep(0.1)
        old = folder.with_name(f"{folder.name}.old-{datetime.now():%Y%m%d-%H%M%S.%f}")
    return folder.rename(old)


@contextlib.contextmanager
def opened(
    folder: Path, config: Config, fingerprint: str, shapes: Shapes | None = None
) -> Iterator[Callable[[], None]]:
    """Create or reopen the folder for training, locked against a second process.

    Gives a function that records the config and the environment in the folder, to be called
    when a resumed run trains on: a finished run that is only shown stays as it is.

    Args:
        folder: the run folder.
        config: its config, already checked.
        fingerprint: digest of the data set.
        shapes: of the data set, for `read_shapes`.

    Raises:
        RunError: another process trains in it, or the data set is not the one it began with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        check_data(folder, fingerprint, ANEW)

        def record() -> None:
            write_text(folder / "config.yaml", arguments.to_yaml(config))
            write_text(
                folder / "environment.json", json.dumps(_environment(fingerprint), indent=1) + "\n"
            )
            if shapes is not None:
                content = {"version": VERSION, **dataclasses.asdict(shapes)}
                write_text(folder / "shapes.json", json.dumps(content, indent=1) + "\n")

        if not (folder / "config.yaml").exists():
            record()
        yield record


def read_shapes(folder: Path) -> Shapes | None:
    """What the network of a run was made for; None for a run of before this was written down.

    Raises:
        RunError: the file is damaged, or of another version.
    """
    path = folder / "shapes.json"
    if not path.exists():
        return None
    found = read_json(path, RunError)
    try:
        if found.pop("version") != VERSION:
            raise ValueError(f"expected version {VERSION}")
        return shapes_of(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: is damaged, or of another version ({error}): the same bin/train command "
            "writes it anew."
        ) from error


def shapes_of(content: Mapping[str, Any]) -> Shapes:
    """The shapes that `dataclasses.asdict` made a dictionary of, from JSON.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is none of that.
    """
    counts = tuple(map(tuple, content.get("class_counts", ())))  # files of before have none
    return Shapes(**{**content, "classes": tuple(content["classes"]), "class_counts": counts})


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder against a second process; it is made if it does not exist.

    Raises:
        RunError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise RunError(f"{folder}: another process is training in this folder.") from error
    try:
        yield
    finally:
        lock.release()


def check_data(folder: Path, fingerprint: str, remedy: str) -> None:
    """Nothing, if the run began with these data, or has not begun.

    Args:
        folder: the run folder.
        fingerprint: digest of the data set.
        remedy: what else can be done than giving the same data.

    Raises:
        RunError: it began with other data.
    """
    if not (folder / "environment.json").exists():
        return
    before = read_fingerprint(folder)
    if before != fingerprint:
        raise RunError(
            f"{folder}: the run began with other data (fingerprint {before}, now {fingerprint}). "
            f"Give the same data, or {remedy}."
        )


def read_fingerprint(folder: Path) -> str | None:
    """The fingerprint of the data that a run began with; None if it was not written down."""
    path = folder / "environment.json"
    found = read_json(path, RunError) if path.exists() else None
    return found.get("data_fingerprint") if isinstance(found, dict) else None


def _environment(fingerprint: str) -> dict[str, Any]:
    return {
        "command": sys.argv,
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        **own_program(),
        "devices": [device.device_kind for device in jax.local_devices()],
        "data_fingerprint": fingerprint,
    }
