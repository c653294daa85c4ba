"""The commands as a user starts them, and tiny data for them."""

import contextlib
import importlib
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SIZES = (
    *("--model.width", "8", "--model.heads", "2", "--model.encoder_layers", "0"),
    *("--training.batch_size", "16"),
    *("--training.epochs", "2", "--output.progress", "false"),
)
TINY = (
    *("--data.synthetic.train", "40", "--data.synthetic.valid", "16"),
    *("--data.synthetic.test", "24", "--data.synthetic.frames", "6"),
    *("--data.synthetic.min_frames", "3"),
    *SIZES,
)
TERMS = (
    *("task", "homogeneous", "heterogeneous", "noise", "variance_floor", "redundancy"),
    *("reconstruction", "feature_distillation.mmd", "feature_distillation.mse"),
    "prediction_distillation",
)
METRICS = ("mae", "corr", "acc2_non0", "f1_non0", "acc2_has0", "f1_has0", "acc5", "acc7")


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Trained:
    folder: Path
    argv: tuple[str, ...]
    out: str


def call(command: str, *argv: str | Path) -> Done:
    """Run a command's entry point in this process."""
    main = importlib.import_module(f"fsrf_jax.cli.{command}").main
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [command, *map(str, argv)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = main()
        except SystemExit as end:
            status = end.code
    return Done(status or 0, out.getvalue(), err.getvalue())


def with_flags(*flags: str) -> str:
    """XLA_FLAGS of a process of its own: those of this one, and more."""
    return " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()


def start(
    command: str,
    *argv: str | Path,
    devices: int = 1,
    env: Mapping[str, str] | None = None,
    **kwargs,
) -> subprocess.Popen:
    """Start a command of bin/ as a process of its own, on simulated devices."""
    flags = [f"--xla_force_host_platform_device_count={devices}"] if devices > 1 else []
    return subprocess.Popen(
        [sys.executable, str(ROOT / "bin" / command), *map(str, argv)],
        env={**(os.environ if env is None else env), "XLA_FLAGS": with_flags(*flags)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def finish(process: subprocess.Popen) -> Done:
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    return Done(process.returncode, out, err)


def refused(done: Done, status: int, *parts: str) -> None:
    """Assert that a command ended with one message, which has these parts, and no traceback."""
    assert done.status == status, done
    assert done.err.startswith("error: ")
    assert done.err.count("error: ") == 1
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err


@contextlib.contextmanager
def disk_of(size: int) -> Iterator[None]:
    """As on a full disk, no file can grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def read_json(path: Path):
    """What it holds but for its digest, so that a test may write it again, changed."""
    found = json.loads(path.read_text())
    if isinstance(found, dict):
        found.pop("digest", None)
    return found


def read_lines(path: Path) -> list[dict]:
    """What the lines of a journal say, without their digests."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "digest"} for line in found]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as content:
        return {name: content[name] for name in content.files}


def tiny_arrays(sizes=(40, 16, 24), frames=6, **changes) -> dict[str, np.ndarray]:
    """Plain arrays that say something about the label; shaped like TINY, to compile only once."""
    rng = np.random.default_rng(3)
    arrays = {}
    for split, n in zip(("train", "valid", "test"), sizes, strict=True):
        label = rng.normal(size=n)
        arrays[f"{split}_label"] = label
        for modality, width in (("language", 32), ("audio", 16), ("vision", 20)):
            noise = rng.normal(size=(n, frames, width))
            arrays[f"{split}_{modality}"] = label[:, None, None] + noise
    arrays.update(changes)
    return {name: values for name, values in arrays.items() if values is not None}


def tiny_mmsa() -> dict[str, dict]:
    """The same in the schema of MMSA, with lengths."""
    arrays, keys = tiny_arrays(), {"language": "text", "audio": "audio", "vision": "vision"}
    table = {}
    for split in ("train", "valid", "test"):
        n = len(arrays[f"{split}_label"])
        table[split] = {
            "id": [f"{split}$_${i}" for i in range(n)],
            "regression_labels": arrays[f"{split}_label"],
            **{key: arrays[f"{split}_{m}"].astype(np.float32) for m, key in keys.items()},
            **{f"{key}_lengths": [2 + i % 4 for i in range(n)] for key in keys.values()},
        }
    return table


def flip(checkpoint):
    """Flip one bit in the largest file of its arrays."""
    files = (p for p in checkpoint.glob("arrays/**/d/*") if p.is_file())
    path = max(files, key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
