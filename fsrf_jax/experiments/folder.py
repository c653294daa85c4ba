"""The run folder: who may use it, what it holds, and never losing one.

RUN/config.yaml, RUN/environment.json, RUN/shapes.json, RUN/init.json, RUN/teacher/ (a run),
RUN/checkpoints/, RUN/bad-step.npz, RUN/metrics.jsonl, RUN/tensorboard/, RUN/metrics.csv,
RUN/wandb/, RUN/mlflow/,
RUN/results.json, RUN/results.md, RUN/results.png, RUN/conditions.csv, RUN/predictions.csv,
RUN/predictions.npz, RUN/probes.json, RUN/probes.md, RUN/probes.png, RUN/recovery.json,
RUN/recovery.md, RUN/report.html, RUN/report.md, RUN/card.md, RUN/table.md, RUN/table.tex,
RUN/.lock.

What is needed to go on stands in two of config.yaml, environment.json and shapes.json: if one of
them is damaged, the same command writes it anew, once the others say that it is the same run.
"""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock
import jax

from fsrf_jax import arguments, hosts, sealed
from fsrf_jax.config import PLACES, Config, flatten
from fsrf_jax.data.names import listed
from fsrf_jax.errors import RunError, UserError, WriteError
from fsrf_jax.evaluation import environment_file
from fsrf_jax.evaluation.environment_file import read_environment
from fsrf_jax.experiments.environment import own_program
from fsrf_jax.files import writing
from fsrf_jax.progress import Say, silent
from fsrf_jax.source import Shapes
from fsrf_jax.training import checkpoints

VERSION = 1
"""Of shapes.json."""

ELSEWHERE = "choose another folder by --output.directory (in Python folder=...)"
ANEW = "start anew by --overwrite (in Python overwrite=True)"

# Keys that may differ between a run and the command that resumes it.
FREE_FROM_THE_START = (*PLACES, "method.teacher")
FREE = (*FREE_FROM_THE_START, "training.epochs", "training.bad_steps")


def choose(config: Config, name: str) -> Path:
    """The run folder of a config: as given, or runs/NAME-TIME."""
    if config.output.directory is not None:
        given = Path(config.output.directory)
        return given if given.name not in ("", "..") else given.resolve()
    # One clock: processes that train one run start at different moments.
    return Path("runs") / hosts.of_first(f"{name}-{datetime.now():%Y%m%d-%H%M%S}")


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
    if not saved.exists() and not _held(folder):
        return
    try:
        before, now = flatten(arguments.load_saved(saved)), flatten(config)
    except sealed.DamagedFile as error:
        if _began_with(folder, config):
            return  # `opened` writes it anew
        if not saved.exists():
            raise RunError(
                f"{folder}: holds {listed(_held(folder))} but no config.yaml, so it is no run "
                f"folder, or not a whole one; {ELSEWHERE}."
            ) from error
        raise RunError(
            f"{saved}: is damaged, and environment.json does not say that the run began with the "
            f"settings given here: give the same settings, or {ELSEWHERE}, or {ANEW}."
        ) from error
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


def _held(folder: Path) -> list[str]:
    """Names of what a folder holds that may be somebody's, in order.

    Its lock is not, nor are saves cut off: where a folder is removed while it trains, the one
    under way makes it anew.
    """
    return sorted(path.name for path in folder.iterdir() if not _is_left_over(path))


def _is_left_over(path: Path) -> bool:
    if path.name == ".lock" or path.name.endswith(checkpoints.UNFINISHED):
        return True
    made = path.name == "checkpoints" or path.parent.name == "parts" or path.name == "parts"
    return made and path.is_dir() and all(map(_is_left_over, path.iterdir()))


def _began_with(folder: Path, config: Config) -> bool:
    """Whether environment.json says so, for when config.yaml cannot."""
    try:
        found = read_environment(folder)
    except RunError:
        return False
    return found is not None and found.get("config_digest") == _config_digest(config)


def _config_digest(config: Config) -> str:
    leaves = flatten(config)
    return sealed.digest({k: v for k, v in leaves.items() if not k.startswith(FREE_FROM_THE_START)})


def check_several(folder: Path) -> None:
    """Nothing, if the folder is new, empty, or holds runs of `ablate` or `rank`.

    Raises:
        RunError: it holds something else.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise RunError(f"{folder}: is no folder; {ELSEWHERE}.")
    found = _held(folder)
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
    elif not _is_run(place) and (held := _held(place)):
        names = listed(held)
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
    folder: Path,
    config: Config,
    fingerprint: str,
    shapes: Shapes,
    say: Say = silent,
) -> Iterator[Callable[[], None]]:
    """Create or reopen the folder for training, locked against a second process.

    Gives a function that records the config and the environment in the folder, to be called
    when a resumed run trains on: a finished run that is only shown stays as it is. Of several
    processes the first does so, and the others go on when it is done.

    Args:
        folder: the run folder.
        config: its config, already checked.
        fingerprint: digest of the data set.
        shapes: of the data set, for `read_shapes`.
        say: is given a line about a damaged file that is written anew.

    Raises:
        RunError: another process trains in it, or the data set is not the one it began with.
    """
    checkpoints.check_path(folder)
    if not hosts.is_first():
        hosts.wait()
        yield lambda: None
        return
    with locked(folder):
        check_data(folder, fingerprint, ANEW)

        stated = {"data_fingerprint": fingerprint, "config_digest": _config_digest(config)}

        def write(names: Iterable[str], environment: Mapping[str, Any]) -> None:
            for name in names:
                path = folder / name
                if name == "config.yaml":
                    arguments.save(path, config)
                elif name == "environment.json":
                    sealed.write(path, {**environment, **stated})
                else:
                    content = {"version": VERSION, **dataclasses.asdict(shapes)}
                    sealed.write(path, {**content, "data_fingerprint": fingerprint})

        if not any((folder / name).exists() for name in READERS):
            write(READERS, _environment())
        elif damaged := _damaged(folder):
            write(damaged, {})  # it was not this program that trained what is there
            for name in damaged:
                say(f"{folder / name} was damaged or gone: it is written anew.")
        hosts.wait()
        try:
            yield lambda: write(READERS, _environment())
        except WriteError:
            # Where it was removed meanwhile, the save under way has made it anew: a checkpoint that
            # is whole can be gone on from, if the folder says which run it is.
            if folder.is_dir() and _held(folder):
                with contextlib.suppress(WriteError):
                    write(
                        [name for name in READERS if not (folder / name).exists()], _environment()
                    )
            raise


def _damaged(folder: Path) -> list[str]:
    """Names of the files of a run that cannot be read, or are gone."""
    found = []
    for name, read in READERS.items():
        try:
            whole = read(folder) is not None
        except UserError:
            whole = False
        if not whole:
            found.append(name)
    return found


def read_shapes(folder: Path) -> Shapes | None:
    """What the network of a run was made for; None for a run of before this was written down.

    Raises:
        RunError: the file is damaged, or of another version.
    """
    path = folder / "shapes.json"
    if not path.exists():
        return None
    found = sealed.read(path, environment_file.ANEW)
    found.pop("data_fingerprint", None)
    try:
        if (version := found.pop("version")) != VERSION:
            raise ValueError(f"found version {version!r}, expected {VERSION}")
        return shapes_of(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise sealed.damaged(path, what, environment_file.ANEW) from error


def shapes_of(content: Mapping[str, Any]) -> Shapes:
    """The shapes that `dataclasses.asdict` made a dictionary of, from JSON.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is none of that.
    """
    counts = tuple(map(tuple, content.get("class_counts", ())))  # files of before have none
    found = Shapes(**{**content, "classes": tuple(content["classes"]), "class_counts": counts})
    numbers = [found.samples, found.outputs, *(n for row in counts for n in row)]
    for sizes in (found.frames, found.features, found.vocabulary):
        numbers += sizes.values()
    texts = (*found.features, *found.frames, *found.vocabulary, *found.classes)
    if not all(type(n) is int and n >= 0 for n in numbers) or set(map(type, texts)) != {str}:
        raise TypeError("expected whole numbers of what has names")
    frames = found.frames.keys()
    if frames != found.features.keys() or not set(found.vocabulary) <= frames:
        raise ValueError("frames, features and vocabulary are of other modalities")
    return found


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder against a second process; it is made if it does not exist.

    Raises:
        RunError: another process holds it.
    """
    with writing(folder):
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
    before = read_fingerprint(folder)
    if before not in (None, fingerprint):
        raise RunError(
            f"{folder}: the run began with other data (fingerprint {before}, now {fingerprint}). "
            f"Give the same data, or {remedy}."
        )


def read_fingerprint(folder: Path) -> str | None:
    """The fingerprint of the data that a run began with; None if it was not written down.

    Raises:
        DamagedFile: environment.json is damaged, and shapes.json does not say it.
    """
    damaged: sealed.DamagedFile | None = None
    try:
        if (found := read_environment(folder)) is not None:
            return str(found["data_fingerprint"])
    except sealed.DamagedFile as error:
        damaged = error
    with contextlib.suppress(sealed.DamagedFile, KeyError):
        return str(sealed.read(folder / "shapes.json", environment_file.ANEW)["data_fingerprint"])
    if damaged is not None:
        raise damaged
    return None


def _environment() -> dict[str, Any]:
    return {
        # The name of a file need not be UTF-8.
        "command": [os.fsencode(a).decode("utf-8", "backslashreplace") for a in sys.argv],
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        **own_program(),
        "devices": [device.device_kind for device in jax.devices()],
        "processes": hosts.count(),
    }


READERS: dict[str, Callable[[Path], Any]] = {
    "config.yaml": lambda folder: arguments.load_saved(folder / "config.yaml"),
    "environment.json": read_environment,
    "shapes.json": read_shapes,
}
"""What says which run it is, with what reads it."""
