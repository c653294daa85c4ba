"""What each loss term is: static options, fixed when the program is compiled.

How much a term counts is `LossWeights`, which are arrays and never compile anew.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fsrf_jax.losses.dependence import DEPENDENCE
from fsrf_jax.losses.distillation import PREDICTION
from fsrf_jax.losses.divergences import DIVERGENCES
from fsrf_jax.losses.task import ERRORS, FORMS
from fsrf_jax.ranges import expect, within

if TYPE_CHECKING:  # the registries are the only list of names
    DivergenceName = str
    DependenceName = str
    PredictionName = str
    TaskName = str
else:
    DivergenceName = Literal[tuple(sorted(DIVERGENCES))]
    DependenceName = Literal[tuple(sorted(DEPENDENCE))]
    PredictionName = Literal[("auto", *sorted(PREDICTION))]
    TaskName = Literal[tuple(sorted(ERRORS))]

Form = Literal["number", "class", "binary"]


@dataclass(frozen=True)
class TaskOptions:
    """The task loss."""

    kind: TaskName = "l1"
    """Of a number: absolute, squared or Huber error, or a Gaussian's likelihood; of a class or of
    binary tasks: cross-entropy."""

    @property
    def form(self) -> Form:
        """What the labels are."""
        return FORMS[self.kind]


@dataclass(frozen=True)
class HomogeneousOptions:
    """Homogeneous codes of one sample's modalities agree."""

    divergence: DivergenceName = "infonce"
    """What disagreement means."""


@dataclass(frozen=True)
class HeterogeneousOptions:
    """A modality's heterogeneous code adds to the task what its homogeneous code lacks."""

    kind: Literal["task", "task_alone", "modality", "contrastive"] = "task"
    """Task head on [sg(H), S], or on S alone; classifier of the modality; contrast by labels."""
    temperature: float = within(0.1, 1e-3)
    """Of contrastive."""
    bandwidth: float = within(0.5, 1e-3)
    """Of contrastive: labels this far apart are hardly alike any more."""


@dataclass(frozen=True)
class NoiseOptions:
    """The noise code says nothing of the label, and does not vanish."""

    kind: Literal["adversarial", "bottleneck", "dependence", "uniform"] = "adversarial"
    """Task head behind a reversed gradient; rate of a random code; dependence between code and
    label; head that a code must leave at its best constant."""
    bound: float = within(3.0, 1e-6)
    """Largest error of the adversary that counts: half the range of the labels. For classes and
    binary tasks it is the cross-entropy of chance instead."""
    floor: float = within(1.0, 0)
    """Standard deviation below which a noise dimension is punished."""
    dependence: Literal["cross_correlation", "hsic", "orthogonality"] = "hsic"
    """Of kind dependence."""


@dataclass(frozen=True)
class RedundancyOptions:
    """Homogeneous, heterogeneous and noise codes share nothing."""

    dependence: DependenceName = "cross_correlation"
    """What sharing means."""
    held: Literal["homogeneous", "none"] = "homogeneous"
    """Codes held still: homogeneous, so that the others give way to them, or none."""


@dataclass(frozen=True)
class ReconstructionOptions:
    """The codes together give back the modality."""

    target: Literal["frames", "view", "complete"] = "frames"
    """Mean valid frame of the complete input; encoding of the same view, or of the clean view."""
    crossed: bool = False
    """Decode from the homogeneous code of another modality and the own heterogeneous code."""


@dataclass(frozen=True)
class DistillationOptions:
    """Views of one sample teach each other."""

    direction: Literal["both", "to_less_complete", "off"] = "both"
    """Who teaches: both views, only the more complete one, or nobody."""
    weigh_teacher: bool = False
    """A sample counts by the completeness of its teacher's view."""
    warmup: float = within(0.0, 0)
    """Epochs over which the weights of distillation grow from 0."""
    codes: tuple[Literal["fused", "heterogeneous", "homogeneous"], ...] = (
        "fused",
        "heterogeneous",
        "homogeneous",
    )
    """Codes that are aligned."""
    prediction: PredictionName = "auto"
    """Disagreement of predictions; auto is squared for numbers and kl for the others."""
    temperature: float = within(1.0, 1e-3)
    """Temperature of kl."""


@dataclass(frozen=True)
class MeasureOptions:
    """Fixed numbers of the divergences, wherever they are used."""

    temperature: float = within(0.1, 1e-3)
    """Of infonce."""
    mmd_multiples: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Kernel widths of mmd, as multiples of the mean squared distance."""
    cmd_moments: int = within(5, 1, 8)
    """Highest moment of cmd."""
    gaussian_floor: float = within(1e-3, 1e-6)
    """Variance added by gaussian_kl, as a share of the common one."""
    projections: int = within(64, 1)
    """Directions of sliced_wasserstein."""
    blur: float = within(0.1, 1e-4)
    """Entropic regularisation of sinkhorn, as a multiple of the mean squared distance."""
    iterations: int = within(50, 1)
    """Iterations of sinkhorn."""

    def of(self, divergence: str) -> dict[str, Any]:
        """Keyword arguments of a divergence."""
        options: dict[str, dict[str, Any]] = {
            "cmd": {"moments": self.cmd_moments},
            "gaussian_kl": {"floor": self.gaussian_floor},
            "infonce": {"temperature": self.temperature},
            "mmd": {"multiples": self.mmd_multiples},
            "sinkhorn": {"blur": self.blur, "iterations": self.iterations},
            "sliced_wasserstein": {"projections": self.projections},
        }
        return options.get(divergence, {})


@dataclass(frozen=True)
class LossOptions:
    """One section for each loss term."""

    task: TaskOptions = field(default_factory=TaskOptions)
    """Prediction of the label."""
    homogeneous: HomogeneousOptions = field(default_factory=HomogeneousOptions)
    """DHF: homogeneous codes agree."""
    heterogeneous: HeterogeneousOptions = field(default_factory=HeterogeneousOptions)
    """DHF: heterogeneous codes add to the task."""
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    """DHF: noise codes are silent on the label."""
    redundancy: RedundancyOptions = field(default_factory=RedundancyOptions)
    """DHF: no redundancy."""
    reconstruction: ReconstructionOptions = field(default_factory=ReconstructionOptions)
    """DHF: nothing is lost."""
    distillation: DistillationOptions = field(default_factory=DistillationOptions)
    """DAS: views teach each other."""
    measures: MeasureOptions = field(default_factory=MeasureOptions)
    """Numbers of the divergences."""


def check_losses(options: LossOptions) -> None:
    """Refuse options that do not fit each other.

    Raises:
        ConfigError: it names the key.
    """
    codes = options.distillation.codes
    key = "losses.distillation.codes"
    expect(len(codes) > 0 and len(set(codes)) == len(codes), key, codes, "one or more, each once")
    multiples = options.measures.mmd_multiples
    key = "losses.measures.mmd_multiples"
    above_0 = len(multiples) > 0 and all(0 < c < float("inf") for c in multiples)
    expect(above_0, key, multiples, "one or more numbers above 0")
    task, prediction = options.task, options.distillation.prediction
    fits = {"squared": task.form == "number", "gaussian_kl": task.kind == "gaussian"}
    fits |= {"kl": task.form != "number", "auto": True}
    key = "losses.distillation.prediction"
    expect(
        fits[prediction], key, prediction, f"auto, or one that fits losses.task.kind {task.kind}"
    )
