"""A small run, store and export as this version of the package writes them, in one archive.

`PYTHONPATH=tests python tests/frozen/make_frozen.py` writes tests/frozen/VERSION.tar.xz, for every
release. Those of earlier versions stay: each later commit reads them and predicts what they did.
"""

import contextlib
import sys
import tarfile
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
from format_case import WIDTHS, WORLD, lengths, padded

from fsrf_jax.cli.export import main as export
from fsrf_jax.cli.prepare import main as prepare
from fsrf_jax.cli.train import main as train

ARGUMENTS = (
    *("--model.width", "8", "--model.heads", "2", "--model.encoder_layers", "1"),
    *("--training.epochs", "2", "--training.batch_size", "8", "--output.progress", "false"),
    *("--output.checkpoint_every", "1", "--evaluation.bootstrap", "0"),
)
MADE = ("--output.directory", "made")
KEPT = (
    "config.yaml",
    "environment.json",
    "shapes.json",
    "metrics.jsonl",
    "results.json",
    "predictions.npz",
)
"""Of the run, with its newest checkpoint."""


def write_data(path: Path) -> None:
    """The samples of `format_case` as an .npz file with split and labels."""
    arrays: dict[str, np.ndarray] = {}
    for split, samples in WORLD.items():
        for m in WIDTHS:
            arrays[f"{split}_{m}"] = padded(samples, m).astype(np.float32)
            arrays[f"{split}_{m}_lengths"] = np.asarray(lengths(samples))
        arrays[f"{split}_label"] = np.asarray([sample.label for sample in samples], np.float32)
        arrays[f"{split}_id"] = np.asarray([sample.id for sample in samples])
    np.savez_compressed(path, **arrays)


def run(command: Callable[[], int], *argv: str) -> None:
    """A command with these arguments, which must succeed."""
    with mock.patch.object(sys, "argv", [command.__module__, *argv]):
        if command():
            raise SystemExit(1)


def write_files(folder: Path) -> None:
    """data.npz, store.h5, run/ and export/."""
    write_data(folder / "data.npz")
    run(prepare, "data.npz", "--output", "store.h5")
    run(
        train,
        "--data.source",
        "file",
        "--data.path",
        "data.npz",
        *ARGUMENTS,
        "--output.directory",
        "made",
    )
    run(export, "made", "--output", "export")
    newest = max(Path("made/checkpoints").iterdir())
    (folder / "run" / "checkpoints").mkdir(parents=True)
    newest.rename(folder / "run" / "checkpoints" / newest.name)
    for name in KEPT:
        Path("made", name).rename(folder / "run" / name)
    # Orbax writes down where it was; nothing reads it.
    (folder / "run" / "checkpoints" / newest.name / "commit_success.txt").write_text("")


def nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The member without its owner."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main() -> None:
    """Write the archive of this version."""
    place = Path(__file__).with_name(f"{version('fsrf-jax')}.tar.xz")
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        write_files(Path())
        with tarfile.open(place, "x:xz") as archive:
            for name in ("data.npz", "store.h5", "run", "export"):
                archive.add(name, filter=nobody)


if __name__ == "__main__":
    main()
