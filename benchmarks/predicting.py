"""Predicting many samples, and one at a time: peak memory by number of samples, and latency.

    python benchmarks/predicting.py --samples 1000,10000,100000 --output benchmarks/results/NAME.md

Data are generated in the shape of CMU-MOSI: 50 frames of 300, 5 and 20 features, float32, as an
HDF5 file, and as an .npz. Each is predicted by `bin/predict` in a process of its own, whose peak of
resident memory is stated as a ratio to that for the smallest number. Latency is that of
`run.predict` on one sample, once it is compiled, by modality lengths that differ: the median and
the 99th percentile of 1,000 calls.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import h5py
import jax
import numpy as np

import fsrf_jax

ROOT = Path(__file__).parents[1]
FRAMES, WIDTHS = 50, {"language": 300, "audio": 5, "vision": 20}
TRAIN = {
    "data.synthetic.train": 200,
    "data.synthetic.valid": 50,
    "data.synthetic.test": 50,
    "data.synthetic.frames": FRAMES,
    "data.synthetic.widths": list(WIDTHS.values()),
    "training.epochs": 1,
    "output.progress": False,
}
PART = 1000


def write_hdf5(path: Path, n: int) -> None:
    """Standard normal features, some samples at a time."""
    with h5py.File(path, "w") as file:
        for m, f in WIDTHS.items():
            made = file.create_dataset(m, (n, FRAMES, f), np.float32)
            rng = np.random.default_rng(0)
            for start in range(0, n, PART):
                count = min(PART, n - start)
                made[start : start + count] = rng.standard_normal((count, FRAMES, f), np.float32)


def write_npz(path: Path, n: int) -> None:
    """The same without compression."""
    rng = np.random.default_rng(0)
    shapes = {m: (n, FRAMES, f) for m, f in WIDTHS.items()}
    np.savez(path, **{m: rng.standard_normal(s, np.float32) for m, s in shapes.items()})


def peak(run: Path, data: Path, output: Path) -> tuple[float, float]:
    """Peak resident memory in MB and seconds of predicting a file."""
    code = (
        "import re, sys; from fsrf_jax.cli.predict import main; status = main(); "
        # Not ru_maxrss, which a process has from the one that started it.
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024); "
        "sys.exit(status)"
    )
    argv = [sys.executable, "-c", code, str(run), str(data), "--output", str(output)]
    begun = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]), time.perf_counter() - begun


def latencies(run: fsrf_jax.Run, calls: int) -> np.ndarray:
    """Milliseconds of single predictions, once all lengths are compiled."""
    rng = np.random.default_rng(0)
    requests = [
        {m: rng.normal(size=(rng.integers(1, FRAMES), f)) for m, f in WIDTHS.items()}
        for _ in range(calls)
    ]
    for request in requests:
        run.predict(**request)
    found = []
    for request in requests:
        begun = time.perf_counter()
        run.predict(**request)
        found.append(1000 * (time.perf_counter() - begun))
    return np.array(found)


def main() -> None:
    """Measure and write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", default="1000,10000,100000")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    parsed = parser.parse_args()
    counts = [int(n) for n in parsed.samples.split(",")]
    device = jax.devices()[0].device_kind
    lines = [f"# Predicting, {datetime.now(UTC):%Y-%m-%d}, {device}, jax {jax.__version__}", ""]
    lines += ["|file|samples|peak memory, MB|ratio|samples a second|", "|---|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run = fsrf_jax.train(TRAIN, folder=place / "run")
        for kind, write in (("h5", write_hdf5), ("npz", write_npz)):
            first = None
            for n in counts:
                write(data := place / f"data.{kind}", n)
                memory, seconds = peak(run.folder, data, out := place / f"{kind}-{n}.csv")
                first = first or memory
                row = (kind, n, f"{memory:.0f}", f"{memory / first:.2f}", f"{n / seconds:.0f}")
                lines.append("|" + "|".join(map(str, row)) + "|")
                print(lines[-1], flush=True)
                data.unlink()
                out.unlink()
        found = latencies(run, parsed.calls)
    p50, p99 = np.percentile(found, (50, 99))
    lines += [
        "",
        f"One sample at a time: p50 {p50:.2f} ms, p99 {p99:.2f} ms ({parsed.calls} calls).",
    ]
    print(lines[-1])
    if parsed.output:
        parsed.output.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
