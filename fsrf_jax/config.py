"""The whole experiment as frozen dataclasses, with the defaults of every experiment.

`fsrf_jax.cli.arguments` fills them from a YAML file and the command line; `check`
looks at ranges and at fields that must fit each other. Tuples that hold one value a modality
follow the order of `data.modalities`.
"""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from fsrf_jax.data.synthetic import SyntheticOptions
from fsrf_jax.errors import ConfigError


def _within(default: Any, low: float, high: float = float("inf"), below: bool = False) -> Any:
    """A field whose number must lie in [low, high], or in [low, high) with `below`."""
    return field(default=default, metadata={"range": (low, high, below)})


@dataclass(frozen=True)
class DataConfig:
    """Where the samples come from and how they are split and normalised."""

    source: Literal["synthetic", "file"] = "synthetic"
    """Built-in synthetic data, or a file."""
    path: str | None = None
    """Data file, for source file."""
    format: Literal["auto", "mmsa", "arrays", "store"] = "auto"
    """Format of the file; auto looks at its content."""
    modalities: tuple[str, ...] = ("language", "audio", "vision")
    """Names of the modalities to use, two or more, as the file names them."""
    label_shift: float = _within(0.0, -1000, 1000)
    """Added to every label of a file, to centre labels such as [1, 5] on 0."""
    folds: int = _within(0, 0)
    """0: the splits of the file. k: deal samples into k folds (test, validation, the rest)."""
    fold: int = _within(0, 0)
    """Which fold is the test split; the next one is the validation split."""
    pooled: tuple[str, ...] = ("valid", "test")
    """Splits whose samples are dealt into folds; all others serve only to train."""
    fold_seed: int = _within(0, 0)
    """Seed of the dealing."""
    clip: float = _within(10.0, 0.1, 1000)
    """Normalised features are clipped to this many standard deviations."""
    synthetic: SyntheticOptions = field(default_factory=SyntheticOptions)
    """The built-in data."""


@dataclass(frozen=True)
class MissingConfig:
    """Random missingness in training and validation (MRM)."""

    max_rate: float = _within(1.0, 0, 1)
    """Each modality's frame-missing rate is drawn from U(0, max_rate)."""
    shared_rate: bool = False
    """One rate for all modalities of a sample."""
    pattern: Literal["frames", "block"] = "frames"
    """Drop frames one by one, or one contiguous block."""
    subset_weights: dict[str, float] = field(default_factory=dict)
    """Odds of each available subset, as {language+audio: 2.0, ...}; empty: all alike."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network."""

    width: int = _within(40, 2)
    """Width d of every code; even, and a multiple of heads."""
    heads: int = _within(4, 1)
    """Attention heads."""
    encoder_layers: int = _within(1, 0)
    """Transformer blocks of each modality's encoder."""
    fusion_layers: int = _within(1, 1)
    """Transformer blocks of the fusion."""
    expansion: int = _within(2, 1)
    """Hidden width of a block as a multiple of width."""
    kernel: int = _within(3, 1)
    """Frames under the encoders' convolution."""
    dropout: float = _within(0.1, 0, 0.996, below=True)
    """Dropout rate, rounded to a multiple of 1/256."""
    mask_aware: bool = True
    """Attention and pooling run over observed frames; off: over all valid ones."""


@dataclass(frozen=True)
class TaskConfig:
    """The task loss."""

    kind: Literal["l1", "mse", "huber"] = "l1"
    """Absolute, squared or Huber error of the label."""


@dataclass(frozen=True)
class HomogeneousConfig:
    """Homogeneous codes of one sample's modalities agree."""

    weight: float = _within(0.1, 0)
    """Weight in the total."""
    divergence: Literal["infonce", "mse", "cosine", "mmd"] = "infonce"
    """What disagreement means."""
    temperature: float = _within(0.1, 1e-3)
    """Temperature of infonce."""


@dataclass(frozen=True)
class HeterogeneousConfig:
    """A modality's heterogeneous code adds to the task what its homogeneous code lacks."""

    weight: float = _within(0.1, 0)
    """Weight in the total."""


@dataclass(frozen=True)
class NoiseConfig:
    """The noise code says nothing of the label (adversarial), and does not vanish."""

    weight: float = _within(0.1, 0)
    """Weight in the total."""
    bound: float = _within(3.0, 1e-6)
    """Largest error of the adversary that counts: half the range of the labels."""
    floor: float = _within(1.0, 0)
    """Standard deviation below which a noise dimension is punished."""


@dataclass(frozen=True)
class RedundancyConfig:
    """Homogeneous, heterogeneous and noise codes share nothing."""

    weight: float = _within(0.1, 0)
    """Weight in the total."""
    dependence: Literal["cross_correlation"] = "cross_correlation"
    """What sharing means."""


@dataclass(frozen=True)
class ReconstructionConfig:
    """The three codes together give back the modality's mean frame."""

    weight: float = _within(0.1, 0)
    """Weight in the total."""


@dataclass(frozen=True)
class FeatureDistillationConfig:
    """Codes of the two views teach each other."""

    weight: float = _within(0.1, 0)
    """Weight in the total."""
    mmd: float = _within(1.0, 0)
    """Share of the distribution-level divergence mmd."""
    mse: float = _within(1.0, 0)
    """Share of the sample-level divergence mse."""


@dataclass(frozen=True)
class PredictionDistillationConfig:
    """Predictions of the two views teach each other."""

    weight: float = _within(0.1, 0)
    """Weight in the total."""


@dataclass(frozen=True)
class LossesConfig:
    """One section per loss term."""

    task: TaskConfig = field(default_factory=TaskConfig)
    """Prediction of the label."""
    homogeneous: HomogeneousConfig = field(default_factory=HomogeneousConfig)
    """DHF: homogeneous codes agree."""
    heterogeneous: HeterogeneousConfig = field(default_factory=HeterogeneousConfig)
    """DHF: heterogeneous codes add to the task."""
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    """DHF: noise codes are silent on the label."""
    redundancy: RedundancyConfig = field(default_factory=RedundancyConfig)
    """DHF: no redundancy."""
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    """DHF: nothing is lost."""
    feature_distillation: FeatureDistillationConfig = field(
        default_factory=FeatureDistillationConfig
    )
    """DAS: codes."""
    prediction_distillation: PredictionDistillationConfig = field(
        default_factory=PredictionDistillationConfig
    )
    """DAS: predictions."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warm-up, cosine decay to 0 and clipping."""

    learning_rate: float = _within(1e-3, 0)
    """Peak learning rate."""
    weight_decay: float = _within(1e-4, 0)
    """Decoupled weight decay."""
    warmup: float = _within(0.1, 0, 1)
    """Share of all steps spent warming up."""
    clip_norm: float = _within(1.0, 1e-6)
    """Largest norm of the gradient."""


@dataclass(frozen=True)
class TrainingConfig:
    """The training loop."""

    seed: int = _within(0, 0)
    """Seed of parameters, order, masks and dropout."""
    epochs: int = _within(30, 1)
    """Passes over the training split."""
    batch_size: int = _within(64, 1)
    """Largest number of samples in a step, over all devices together."""
    validation_draws: int = _within(4, 1)
    """Fixed draws of the training missingness under which every validation sample is scored."""
    patience: int = _within(0, 0)
    """Stop after so many epochs without a better validation MAE; 0: never."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated at the end and by bin/evaluate."""

    protocol: Literal["corrkd"] = "corrkd"
    """Conditions and averages; see docs/protocols.md."""
    split: str = "test"
    """Split to evaluate."""
    mask_seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the test masks."""
    batch_size: int = _within(512, 1)
    """Samples in one pass of the network."""


@dataclass(frozen=True)
class OutputConfig:
    """The run folder."""

    directory: str | None = None
    """Run folder; by default runs/ and the config's name and the time."""
    checkpoint_every: int = _within(5, 1)
    """Epochs between checkpoints."""
    progress: bool = True
    """Show progress."""


@dataclass(frozen=True)
class Config:
    """An experiment."""

    data: DataConfig = field(default_factory=DataConfig)
    """Samples."""
    missing: MissingConfig = field(default_factory=MissingConfig)
    """Missingness in training."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Network."""
    losses: LossesConfig = field(default_factory=LossesConfig)
    """Loss terms."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Training loop."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Evaluation."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """Run folder."""


def check(config: Config) -> Config:
    """The config itself, or a ConfigError that names the first key whose value does not fit."""
    _check_ranges(config, "")
    data, model = config.data, config.model
    _expect(
        len(data.modalities) >= 2 and len(set(data.modalities)) == len(data.modalities),
        "data.modalities",
        data.modalities,
        "two or more different names",
    )
    for name in data.modalities:
        # Conditions are named language+audio and rate=0.3, and a / would nest in files.
        plain = name != "" and not re.search(r"[\s+=/]", name)
        _expect(plain, "data.modalities", name, "names without spaces, +, = and /")
    _expect(
        data.source == "synthetic" or data.path is not None,
        "data.path",
        data.path,
        "a data file, because data.source is file: give --data.path FILE",
    )
    _expect(
        data.source == "file" or data.path is None,
        "data.path",
        data.path,
        "nothing, because data.source is synthetic: give --data.source file as well",
    )
    _expect(data.folds not in (1, 2), "data.folds", data.folds, "0 or at least 3")
    _expect(
        data.fold < max(data.folds, 1), "data.fold", data.fold, f"a fold below {data.folds or 1}"
    )
    even = model.width % 2 == 0 and model.width % model.heads == 0
    _expect(even, "model.width", model.width, f"an even multiple of model.heads ({model.heads})")
    seeds = config.evaluation.mask_seeds
    different = len(seeds) > 0 and len(set(seeds)) == len(seeds)
    _expect(different, "evaluation.mask_seeds", seeds, "one or more different seeds")
    for subset, odds in config.missing.subset_weights.items():
        unknown = set(subset.split("+")) - set(data.modalities)
        _expect(
            not unknown,
            "missing.subset_weights",
            subset,
            f"names of data.modalities ({', '.join(data.modalities)}) joined by +",
        )
        key = f"missing.subset_weights.{subset}"
        _expect(math.isfinite(odds) and odds >= 0, key, odds, "a number of at least 0")
    weights = config.missing.subset_weights
    spelt_once = len({frozenset(subset.split("+")) for subset in weights}) == len(weights)
    usable = not weights or (spelt_once and sum(weights.values()) > 0)
    _expect(usable, "missing.subset_weights", weights, "each subset once, and odds above 0")
    return config


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every leaf of a config by its dotted name; tuples become lists, as in YAML."""
    leaves: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        name = f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            leaves |= flatten(value, f"{name}.")
        else:
            leaves[name] = list(value) if isinstance(value, tuple) else value
    return leaves


def _check_ranges(config: Any, prefix: str) -> None:
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            _check_ranges(value, f"{prefix}{item.name}.")
        elif "range" in item.metadata:
            low, high, below = item.metadata["range"]
            inside = math.isfinite(value) and low <= value <= high and not (below and value == high)
            limit = f"at most {high:g}" if not below else f"below {high:g}"
            expected = f"at least {low:g}" + ("" if high == float("inf") else f" and {limit}")
            _expect(inside, f"{prefix}{item.name}", value, f"a number of {expected}")


def _expect(holds: bool, key: str, value: Any, expected: str) -> None:
    if not holds:
        shown = list(value) if isinstance(value, tuple) else value
        raise ConfigError(f"{key}: found {shown!r}, expected {expected}.")
