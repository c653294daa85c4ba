"""From the start of a process to its first step and to the end of the demo.

Every process has an empty cache folder (cold) or that of the run before it (warm). Ours is the
command that a user gives; theirs is the import, a network of the demo's size and one eager step.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parents[1]

# It runs bin/train with the demo, and writes down how long what takes.
OURS = """
import json, sys, time
begun = float(sys.argv[1])
marks = {}
import jax
marks["import_jax"] = time.monotonic() - begun
durations = {}
def listen(event, duration, **_):
    durations[event] = durations.get(event, 0.0) + duration
jax.monitoring.register_event_duration_secs_listener(listen)
from fsrf_jax.cli.train import main
from fsrf_jax.training import loop
marks["import_all"] = time.monotonic() - begun
train_epoch, ends = loop.train_epoch, []
def timed(*inputs):
    found = jax.block_until_ready(train_epoch(*inputs))
    ends.append(time.monotonic())
    return found
loop.train_epoch = timed
chosen = ["--config", "demo", "--output.directory", sys.argv[2], "--output.progress", "false"]
sys.argv[1:] = [*chosen, *sys.argv[3:]]
status = main()
# An epoch takes as long as the second one; all before it in the first is waiting.
marks["first_step"] = ends[0] - (ends[2] - ends[1]) - begun
for name in ("jaxpr_trace", "jaxpr_to_mlir_module", "backend_compile"):
    marks[name] = durations.get(f"/jax/core/compile/{name}_duration", 0.0)
print(json.dumps(marks))
sys.exit(status)
"""

THEIRS = """
import json, sys, time
begun = float(sys.argv[1])
import torch
torch.set_num_threads(max(1, int(sys.argv[2])))
from speed import theirs
from speed.shapes import shape_of
program = theirs.training(40, shape_of("demo").draw(32), 32, 1, compiled=False)
program()
print(json.dumps({"first_step": time.monotonic() - begun}))
"""

Times = dict[str, Any]


def measure(
    rounds: int,
    cores: list[int],
    torch: bool,
    baseline: Path | None,
    options: tuple[str, ...] = (),
) -> Times:
    """Times of every round: `ours cold`, `ours warm`, the same of `baseline`, and `eager`.

    Args:
        baseline: a checkout of another version of this project.
        options: of the command, beside the demo's.
    """
    versions = {"ours": BENCHMARKS.parent} | ({"baseline": baseline} if baseline else {})
    found: dict[str, list[Times]] = {}
    for _ in range(rounds):
        for name, checkout in versions.items():
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm"):
                    found.setdefault(f"{name} {state}", []).append(
                        _demo(checkout, cache, cores, options)
                    )
        if torch:
            path = [str(BENCHMARKS), str(BENCHMARKS.parent)]
            arguments = [str(len(cores) or os.cpu_count() or 1)]
            found.setdefault("eager", []).append(_timed(THEIRS, arguments, path, {}, cores))
    return {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }


def _demo(checkout: Path, cache: str, cores: list[int], options: tuple[str, ...]) -> Times:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        # The default place of caches, not one that only this benchmark would ask for.
        environment = {"XDG_CACHE_HOME": cache}
        times = _timed(OURS, [str(run), *options], [str(checkout)], environment, cores)
        results = json.loads(next(run.rglob("results.json")).read_text("utf-8"))
        return times | {"mae": results["average"]["metrics"]["mae"]}


def _timed(
    code: str, arguments: list[str], path: list[str], environment: dict[str, str], cores: list[int]
) -> Times:
    inherited = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    inherited |= {"PYTHONPATH": os.pathsep.join(path)} | environment
    if cores:
        inherited |= dict.fromkeys(("OMP_NUM_THREADS", "NPROC"), str(len(cores)))
        code = f"import os\nos.sched_setaffinity(0, {cores})\n{code}"
    begun = time.monotonic()
    # -P: another checkout may be the current folder, which would come before PYTHONPATH.
    argv = [sys.executable, "-P", "-c", code, str(begun), *arguments]
    done = subprocess.run(argv, env=inherited, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(last)
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"whole": time.monotonic() - begun}
