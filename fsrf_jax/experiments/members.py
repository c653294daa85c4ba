"""The members of an ablation or a ranking: each is a run in a folder of its own."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsrf_jax.config import Config
from fsrf_jax.data import normalise
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.protocols.masks import Observer
from fsrf_jax.evaluation.protocols.registry import Protocol
from fsrf_jax.evaluation.results import read_results
from fsrf_jax.experiments.experiment import Experiment
from fsrf_jax.source import Source
from fsrf_jax.training import checkpoints


@dataclass(frozen=True)
class Member:
    """One run of an ablation.

    Attributes:
        variant: name of its variant.
        seed: its training seed.
        folder: its run folder.
        config: its config, with seed and folder.
    """

    variant: str
    seed: int
    folder: Path
    config: Config

    @classmethod
    def make(cls, folder: Path, variant: str, config: Config, seed: int) -> "Member":
        """A variant with a seed, in the folder of its ablation."""
        place = folder / "members" / variant / f"seed-{seed}"
        config = dataclasses.replace(
            config,
            training=dataclasses.replace(config.training, seed=seed),
            output=dataclasses.replace(config.output, directory=str(place)),
        )
        return cls(variant, seed, place, config)


@dataclass(frozen=True)
class Shared:
    """What all members share, made once.

    Attributes:
        source: the data.
        protocol: under which all are evaluated.
        normaliser: fitted to the training split.
        observe: the test masks.
        seed: of the teachers, where methods ask for one: the same for all members.
        say: is given a line about what happens.
    """

    source: Source
    protocol: Protocol
    normaliser: normalise.Normaliser
    observe: Observer
    seed: int
    say: Callable[[str], None]

    def run(self, member: Member) -> Experiment:
        """The run of a member."""
        return Experiment.make(member.config, self.source, self.protocol)


def name_of(member: Member) -> str:
    """Its variant and seed, as in its folder's path."""
    return f"{member.variant}/seed-{member.seed}"


def saying(members: Sequence[Member], say: Callable[[str], None]) -> Callable[[str], None]:
    """Says a line about members that train together."""
    more = f" and {len(members) - 1} more" if len(members) > 1 else ""
    return lambda line: say(f"{name_of(members[0])}{more}: {line}")


def is_evaluated(folder: Path) -> bool:
    """Whether a folder has results that are whole."""
    try:
        return bool(read_results(folder / "results.json"))
    except RunError:
        return False


def set_aside_newest(folder: Path) -> Path:
    """Rename the newest checkpoint of a run folder, which is damaged; its new name."""
    with checkpoints.open_manager(folder / "checkpoints") as manager:
        place = manager.folder / str(checkpoints.latest(manager))
    return place.rename(place.with_name(place.name + checkpoints.DAMAGED))
