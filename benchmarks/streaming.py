"""Training on data larger than memory: peak memory and epoch time, read from a store and resident.

    python benchmarks/streaming.py --samples 22856 --frames 50 --widths 300,74,35 \
        --resident 2000 --output benchmarks/results/NAME.md

A store of so many samples is generated, or --store names one, split as CMU-MOSEI is, with sequences
of half the padded length on average. A process of its own trains on it with data.placement stream:
normaliser, floors, training, validation and evaluation. Its peak of resident memory is stated, and
how long it took to open the store, and an epoch. Then a store of `--resident` samples is trained on
with each placement in turn, `--rounds` times, so that times are of one machine at one time; the
median of the epochs but the first is compared with that of the samples on the device. The last
table is how fast random samples of that store are read, by the compression of its features.

CMU-MOSEI, not aligned, is --frames 50,500,500 --widths 768,74,35: 372 kB a sample, 8.5 GB in all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fsrf_jax.data import store
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.lazy import Lazy, as_array

MODALITIES = ("language", "audio", "vision")
SHARES = {"train": 16326, "valid": 1871, "test": 4659}
CHILD = """
import json, re, sys, time
import fsrf_jax
from fsrf_jax.experiments import experiment, train
config = json.loads(sys.argv[1])
begun = time.perf_counter()
run = experiment.open_experiment(fsrf_jax.arguments.load(config))
opened = time.perf_counter() - begun
times = []
import contextlib
@contextlib.contextmanager
def progress(done, epochs):
    times.append(time.perf_counter())
    yield lambda record: times.append(time.perf_counter())
from pathlib import Path
train.train_run(run, Path(config["output.directory"]), progress)
# Not ru_maxrss, which a process has from the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
found = {"opened": opened, "epochs": [b - a for a, b in zip(times, times[1:])], "peak": peak}
print(json.dumps(found | {"all": time.perf_counter() - begun}))
"""


def generated(n: int, frames: list[int], widths: list[int]) -> Dataset:
    """Samples that are made when they are read: a label, and noise around it in every frame."""
    splits, first = {}, 0
    for name, share in SHARES.items():
        count = max(8, round(n * share / sum(SHARES.values())))
        rng = np.random.default_rng([first, 0])
        labels = rng.normal(size=count).astype(np.float32)
        features, valid = {}, {}
        for number, (m, t, f) in enumerate(zip(MODALITIES, frames, widths, strict=True)):
            lengths = rng.integers(1, t + 1, count)
            valid[m] = np.arange(t) < lengths[:, None]

            def read(
                index: np.ndarray,
                key: int = number,
                shape: tuple = (t, f),
                first: int = first,
                valid: np.ndarray = valid[m],
                labels: np.ndarray = labels,
            ) -> np.ndarray:
                rows = np.empty((len(index), *shape), np.float32)
                for row, i in zip(rows, index, strict=True):
                    own = np.random.default_rng([first + int(i), key, 1])
                    own.standard_normal(dtype=np.float32, out=row)
                    row += labels[i]
                    row[~valid[i]] = 0
                return rows

            features[m] = as_array(Lazy((count, t, f), np.float32, read))
        ids = np.array([f"{name}{i}" for i in range(count)])
        splits[name] = Split(ids, features, valid, labels)
        first += count
    return Dataset(splits)


def trained(path: Path, folder: Path, placement: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What a child found that trains on a store."""
    config = {
        "data.source": "file",
        "data.path": str(path),
        "data.placement": placement,
        "output.directory": str(folder),
        "output.loggers": [],
        **settings,
    }
    argv = [sys.executable, "-c", CHILD, json.dumps(config)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def megabytes_a_second(path: Path) -> float:
    """How fast single samples of the training split are read in random order."""
    split = store.read(path, MODALITIES, stays=True).splits["train"]
    order = np.random.default_rng(0).permutation(len(split))
    begun = time.perf_counter()
    size = sum(x[[i]].nbytes for i in order for x in split.features.values())
    return size / 1e6 / (time.perf_counter() - begun)


def main() -> None:
    """Measure and write tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=22856)
    parser.add_argument("--frames", default="50", help="one number, or one for each modality")
    parser.add_argument("--widths", default="300,74,35")
    parser.add_argument("--store", type=Path, help="to be trained on in place of a generated one")
    parser.add_argument("--resident", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--method", default="fsrf")
    parser.add_argument("--width", type=int, default=40)
    parser.add_argument("--settings", default="{}", help="JSON: more options by dotted name")
    parser.add_argument("--place", type=Path, help="folder for the stores; by default a new one")
    parser.add_argument("--output", type=Path)
    parsed = parser.parse_args()
    frames = [int(t) for t in parsed.frames.split(",")]
    frames = frames * 3 if len(frames) == 1 else frames
    widths = [int(f) for f in parsed.widths.split(",")]
    settings = {
        "method.name": parsed.method,
        "model.width": parsed.width,
        "training.epochs": parsed.epochs,
        **json.loads(parsed.settings),
    }
    per_sample = 4 * sum(t * f for t, f in zip(frames, widths, strict=True))
    lines = [
        f"# Streaming, {datetime.now(UTC):%Y-%m-%d}: {parsed.method}, width {parsed.width}",
        "",
        f"Frames {frames}, features {widths}, {per_sample / 1000:.0f} kB a sample; {settings}.",
        "",
        "|samples|GB|placement|peak memory, MB|opened, s|first epoch, s|later epochs, s|all, s|",
        "|---:|---:|---|---:|---:|---:|---:|---:|",
    ]

    def row(path: Path, n: int, placement: str, runs: Path) -> list[float]:
        found = trained(path, Path(tempfile.mkdtemp(dir=runs)) / "run", placement, settings)
        first, *later = found["epochs"]
        cells = n, f"{n * per_sample / 1e9:.2f}", placement, f"{found['peak']:.0f}"
        times = found["opened"], first, float(np.median(later or [first])), found["all"]
        lines.append("|" + "|".join(map(str, (*cells, *(f"{x:.2f}" for x in times)))) + "|")
        print(lines[-1], flush=True)
        return later or [first]

    with tempfile.TemporaryDirectory(dir=parsed.place) as folder:
        place = Path(folder)
        if parsed.store:
            row(parsed.store, parsed.samples, "stream", place)
        elif parsed.samples:
            begun = time.perf_counter()
            store.write(place / "all.h5", generated(parsed.samples, frames, widths))
            print(f"written in {time.perf_counter() - begun:.0f} s", flush=True)
            row(place / "all.h5", parsed.samples, "stream", place)
            (place / "all.h5").unlink()
        store.write(place / "some.h5", generated(parsed.resident, frames, widths))
        times: dict[str, list[float]] = {"device": [], "host": [], "stream": []}
        for _ in range(parsed.rounds):
            for placement, own in times.items():
                own += row(place / "some.h5", parsed.resident, placement, place)
        if parsed.rounds:
            median = {placement: float(np.median(own)) for placement, own in times.items()}
            ratios = (f"{p} {median[p] / median['device']:.3f}" for p in ("host", "stream"))
            lines += ["", f"An epoch, of the time on the device: {', '.join(ratios)}."]
            print(lines[-1], flush=True)
        lines += ["", "|compression|size of the features|random samples, MB/s|", "|---|---:|---:|"]
        for compression in ("none", "lzf"):
            path = place / f"{compression}.h5"
            data = generated(parsed.resident, frames, widths)
            store.write(path, data, compression=compression)  # type: ignore[arg-type]
            size = path.stat().st_size / parsed.resident / per_sample
            lines.append(f"|{compression}|{size:.2f}|{megabytes_a_second(path):.0f}|")
            print(lines[-1], flush=True)
    if parsed.output:
        parsed.output.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
