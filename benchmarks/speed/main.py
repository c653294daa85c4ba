"""The command `benchmarks/run`: cells one after another, a file of those that are finished."""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speed import starts
from speed.cells import Cell, full_cells, quick_cells
from speed.table import PIECES, line_of, table

BENCHMARKS = Path(__file__).parents[1]
NO_TORCH = "PyTorch is not installed"


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/run", description="Speed and memory against PyTorch; see README.md."
    )
    parser.add_argument("--quick", action="store_true", help="two shapes, eager: 5 minutes")
    parser.add_argument("--only", default="", help="only cells whose name has this in it")
    parser.add_argument(
        "--pieces", action="store_true", help="instead: where the time of one training step goes"
    )
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    parser.add_argument("--threads", type=int, help="cores of all programs; 1 (GPU: all)")
    parser.add_argument("--rounds", type=int, help="of each cell; 7 (--quick: 5)")
    parser.add_argument(
        "--samples", type=int, help="in a round at least; 256 (--quick: 64, GPU: 8192)"
    )
    parser.add_argument("--minutes", type=float, default=60, help="limit of one cell")
    parser.add_argument("--baseline", type=Path, help="a checkout to compare start and demo with")
    parser.add_argument(
        "--output", type=Path, help="a .md file, or a folder for DATE-DEVICE-speed.md"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measure what is not finished yet, and write the table after every cell."""
    options = parse(argv)
    quick = options.quick
    machine = ask({"kind": "describe", "numbers": {}, "cores": []}, 10)
    if "failed" in machine:
        sys.exit(f"There is no device to measure on: {machine['failed']}")
    threads = options.threads or (1 if machine["cpu"] else len(os.sched_getaffinity(0)))
    rounds = options.rounds or (5 if quick else 7)
    samples = options.samples or ((64 if quick else 256) if machine["cpu"] else 8192)
    # The last cores: the first is where a machine does most of its other work.
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    setup = machine | {"threads": threads, "rounds": rounds, "date": today, "quick": quick}
    output = _output(options.output, setup)
    path = output.with_suffix(".json") if output else None
    finished = _finished(path, setup)
    cells = quick_cells() if quick else full_cells()
    if options.pieces:
        cells = [Cell("pieces", PIECES)]
    cells = [cell for cell in cells if options.only in cell.name]
    torch = "torch" in machine["versions"]
    for i, cell in enumerate(cells, start=1):
        if cell.name in finished and "failed" not in finished[cell.name]:
            print(f"[{i}/{len(cells)}] {cell.name}: finished before", flush=True)
            continue
        print(f"[{i}/{len(cells)}] {cell.name}", end="", flush=True)
        begun = time.monotonic()
        numbers = cell.numbers
        if options.no_compile and "compiled" in numbers:
            numbers = numbers | {"compiled": False}
        question = {"kind": cell.kind, "numbers": numbers, "cores": cores}
        if cell.kind == "memory" and numbers["program"] == "eager" and not torch:
            found: dict[str, Any] = {"failed": NO_TORCH}
        elif cell.kind == "starts":
            found = _starts(numbers["rounds"], cores, torch, options.baseline)
        else:
            found = ask(question | {"rounds": rounds, "samples": samples}, options.minutes)
        found |= {"kind": cell.kind, "numbers": numbers}
        finished[cell.name] = found
        print(f": {line_of(found)} ({time.monotonic() - begun:.0f} s)", flush=True)
        if path and output:
            _write(path, json.dumps({"setup": setup, "cells": finished}, indent=1))
            _write(output, table(setup, finished))
    print("\n" + table(setup, {c.name: finished[c.name] for c in cells}))
    return 0


def ask(question: dict[str, Any], minutes: float) -> dict[str, Any]:
    """What a process of its own finds; `failed` is why there is nothing."""
    path = [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    argv = [sys.executable, "-P", "-m", "speed.child", json.dumps(question)]
    try:
        done = subprocess.run(
            argv,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * minutes,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not finished within {minutes:g} minutes"}
    if done.returncode < 0:
        return {"failed": f"ended by signal {-done.returncode}, as for want of memory"}
    if done.returncode:
        return {"failed": (done.stderr.strip() or "no message").splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _starts(rounds: int, cores: list[int], torch: bool, baseline: Path | None) -> dict[str, Any]:
    try:
        return {"times": starts.measure(rounds, cores, torch, baseline)}
    except RuntimeError as error:
        return {"failed": str(error)}


def _output(wanted: Path | None, setup: dict[str, Any]) -> Path | None:
    if wanted is None or wanted.suffix == ".md":
        return wanted
    device = re.sub(r"\W+", "-", setup["device"]).strip("-").lower()
    return wanted / f"{setup['date']}-{device}-speed.md"


def _finished(path: Path | None, setup: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Cells of an earlier, interrupted run on the same machine with the same versions."""
    if path is None or not path.exists():
        return {}
    before = json.loads(path.read_text("utf-8"))
    changed = [k for k in setup if k != "date" and before["setup"].get(k) != setup[k]]
    if changed:
        sys.exit(f"{path} was measured with other {', '.join(changed)}: name another --output.")
    setup["date"] = before["setup"]["date"]
    return before["cells"]


def _write(path: Path, text: str) -> None:
    """Whole or not at all, whenever the run is interrupted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)
