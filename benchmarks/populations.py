"""How fast populations train: samples a second of all members together, and of each.

    python benchmarks/populations.py --members 1,8,32 --output benchmarks/results/NAME.md

Data are generated in the shape of CMU-MOSI: 1,284 samples, 50 frames of 300, 5 and 20 features,
batches of 32. The first epoch, which compiles, is stated apart; the best of the others counts.
"""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

import jax

from fsrf_jax import arguments, sharding
from fsrf_jax.data import normalise
from fsrf_jax.experiments.experiment import open_experiment
from fsrf_jax.inference import make_batch
from fsrf_jax.methods import METHODS
from fsrf_jax.options import split
from fsrf_jax.training import loop
from fsrf_jax.training.validation import make_validation

SHAPE = {
    "data.synthetic.train": 1284,
    "data.synthetic.valid": 229,
    "data.synthetic.test": 1,
    "data.synthetic.frames": 50,
    "data.synthetic.widths": [300, 5, 20],
    "training.batch_size": 32,
    "output.progress": False,
}


def seconds(method: str, members: int, epochs: int) -> tuple[float, float]:
    """The first epoch's time, and the best time of the others."""
    experiment = open_experiment(arguments.load(SHAPE, {"method.name": method}))
    config, recipe = experiment.config, experiment.recipe
    mesh = sharding.training_mesh(members)
    normaliser = normalise.fit(experiment.source.split("train"), config.data.clip)
    train, valid = (normaliser.apply(experiment.source.split(name)) for name in ("train", "valid"))
    validation = make_validation(valid, recipe.missing, config.training.validation_draws)
    data = sharding.replicate((make_batch(train), validation), mesh)
    wanted = config.method.teacher_method()
    teacher = None
    if wanted is not None:
        key, example = jax.random.key(0), make_batch(train.head(1))
        init = jax.jit(lambda: split(wanted.method)[0].init(recipe.setting, example, key))
        teacher = init()["inference"]
    states = experiment.initial_states(range(members))
    hypers = loop.place(loop.stack([experiment.hyper] * members), mesh)
    times = []
    for _ in range(1 + epochs):
        states = jax.block_until_ready(loop.place(states, mesh))
        start = time.perf_counter()
        states, _, _ = jax.block_until_ready(
            loop.train_epoch(recipe, mesh, states, *data, hypers, teacher)
        )
        times.append(time.perf_counter() - start)
    return times[0], min(times[1:])


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", default="1,8,32")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    device = jax.devices()[0].device_kind
    lines = [
        f"# Populations on {jax.device_count()} x {device}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, JAX {jax.__version__}, {jax.default_backend()}; "
        f"`python benchmarks/populations.py --members {options.members}`.",
        "",
        "|method|members|first epoch, s|epoch, s|samples a second|of each member|",
        "|---|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    for method in options.methods.split(","):
        for members in map(int, options.members.split(",")):
            first, best = seconds(method, members, options.epochs)
            each = SHAPE["data.synthetic.train"] / best
            row = f"|{method}|{members}|{first:.1f}|{best:.3f}|{each * members:,.0f}|{each:,.0f}|"
            print(row, flush=True)
            lines.append(row)
            jax.clear_caches()
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
