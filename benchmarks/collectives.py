"""What devices send each other in a step, how often and how much, at the shape of `populations.py`.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python benchmarks/collectives.py

They are counted in the compiled program of an epoch of one run, in the body of its loop over steps;
the bytes are those of the results. Compilers of GPUs join some of them.
"""

import argparse
import math
import re

import jax
from populations import SHAPE

from fsrf_jax import arguments, sharding
from fsrf_jax.data import normalise
from fsrf_jax.experiments.experiment import open_experiment
from fsrf_jax.inference import make_batch
from fsrf_jax.training import loop
from fsrf_jax.training.validation import make_validation

KINDS = "all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter"


def program(method: str) -> tuple[str, int, int]:
    """The text of the program of an epoch; parameters; bytes of the training samples."""
    experiment = open_experiment(arguments.load(SHAPE, {"method.name": method}))
    recipe, mesh = experiment.recipe, sharding.training_mesh()
    normaliser = normalise.fit(experiment.source.split("train"), experiment.config.data.clip)
    train, valid = (normaliser.apply(experiment.source.split(name)) for name in ("train", "valid"))
    batch, validation = make_batch(train), make_validation(valid, recipe.missing, 1)
    states, hypers = experiment.initial_states([0]), loop.stack([experiment.hyper])
    data = sharding.replicate((batch, validation), mesh)
    given = loop.place(states, mesh), *data, loop.place(hypers, mesh)
    text = loop.train_epoch.lower(recipe, mesh, *given).compile().as_text()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(states.parameters))
    return text, parameters, sum(leaf.nbytes for leaf in jax.tree.leaves(batch))


def collectives(computation: str) -> dict[str, tuple[int, int]]:
    """Number and bytes of the collectives in a computation, by kind; of numbers of 4 bytes."""
    found = {}
    for kind in KINDS:
        shapes = re.findall(rf" = (\S+(?: \S+)*?) {kind}(?:-start)?\(", computation)
        sizes = re.findall(r"\[([\d,]*)\]", " ".join(shapes))
        bytes_of_all = sum(4 * math.prod(int(n) for n in size.split(",") if n) for size in sizes)
        if shapes:
            found[kind] = len(shapes), bytes_of_all
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="fsrf", help="with no teacher")
    text, parameters, size = program(parser.parse_args().method)
    # The loop over steps is the computation that sends most.
    bodies = map(collectives, re.split(r"\n(?=%|ENTRY)", text))
    step = max(bodies, key=lambda found: sum(bytes_ for _, bytes_ in found.values()))
    print(f"{jax.device_count()} devices, {parameters:,} parameters ({4 * parameters:,} bytes),")
    print(f"training samples of {size:,} bytes on each device. In a step:")
    for kind, (count, bytes_) in step.items():
        print(f"  {count:3} {kind}, {bytes_:,} bytes")


if __name__ == "__main__":
    main()
