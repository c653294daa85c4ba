"""Members of a tiny ablation, and what stands in for training them."""

import dataclasses
import functools
import json

import jax
from command_case import TINY
from evaluation_case import run_results

from fsrf_jax import arguments
from fsrf_jax.experiments.members import Member


@functools.cache
def parse(*argv):
    argv = (*TINY, *argv)
    return arguments.parse(arguments.make_parser("ablate", "", argv), argv)[0]


def member(folder, variant, seed, *argv):
    """A member whose variant has these options."""
    place = folder / "members" / variant / f"seed-{seed}"
    config = parse(*argv)
    config = dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, seed=seed),
        output=dataclasses.replace(config.output, directory=str(place)),
    )
    return Member(variant, seed, place, config)


def full(folder, seeds=2, *argv):
    """Members of one variant."""
    return [member(folder, "full", seed, *argv) for seed in range(seeds)]


RESULTS = json.loads(json.dumps(run_results()))


def names(members):
    return [f"{member.variant}/seed-{member.seed}" for member in members]


def plans(folder):
    """What stands in the plans of parts that have begun."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("parts/*/plan.json"))]


def finish(member, **results):
    """Write what a member has when it is done, but no network."""
    content = {**RESULTS, "variant": member.variant, "seed": member.seed, **results}
    (member.folder / "results.json").write_text(json.dumps(content))


class Training:
    """In place of `_train_and_evaluate`: writes results, and remembers what trained together.

    Attributes:
        fit: members that the memory holds.
        fails: raised in place of training, by the names of a part.
        parts: names of the members of every part that was begun, in order.
        plans: the plans that there were meanwhile.
        members: the members of every part that was begun.
    """

    def __init__(self, folder, fit=100):
        self.folder, self.fit, self.fails = folder, fit, {}
        self.parts, self.plans, self.members = [], [], []

    def __call__(self, place, members, shared):
        self.parts.append(names(members))
        self.plans.append(plans(self.folder))
        self.members.append(members)
        assert json.loads((place / "plan.json").read_text()) == names(members)
        if (error := self.fails.get(tuple(names(members)))) is not None:
            raise error
        if len(members) > self.fit:
            raise out_of_memory()
        for one in members:
            if not (one.folder / "results.json").exists():
                finish(one)


def out_of_memory():
    return jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")
