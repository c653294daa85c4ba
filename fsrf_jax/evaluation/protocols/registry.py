"""Evaluation protocols: named grids of missing conditions, and what their average is over.

Each is data: `fsrf_jax.evaluation.protocols.files` writes any of them down and reads it back, and
reads protocols of the user's own in the same form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Law = Literal["frames", "modalities", "subset"]
Rule = Literal["mean", "area", "none"]

Odds = tuple[tuple[tuple[str, ...], float], ...]
"""(modalities, weight) pairs; empty means every non-empty subset alike."""

LAWS: dict[str, str] = {
    "frames": (
        "each frame of a present modality is missing with the probability of the condition's frame "
        "rate, all independent"
    ),
    "modalities": (
        "each sample keeps one modality, drawn alike from those it has, and each other one is "
        "missing as a whole with the probability min(1, MR M / (M - 1)), M the number of "
        "modalities: a share MR of all is missing, at most (M - 1) / M"
    ),
    "subset": (
        "each sample has one subset of its modalities, drawn by the condition's odds, and no "
        "frame of these is missing"
    ),
}
"""What is random under a condition, in words."""


@dataclass(frozen=True)
class Condition:
    """What is observed at test time.

    Attributes:
        name: as printed and as in the results file.
        subset: the modalities that may be present; the others are missing as a whole.
        rate: the share that is missing, in [0, 1]: of each present modality's frames (frames), or
            of the modalities (modalities); 0 for a drawn subset.
        law: what is random, a key of `LAWS`.
        odds: of a drawn subset.
    """

    name: str
    subset: tuple[str, ...]
    rate: float
    law: Law = "frames"
    odds: Odds = ()

    @property
    def random(self) -> bool:
        """Whether the masks depend on the mask seed."""
        return self.law == "subset" or self.rate > 0

    @property
    def shows(self) -> bool:
        """Whether any frame is observed."""
        return self.law != "frames" or self.rate < 1


@dataclass(frozen=True)
class Protocol:
    """A grid of conditions.

    Attributes:
        name: its name in the config and in the results.
        conditions: in the order of the table.
        average_rule: in words, what the protocol's average is over.
        averaged: names of the conditions in that average.
        rule: the average is their mean; the area under the line of their figures over their rates
            (trapezoids, not divided by the width of the line); or there is none.
        training: in words, the missingness that a model is trained under.
        metrics: the figures that its line of work reports.
    """

    name: str
    conditions: tuple[Condition, ...]
    average_rule: str
    averaged: tuple[str, ...]
    rule: Rule = "mean"
    training: str = "as the config says"
    metrics: tuple[str, ...] = ()

    @property
    def mask_law(self) -> str:
        """In words, the law of the test masks."""
        laws = dict.fromkeys(condition.law for condition in self.conditions)
        return "; ".join(LAWS[law] for law in laws)


def corrkd(modalities: Sequence[str]) -> Protocol:
    """Build the protocol of CorrKD and HRLF: all modality subsets, then frame rates.

    Subsets come by size, complete last, and are named `language+audio`; rates are named
    `rate=0.3` and hold for all modalities at once. The average is over the incomplete subsets.
    """
    subsets = _subsets(modalities)
    return Protocol(
        name="corrkd",
        conditions=(*subsets, *_frame_rates(modalities, RATES)),
        average_rule=f"mean over the {len(subsets) - 1} incomplete modality subsets",
        averaged=tuple(condition.name for condition in subsets[:-1]),
        training="one model; random subsets of the modalities, and frame rates from U(0, 1)",
        metrics=("f1_non0", "mae", "f1"),
    )


def lnln(modalities: Sequence[str]) -> Protocol:
    """Build the protocol of LNLN, P-RMF, TF-Mamba and SemMSA: ten frame rates and their mean."""
    conditions = _frame_rates(modalities, (0.0, *RATES[:-1]))
    return Protocol(
        name="lnln",
        conditions=conditions,
        average_rule=f"mean over the {len(conditions)} frame rates",
        averaged=tuple(condition.name for condition in conditions),
        training=(
            "one model; of each modality half of the samples are whole, and the others have a "
            "frame rate from U(0, 1)"
        ),
        metrics=("acc7", "acc5", "acc2_non0", "f1_non0", "mae", "corr"),
    )


def tfrnet(modalities: Sequence[str]) -> Protocol:
    """Build the protocol of TFR-Net and EMT-DLFR: the area under the line over the frame rates."""
    conditions = _frame_rates(modalities, (0.0, *RATES))
    return Protocol(
        name="tfrnet",
        conditions=conditions,
        average_rule=(
            f"area under the line over the {len(conditions)} frame rates, by trapezoids, not "
            "divided by its width"
        ),
        averaged=tuple(condition.name for condition in conditions),
        rule="area",
        training="one model for each rate, which is the frame rate of every modality",
        metrics=("acc7", "acc5", "acc2_non0", "f1_non0", "mae", "corr"),
    )


def gcnet(modalities: Sequence[str]) -> Protocol:
    """Build the protocol of MMIN, GCNet, DiCMoR and IMDer: missing modalities, no average.

    Rates are shares of the modalities, named `mr=0.3`; then come the incomplete subsets.
    """
    subsets = _subsets(modalities)[:-1]
    sweep = [
        Condition(f"mr={_short(rate)}", tuple(modalities), float(rate), "modalities")
        for rate in (0.0, *RATES[:7])
    ]
    return Protocol(
        name="gcnet",
        conditions=(*sweep, *subsets),
        average_rule="none: each condition stands for itself",
        averaged=(),
        rule="none",
        training="one model for each condition, trained under its own missingness",
        metrics=("acc2_non0", "f1_non0", "acc7", "accuracy", "f1"),
    )


# Odds in CMAD's training, by size of the subset and in the order language, audio, vision.
_CMAD_ODDS: Odds = (
    (("language",), 2.0),
    (("audio",), 3.0),
    (("vision",), 3.0),
    (("language", "audio"), 1.0),
    (("language", "vision"), 1.0),
    (("audio", "vision"), 3.0),
    (("language", "audio", "vision"), 1.0),
)


def cmad(modalities: Sequence[str]) -> Protocol:
    """Build the protocol of CMAD: all subsets and their mean, and one drawn subset per sample.

    The drawn subsets have CMAD's odds for language, audio and vision, and are all alike for other
    modalities. The row `drawn` shows the mixture that the model is trained under; the average is
    over the fixed subsets, the complete one among them.
    """
    subsets = _subsets(modalities)
    own = set(modalities) == {"language", "audio", "vision"}
    drawn = Condition("drawn", tuple(modalities), 0.0, "subset", _CMAD_ODDS if own else ())
    return Protocol(
        name="cmad",
        conditions=(*subsets, drawn),
        average_rule=f"mean over the {len(subsets)} modality subsets",
        averaged=tuple(condition.name for condition in subsets),
        training="one model; one subset of the modalities drawn for each sample, no frame missing",
        metrics=("acc2_non0", "f1_non0", "accuracy", "f1"),
    )


PROTOCOLS: dict[str, Callable[..., Protocol]] = {
    "corrkd": corrkd,
    "lnln": lnln,
    "tfrnet": tfrnet,
    "gcnet": gcnet,
    "cmad": cmad,
}
"""Builders of the protocols by name; each takes the modalities."""


def _subsets(modalities: Sequence[str]) -> list[Condition]:
    """Every non-empty subset by size, whole."""
    return [
        Condition("+".join(subset), subset, 0.0)
        for size in range(1, len(modalities) + 1)
        for subset in combinations(modalities, size)
    ]


def _frame_rates(modalities: Sequence[str], rates: Sequence[float]) -> tuple[Condition, ...]:
    """One frame rate in all modalities at once."""
    everything = tuple(modalities)
    return tuple(Condition(f"rate={_short(rate)}", everything, rate) for rate in rates)


def _short(rate: float) -> str:
    return str(round(float(rate), 6))
