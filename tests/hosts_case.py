"""Commands in two processes that train one run, on this machine."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen
from unittest import mock

import pytest
from command_case import TINY, Done, read_json, read_lines, start

# A small method on the smallest network: what is tested is around it.
RUN = (
    *TINY,
    *("--method.name", "late_fusion", "--training.epochs", "8"),
    *("--evaluation.bootstrap", "0", "--evaluation.floors", "false"),
)

# What ends a process that waits for another: it takes its time while other tests run.
WITHIN = 60


def free_port(low: int = 20_000, high: int = 30_000) -> int:
    """One that nobody listens at now."""
    for port in range(low + os.getpid() % 5_000 % (high - low), high):
        with socket.socket() as one:
            try:
                one.bind(("localhost", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")


def started(*argv: str | Path, processes: int = 2) -> list[Popen]:
    """`train` in so many processes, with plain options."""
    there = ("--distributed", f"localhost:{free_port()}", "--processes", str(processes))
    return [start("train", *argv, *there, "--process", str(i)) for i in range(processes)]


def started_by_slurm(*argv: str | Path, processes: int = 2) -> list[Popen]:
    """`train` as `srun` starts it: JAX listens at a port from the number of the job."""
    job = free_port(65535 - 2**12 + 1, 65535) - (65535 - 2**12 + 1)
    names = {"JOB_ID": job, "STEP_NODELIST": "localhost", "NTASKS": processes, "LOCALID": 0}
    found = []
    for i in range(processes):
        variables = {f"SLURM_{name}": str(x) for name, x in {**names, "PROCID": i}.items()}
        with mock.patch.dict(os.environ, variables):
            found.append(start("train", *argv, "--distributed", "auto"))
    return found


def ended(processes: Sequence[Popen], within: float = 300) -> list[Done]:
    """What each said and how it ended; all are ended by then."""
    until, found = time.monotonic() + within, []
    try:
        for process in processes:
            out, err = process.communicate(timeout=max(until - time.monotonic(), 0.1))
            found.append(Done(process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return found


def at(moment: Callable[[], bool], processes: Sequence[Popen], within: float = 300) -> None:
    """Wait until it is so, while all run."""
    until = time.monotonic() + within
    while not moment():
        assert time.monotonic() < until
        if any(process.poll() is not None for process in processes):
            raise AssertionError([done.err[-2000:] for done in ended(processes)])
        time.sleep(0.005)


def lines(folder: Path) -> int:
    """Epochs in the journal of a run."""
    journal = folder / "metrics.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def alike(folder: Path, expected: Path) -> None:
    """Assert that two runs had the same losses and results, to the tolerance of other sums."""
    found, wanted = (read_lines(place / "metrics.jsonl") for place in (folder, expected))
    assert [line["epoch"] for line in found] == [line["epoch"] for line in wanted]
    for line, other in zip(found, wanted, strict=True):
        assert line == pytest.approx(other, rel=1e-5)
    found, wanted = (read_json(place / "results.json") for place in (folder, expected))
    assert found["masks_digest"] == wanted["masks_digest"]
    assert found["best_epoch"] == wanted["best_epoch"]
    for one, other in zip(found["conditions"], wanted["conditions"], strict=True):
        assert one["metrics"] == pytest.approx(other["metrics"], abs=1e-4)
