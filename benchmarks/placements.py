"""The time of an epoch, training and validation, by where the samples are: one process, in turn.

    python benchmarks/placements.py --samples 400 --frames 50,500,500 --widths 768,74,35 \
        --method late_fusion --width 8 --settings '{"model.encoder_layers": 0}'

Every placement has its program compiled in an epoch that is not counted; then each has an epoch in
turn, so that all are of one machine at one time. Stated are the medians of seconds on the clock and
of processor time, which other processes on the same core do not lengthen as much, and the median
over rounds of the ratio to `device`.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from streaming import generated

from fsrf_jax import arguments
from fsrf_jax.data import normalise, store
from fsrf_jax.experiments import train
from fsrf_jax.experiments.experiment import open_experiment
from fsrf_jax.training import loop

PLACEMENTS = ("device", "host", "stream")


class Trained:
    """A run whose epochs are asked for one by one."""

    def __init__(self, path: Path, placement: str, settings: dict[str, Any]) -> None:
        given = {"data.source": "file", "data.path": str(path), "data.placement": placement}
        self.run = open_experiment(arguments.load({**given, **settings}))  # type: ignore[arg-type]
        normaliser = normalise.fit(self.run.source.split("train"), self.run.config.data.clip)
        self.placed = train._placed(self.run, normaliser)
        self.states = self.run.initial_states([0])

    def epoch(self) -> tuple[float, float]:
        """Seconds on the clock and of the processor."""
        run, placed = self.run, self.placed
        states, hypers = (loop.place(x, run.mesh) for x in (self.states, loop.stack([run.hyper])))
        clock, processor = time.perf_counter(), time.process_time()
        found = placed.epoch(run.recipe, run.mesh, states, placed.train, placed.valid, hypers, None)
        self.states, *_ = jax.block_until_ready(found)
        return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--frames", default="50,500,500")
    parser.add_argument("--widths", default="768,74,35")
    parser.add_argument("--method", default="late_fusion")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--settings", default="{}", help="JSON: more options by dotted name")
    parsed = parser.parse_args()
    frames, widths = ([int(x) for x in text.split(",")] for text in (parsed.frames, parsed.widths))
    settings = {
        "method.name": parsed.method,
        "model.width": parsed.width,
        "training.epochs": parsed.rounds + 1,
        **json.loads(parsed.settings),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.h5"
        store.write(path, generated(parsed.samples, frames, widths))
        runs = {placement: Trained(path, placement, settings) for placement in PLACEMENTS}
        for run in runs.values():
            run.epoch()
        times = np.array([[runs[p].epoch() for p in PLACEMENTS] for _ in range(parsed.rounds)])
    ratios = np.median(times / times[:, :1], axis=0)
    print(f"{parsed.samples} samples, frames {frames}, features {widths}; {settings}\n")
    print("|placement|epoch, s|of device|processor, s|of device|\n|---|---:|---:|---:|---:|")
    for p, (clock, processor), ratio in zip(PLACEMENTS, np.median(times, 0), ratios, strict=True):
        print(f"|{p}|{clock:.2f}|{ratio[0]:.3f}|{processor:.2f}|{ratio[1]:.3f}|")


if __name__ == "__main__":
    main()
