"""Peak memory and time of bin/prepare, from files as large as CMU-MOSEI is.

    python benchmarks/converting.py --formats npz,hdf5 --output benchmarks/results/NAME.md
    python benchmarks/converting.py --formats pickle --samples 5600

A file of each format is generated, of the samples of benchmarks/streaming.py (its docstring says
which), and a process of its own makes a store of it. Stated are the size of the file, its largest
array, the peak of the process's resident memory, and how long it took. With --keep the last store
stays in the folder as all.h5, for `streaming.py --store`.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
from streaming import generated

from fsrf_jax.data.dataset import Dataset
from fsrf_jax.data.lazy import pieces

CHILD = """
import re, sys
from fsrf_jax.cli.prepare import command
status = command(sys.argv[1:])
print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(status)
"""
KEYS = {"language": "text", "audio": "audio", "vision": "vision"}
"""What the schema of MMSA calls the modalities."""


def small(data: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Labels and lengths by the names of plain arrays."""
    for name, split in data.splits.items():
        yield f"{name}_label", split.labels
        yield f"{name}_id", split.ids
        for m in split.features:
            yield f"{name}_{m}_lengths", split.valid[m].sum(axis=1)


def write_npz(path: Path, data: Dataset) -> None:
    """Plain arrays, written some rows at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in small(data):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        for name, split in data.splits.items():
            for m, x in split.features.items():
                header = {"descr": "<f4", "fortran_order": False, "shape": x.shape}
                with archive.open(f"{name}_{m}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    for rows in pieces(x):
                        file.write(x[rows].tobytes())


def write_hdf5(path: Path, data: Dataset) -> None:
    """The same in HDF5."""
    with h5py.File(path, "w") as file:
        for name, array in small(data):
            text = array.dtype.kind == "U"
            file.create_dataset(name, data=array.astype("S") if text else array)
        for name, split in data.splits.items():
            for m, x in split.features.items():
                made = file.create_dataset(f"{name}_{m}", x.shape, np.float32)
                for rows in pieces(x):
                    made[rows] = x[rows]


def write_pickle(path: Path, data: Dataset) -> None:
    """The schema of MMSA; all of it is in the memory of this process."""
    table = {
        name: {
            "id": split.ids.tolist(),
            "regression_labels": split.labels,
            **{KEYS[m]: np.asarray(x) for m, x in split.features.items()},
            **{f"{KEYS[m]}_lengths": split.valid[m].sum(axis=1).tolist() for m in split.features},
        }
        for name, split in data.splits.items()
    }
    with path.open("wb") as file:
        pickle.dump(table, file, protocol=4)


WRITERS = {"npz": write_npz, "hdf5": write_hdf5, "pickle": write_pickle}


def converted(path: Path, store: Path, more: list[str]) -> tuple[float, float]:
    """Peak memory in MB and seconds of bin/prepare."""
    argv = [sys.executable, "-c", CHILD, str(path), "--output", str(store), *more]
    begun = time.perf_counter()
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        if "float16" in line:
            print(line, flush=True)
    return int(done.stdout.split()[-1]) / 1024, time.perf_counter() - begun


def main() -> None:
    """Measure and write a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=22856)
    parser.add_argument("--frames", default="50,500,500")
    parser.add_argument("--widths", default="768,74,35")
    parser.add_argument("--formats", default="npz,hdf5")
    parser.add_argument("--options", default="", help="of bin/prepare, such as '--dtype float16'")
    parser.add_argument("--place", type=Path, help="folder for the files; by default a new one")
    parser.add_argument("--keep", action="store_true", help="the last store")
    parser.add_argument("--output", type=Path)
    parsed = parser.parse_args()
    frames, widths = ([int(x) for x in text.split(",")] for text in (parsed.frames, parsed.widths))
    data = generated(parsed.samples, frames, widths)
    largest = max(x.nbytes for split in data.splits.values() for x in split.features.values())
    lines = [
        f"# Converting, {datetime.now(UTC):%Y-%m-%d}: bin/prepare {parsed.options}",
        "",
        f"{parsed.samples} samples, frames {frames}, features {widths}.",
        "",
        "|format|file, GB|largest array, GB|peak memory, MB|s|store, GB|",
        "|---|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory(dir=parsed.place) as folder:
        for name in parsed.formats.split(","):
            path, store = Path(folder) / f"data.{name}", Path(folder) / "all.h5"
            path = path.with_suffix({"hdf5": ".h5", "pickle": ".pkl"}.get(name, path.suffix))
            store.unlink(missing_ok=True)
            WRITERS[name](path, data)
            print(f"{name} written", flush=True)
            peak, seconds = converted(path, store, parsed.options.split())
            sizes = path.stat().st_size, largest, store.stat().st_size
            file, array, made = (f"{size / 1e9:.2f}" for size in sizes)
            lines.append(f"|{name}|{file}|{array}|{peak:.0f}|{seconds:.0f}|{made}|")
            print(lines[-1], flush=True)
            path.unlink()
        if parsed.keep:
            store.rename((parsed.place or Path()) / "all.h5")
    if parsed.output:
        parsed.output.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
