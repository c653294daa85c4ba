"""The process of a cell: `python -m speed.child JSON`; the last line that it prints is the result.

The JSON holds `kind`, `numbers`, `rounds`, `samples` (of a round) and `cores`, the numbers of the
cores to run on. Threads of both libraries are as many; nothing is imported before that is set.
"""

import json
import os
import platform
import re
import sys
import time
from importlib import metadata, util
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def limit(cores: list[int]) -> None:
    """Run on these cores, with a thread for each."""
    if cores:
        os.sched_setaffinity(0, cores)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"):
            os.environ[name] = str(len(cores))  # NPROC is that of XLA
    # Both programs share one GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if has_torch():
        import torch

        torch.set_num_threads(len(cores) or torch.get_num_threads())
        # As JAX does by default on a GPU; on a CPU there is but one float32.
        torch.set_float32_matmul_precision("high")


def has_torch() -> bool:
    """Whether there is something to compare with."""
    return util.find_spec("torch") is not None


def describe() -> Result:
    """Device and versions."""
    import jax

    packages = ["jax", "jaxlib", "flax", "numpy", *(["torch"] if has_torch() else [])]
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    kind = jax.devices()[0].device_kind
    on_cpu = jax.default_backend() == "cpu"
    return {
        "device": (cpu[1] if cpu else platform.machine()) if on_cpu else kind,
        "cpu": on_cpu,
        "versions": {p: metadata.version(p) for p in packages},
        "python": platform.python_version(),
    }


def compare(ask: Result) -> Result:
    """Training or predicting, ours and theirs in turn."""
    from speed import measure, ours
    from speed.shapes import shape_of

    numbers, training = ask["numbers"], ask["kind"] == "training"
    batch, width = numbers["batch"], numbers["width"]
    times = max(1, ask["samples"] // batch)
    arrays = shape_of(numbers["shape"]).draw(batch * times)
    run = ours.make_run("fsrf", width, arrays)
    begun = time.perf_counter()
    make = ours.training if training else ours.predicting
    program, flops = make(run, batch, times)
    found: Result = {"ours_ready_s": time.perf_counter() - begun}
    programs = {"ours": program}
    if has_torch():
        from speed import theirs

        build = theirs.training if training else theirs.predicting
        programs["eager"] = build(width, arrays, batch, times, compiled=False)
        if numbers["compiled"]:
            programs["compiled"] = build(width, arrays, batch, times, compiled=True)
            begun = time.perf_counter()
            programs["compiled"]()
            found["compiled_ready_s"] = time.perf_counter() - begun
    n = 2048 if describe()["cpu"] else 8192
    programs["product"], product_flops = ours.matrix_product(n)
    seconds = measure.interleaved(programs, ask["rounds"])
    products = seconds.pop("product")
    rate = [flops * times / s for s in seconds["ours"]]
    share = [r * s / product_flops for r, s in zip(rate, products, strict=True)]
    return found | {"seconds": seconds, "samples": batch * times, "peak_share": share}


def memory(ask: Result) -> Result:
    """Peak memory of one program's training, from the start of the process."""
    from speed import measure
    from speed.shapes import shape_of

    numbers = ask["numbers"]
    batch, width = numbers["batch"], numbers["width"]
    if numbers["program"] == "ours":
        import jax

        from speed import ours

        imported = measure.peak_memory()
        arrays = shape_of(numbers["shape"]).draw(2 * batch)
        program, _ = ours.training(ours.make_run("fsrf", width, arrays), batch, 2)
    else:
        import torch

        from speed import theirs

        imported = measure.peak_memory()
        arrays = shape_of(numbers["shape"]).draw(2 * batch)
        program = theirs.training(width, arrays, batch, 2, compiled=False)
    program()
    found = {"imported_mb": imported, "peak_mb": measure.peak_memory()}
    measure.forget_peak()
    program()
    found["running_mb"] = measure.peak_memory()
    if describe()["cpu"]:
        return found
    if numbers["program"] == "ours":
        peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    else:
        peak = torch.cuda.max_memory_allocated()
    return found | {"device_mb": peak / 2**20}


def methods(ask: Result) -> Result:
    """Training of every method in turn."""
    from speed import measure, ours
    from speed.shapes import shape_of

    numbers = ask["numbers"]
    batch, times = numbers["batch"], max(1, ask["samples"] // numbers["batch"])
    arrays = shape_of("mosi").draw(batch * times)
    programs = {
        name: ours.training(ours.make_run(name, numbers["width"], arrays), batch, times)[0]
        for name in numbers["names"]
    }
    seconds = measure.interleaved(programs, ask["rounds"])
    return {"seconds": seconds, "samples": batch * times}


def samples(ask: Result) -> Result:
    """Whole epochs by number of training samples, with a quarter as many for validation."""
    from speed import measure, ours
    from speed.shapes import shape_of

    numbers, programs = ask["numbers"], {}
    for n in numbers["counts"]:
        train, valid = shape_of("mosi").draw(n), shape_of("mosi").draw(n // 4, seed=1)
        run = ours.make_run("fsrf", numbers["width"], train)
        programs[str(n)] = ours.epochs(run, numbers["batch"], valid)
    return {"seconds": measure.interleaved(programs, ask["rounds"])}


def frames(ask: Result) -> Result:
    """Training on samples of fewer frames, as batches of short ones would have."""
    from speed import measure, ours
    from speed.shapes import unaligned

    numbers, programs = ask["numbers"], {}
    batch, times = numbers["batch"], max(1, ask["samples"] // numbers["batch"])
    for t in numbers["counts"]:
        run = ours.make_run("fsrf", numbers["width"], unaligned(t).draw(batch * times))
        programs[str(t)] = ours.training(run, batch, times)[0]
    return {"seconds": measure.interleaved(programs, ask["rounds"])}


def pieces(ask: Result) -> Result:
    """Where the time of a training step goes."""
    from speed.pieces import measure_pieces

    return measure_pieces(ask["numbers"], ask["rounds"])


KINDS = {
    "training": compare,
    "predicting": compare,
    "memory": memory,
    "methods": methods,
    "samples": samples,
    "frames": frames,
    "pieces": pieces,
    "describe": lambda ask: describe(),
}


def main() -> None:
    """Measure what is asked for."""
    ask = json.loads(sys.argv[1])
    needs_torch = ask["kind"] != "memory" or ask["numbers"]["program"] != "ours"
    if not needs_torch:  # its import would be counted as ours
        sys.modules["torch"] = None  # type: ignore[assignment]
    limit(ask["cores"])
    print(json.dumps(KINDS[ask["kind"]](ask)), flush=True)


if __name__ == "__main__":
    main()
