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
from fsrf_jax.losses.divergences import DIVERGENCES
from fsrf_jax.losses.options import LossOptions, check_losses
from fsrf_jax.ranges import check_ranges, expect, within


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
    label_shift: float = within(0.0, -1000, 1000)
    """Added to every label of a file, to centre labels such as [1, 5] on 0."""
    cuts: tuple[float, ...] = ()
    """Increasing cut points that turn numbers into classes, or into one binary task for each."""
    tasks: tuple[str, ...] = ()
    """Names of binary tasks, as [happy,sad], in the order of the labels; empty: task0, task1, .."""
    folds: int = within(0, 0)
    """0: the splits of the file. k: deal samples into k folds (test, validation, the rest)."""
    fold: int = within(0, 0)
    """Which fold is the test split; the next one is the validation split."""
    pooled: tuple[str, ...] = ("valid", "test")
    """Splits whose samples are dealt into folds; all others serve only to train."""
    fold_seed: int = within(0, 0)
    """Seed of the dealing."""
    clip: float = within(10.0, 0.1, 1000)
    """Normalised features are clipped to this many standard deviations."""
    synthetic: SyntheticOptions = field(default_factory=SyntheticOptions)
    """The built-in data."""


@dataclass(frozen=True)
class MissingConfig:
    """Random missingness in training and validation (MRM)."""

    max_rate: float = within(1.0, 0, 1)
    """Each modality's frame-missing rate is drawn from U(0, max_rate)."""
    fixed_rate: bool = False
    """Each modality's frame-missing rate is max_rate itself."""
    shared_rate: bool = False
    """One rate for all modalities of a sample."""
    pattern: Literal["frames", "block"] = "frames"
    """Drop frames one by one, or one contiguous block."""
    subset_weights: dict[str, float] = field(default_factory=dict)
    """Odds of each available subset, as {language+audio: 2.0, ...}, where `all` stands for all
    modalities; empty: all alike."""
    modality_rate: float | None = None
    """Share of missing modalities, in place of subset_weights: a sample keeps one, drawn alike, and
    loses each other one with the probability min(1, rate M / (M - 1)); 0: no modality is lost."""
    whole_share: float = within(0.0, 0, 1)
    """Share of samples, modality by modality, whose frame-missing rate is 0 instead."""
    clean_view: bool = False
    """A third view of each training sample, with nothing missing."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network."""

    width: int = within(40, 2)
    """Width d of every code; even, and a multiple of heads."""
    heads: int = within(4, 1)
    """Attention heads."""
    encoder_layers: int = within(1, 0)
    """Transformer blocks of each modality's encoder."""
    fusion_layers: int = within(1, 1)
    """Transformer blocks of the fusion."""
    expansion: int = within(2, 1)
    """Hidden width of a block as a multiple of width."""
    kernel: int = within(3, 1)
    """Frames under the encoders' convolution."""
    dropout: float = within(0.1, 0, 0.996, below=True)
    """Dropout rate, rounded to a multiple of 1/256."""
    mask_aware: bool = True
    """Attention and pooling run over observed frames; off: over all valid ones."""
    pool: Literal["mean", "last", "attention", "cls"] = "mean"
    """How frames become one vector: mean, last frame, learned attention, or a class token."""
    missing_frame: Literal["zero", "learned"] = "zero"
    """What stands in for a missing frame: zeros, or a learned vector of each modality."""
    fusion: Literal["transformer", "concatenation"] = "transformer"
    """Transformer over the codes, or a perceptron on all of them."""


@dataclass(frozen=True)
class WeightsConfig:
    """How much each loss term counts; changing one never compiles anew."""

    homogeneous: float = within(0.3, 0)
    """DHF: homogeneous codes agree."""
    heterogeneous: float = within(0.1, 0)
    """DHF: heterogeneous codes add to the task."""
    noise: float = within(0.1, 0)
    """DHF: noise codes are silent on the label."""
    variance_floor: float = within(1.0, 0)
    """DHF: noise codes do not vanish."""
    redundancy: float = within(3.0, 0)
    """DHF: codes share nothing."""
    reconstruction: float = within(1.0, 0)
    """DHF: nothing is lost."""
    feature_distillation: dict[str, float] = field(default_factory=lambda: {"mmd": 0.1, "mse": 0.1})
    """DAS: codes of two views agree; a weight for each divergence, by name."""
    prediction_distillation: float = within(0.1, 0)
    """DAS: predictions of two views agree."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warm-up, cosine decay to 0 and clipping."""

    learning_rate: float = within(1e-3, 0)
    """Peak learning rate."""
    weight_decay: float = within(1e-4, 0)
    """Decoupled weight decay."""
    warmup: float = within(0.1, 0, 1)
    """Share of all steps spent warming up."""
    clip_norm: float = within(1.0, 1e-6)
    """Largest norm of the gradient."""


@dataclass(frozen=True)
class TrainingConfig:
    """The training loop."""

    seed: int = within(0, 0)
    """Seed of parameters, order, masks and dropout."""
    epochs: int = within(30, 1)
    """Passes over the training split."""
    batch_size: int = within(64, 1)
    """Largest number of samples in a step, over all devices together."""
    validation_draws: int = within(4, 1)
    """Fixed draws of the training missingness under which every validation sample is scored."""
    patience: int = within(0, 0)
    """Stop after so many epochs without a better validation error; 0: never."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated at the end and by bin/evaluate."""

    protocol: str = "corrkd"
    """Conditions and averages: corrkd, lnln, tfrnet, gcnet, cmad, or a path to a .yaml file with a
    protocol of your own; see docs/protocols.md."""
    split: str = "test"
    """Split to evaluate."""
    mask_seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the test masks."""
    batch_size: int = within(512, 1)
    """Samples in one pass of the network."""
    metrics: Literal["auto", "mosi", "sims"] = "auto"
    """Metrics of numbers; auto: mosi, and an error where the labels could be those of SIMS."""
    bootstrap: int = within(1000, 0, 10_000)
    """Resamples of the test samples, for 95 % intervals; 0: none."""
    compat: bool = False
    """Also F1 weighted by predicted supports, as older code has it, labelled compat."""


@dataclass(frozen=True)
class OutputConfig:
    """The run folder."""

    directory: str | None = None
    """Run folder; by default runs/ and the config's name and the time."""
    checkpoint_every: int = within(5, 1)
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
    losses: LossOptions = field(default_factory=LossOptions)
    """What each loss term is."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """How much each loss term counts."""
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
    check_ranges(config)
    data, model = config.data, config.model
    expect(
        len(data.modalities) >= 2 and len(set(data.modalities)) == len(data.modalities),
        "data.modalities",
        data.modalities,
        "two or more different names",
    )
    for name in data.modalities:
        # Conditions are named language+audio and rate=0.3, and a / would nest in files.
        plain = name != "" and not re.search(r"[\s+=/]", name)
        expect(plain, "data.modalities", name, "names without spaces, +, = and /")
    expect(
        data.source == "synthetic" or data.path is not None,
        "data.path",
        data.path,
        "a data file, because data.source is file: give --data.path FILE",
    )
    expect(
        data.source == "file" or data.path is None,
        "data.path",
        data.path,
        "nothing, because data.source is synthetic: give --data.source file as well",
    )
    named = all(re.fullmatch(r"[\w-]+", name) for name in data.tasks)
    different = len(set(data.tasks)) == len(data.tasks)
    expect(named and different, "data.tasks", data.tasks, "different names of letters and digits")
    expect(data.folds not in (1, 2), "data.folds", data.folds, "0 or at least 3")
    expect(
        data.fold < max(data.folds, 1), "data.fold", data.fold, f"a fold below {data.folds or 1}"
    )
    even = model.width % 2 == 0 and model.width % model.heads == 0
    expect(even, "model.width", model.width, f"an even multiple of model.heads ({model.heads})")
    sees = model.pool != "cls" or model.encoder_layers > 0
    expect(sees, "model.encoder_layers", 0, "1 or more, because model.pool is cls")
    seeds = config.evaluation.mask_seeds
    different = len(seeds) > 0 and len(set(seeds)) == len(seeds)
    expect(different, "evaluation.mask_seeds", seeds, "one or more different seeds")
    check_losses(config.losses)
    _check_weights(config.weights.feature_distillation)
    clean = config.losses.reconstruction.target != "complete" or config.missing.clean_view
    target = config.losses.reconstruction.target
    expect(
        clean, "losses.reconstruction.target", target, "frames or view, or missing.clean_view: true"
    )
    _check_subsets(config.missing.subset_weights, data.modalities)
    rate = config.missing.modality_rate
    expect(
        rate is None or 0 <= rate <= 1,
        "missing.modality_rate",
        rate,
        "null, or a number from 0 to 1",
    )
    one = rate is None or not config.missing.subset_weights
    expect(one, "missing.modality_rate", rate, "null, because missing.subset_weights draw subsets")
    return config


def _check_weights(by_divergence: dict[str, float]) -> None:
    key = "weights.feature_distillation"
    for name, weight in by_divergence.items():
        known = ", ".join(sorted(DIVERGENCES))
        expect(name in DIVERGENCES, key, name, f"names of divergences ({known})")
        usable = math.isfinite(weight) and weight >= 0
        expect(usable, f"{key}.{name}", weight, "a number of at least 0")


def _check_subsets(odds_by_subset: dict[str, float], modalities: tuple[str, ...]) -> None:
    key = "missing.subset_weights"
    for subset, odds in odds_by_subset.items():
        unknown = set(subset_names(subset, modalities)) - set(modalities)
        names = f"names of data.modalities ({', '.join(modalities)}) joined by +"
        expect(not unknown, key, subset, names)
        usable = math.isfinite(odds) and odds >= 0
        expect(usable, f"{key}.{subset}", odds, "a number of at least 0")
    different = {frozenset(subset_names(subset, modalities)) for subset in odds_by_subset}
    once = len(different) == len(odds_by_subset)
    usable = not odds_by_subset or (once and sum(odds_by_subset.values()) > 0)
    expect(usable, key, odds_by_subset, "each subset once, and odds above 0")


def subset_names(subset: str, modalities: tuple[str, ...]) -> tuple[str, ...]:
    """The modalities of a subset written as language+audio, or as `all`."""
    return modalities if subset == "all" else tuple(subset.split("+"))


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
