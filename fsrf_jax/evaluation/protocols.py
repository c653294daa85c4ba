"""Evaluation protocols: named grids of missing conditions, and what their average is over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from fsrf_jax.errors import ConfigError

RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Condition:
    """What is observed at test time.

    Attributes:
        name: as printed and as in the results file.
        subset: the modalities that are present; the others are missing as a whole.
        rate: the share of each present modality's frames that is missing, in [0, 1].
    """

    name: str
    subset: tuple[str, ...]
    rate: float


@dataclass(frozen=True)
class Protocol:
    """A grid of conditions.

    Attributes:
        name: its name in the config and in the results.
        conditions: in the order of the table.
        average_rule: in words, what the protocol's average is over.
        averaged: names of the conditions in that average.
    """

    name: str
    conditions: tuple[Condition, ...]
    average_rule: str
    averaged: tuple[str, ...]


def corrkd(modalities: Sequence[str], rates: Sequence[float] = RATES) -> Protocol:
    """Build the protocol of CorrKD and HRLF: all modality subsets, then frame rates.

    Subsets come by size, complete last, and are named `language+audio`; rates are named
    `rate=0.3` and hold for all modalities at once. The average is over the incomplete subsets.

    Raises:
        ConfigError: fewer than two modalities, or rates that are not distinct and in (0, 1].
    """
    if len(modalities) < 2 or len(set(modalities)) != len(modalities):
        raise ConfigError(f"data.modalities: found {list(modalities)}, expected two or more names.")
    if any("+" in name or "=" in name for name in modalities):
        raise ConfigError(f"data.modalities: found {list(modalities)}, expected no + or = in them.")
    if not all(0 < rate <= 1 for rate in rates):
        raise ConfigError(f"evaluation rates: found {list(rates)}, expected values in (0, 1].")
    subsets = [
        Condition("+".join(subset), subset, 0.0)
        for size in range(1, len(modalities) + 1)
        for subset in combinations(modalities, size)
    ]
    sweep = [
        Condition(f"rate={round(float(rate), 6)}", tuple(modalities), float(rate)) for rate in rates
    ]
    if len({condition.name for condition in sweep}) != len(sweep):
        raise ConfigError(f"evaluation rates: found {list(rates)}, expected each of them once.")
    return Protocol(
        name="corrkd",
        conditions=(*subsets, *sweep),
        average_rule=f"mean over the {len(subsets) - 1} incomplete modality subsets",
        averaged=tuple(condition.name for condition in subsets[:-1]),
    )


PROTOCOLS: dict[str, Callable[..., Protocol]] = {"corrkd": corrkd}
"""Builders of the protocols by name; each takes the modalities and, optionally, the frame rates."""
