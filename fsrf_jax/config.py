"""The whole experiment: each part's own option dataclass, and those of what has no other home.

`fsrf_jax.arguments` fills it from YAML files and the command line; `check` looks at ranges and at
options that must fit each other. Tuples that hold one value per modality follow the order of
`data.modalities`.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fsrf_jax import options
from fsrf_jax.data.clean import BadValues
from fsrf_jax.data.load import Format
from fsrf_jax.data.placement import Placement
from fsrf_jax.data.synthetic import SyntheticOptions
from fsrf_jax.errors import ConfigError
from fsrf_jax.files import is_text
from fsrf_jax.losses.task import Task, TaskOptions
from fsrf_jax.methods import Fsrf, Method
from fsrf_jax.missing import Missing
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import expect, prefixed, within
from fsrf_jax.training.loggers import check_names
from fsrf_jax.training.optimizer import OptimizerOptions

PLACES = ("data.path", "data.licence", "data.placement", "data.readers", "output.")
"""Keys, or beginnings of them, that say where things are: one run may have several."""


@dataclass(frozen=True)
class DataConfig:
    """Where the samples come from and how they are split and normalised."""

    source: Literal["synthetic", "file"] = "synthetic"
    """Built-in synthetic data, or a file."""
    path: str | None = None
    """Data file or folder, for source file."""
    licence: str = ""
    """Licence of the data, in your words, for the model card; empty: not stated."""
    format: Format = "auto"
    """Format of the file; auto looks at its content."""
    modalities: tuple[str, ...] = ("language", "audio", "vision")
    """Names of the modalities to use, two or more, as the file names them."""
    label_column: int | tuple[int, ...] | None = None
    """Which column of labels [n, columns] to use, from 0; several, as [1,2], are several tasks."""
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
    allow_pooled_test: bool = False
    """Let folds put samples of a split called test into training."""
    valid_share: float = within(0.0, 0, 0.5)
    """Share of the training split that becomes the validation split, where the data have none."""
    fold_seed: int = within(0, 0)
    """Seed of the dealing."""
    bad_values: BadValues = "zero"
    """A NaN or infinite value: its column's training mean, or its frame or column left out."""
    allow_duplicates: bool = False
    """Let samples with the same id or features be in two of train, valid and test."""
    placement: Placement = "auto"
    """Where samples are in training: device; host, given to the device batch by batch; stream, read
    from a store batch by batch; auto, the first of these that the memory is enough for."""
    readers: int = within(2, 1, 64)
    """Threads that read batches ahead, for placement stream; they change no result."""
    clip: float = within(10.0, 0.1, 1000)
    """Normalised features are clipped to this many standard deviations."""
    synthetic: SyntheticOptions = field(default_factory=SyntheticOptions)
    """The built-in data."""

    def check(self) -> None:
        """Refuse options that do not fit each other; see `fsrf_jax.options.check`."""
        names = self.modalities
        several = len(names) >= 2 and len(set(names)) == len(names)
        expect(several, "modalities", names, "two or more different names")
        for name in names:
            # Conditions are named language+audio and rate=0.3, and a / would nest in files.
            plain = name != "" and not re.search(r"[\s+=/]", name)
            expect(plain, "modalities", name, "names without spaces, +, = and /")
        given = self.source == "synthetic" or self.path is not None
        expected = "a data file, because data.source is file: give --data.path FILE"
        expect(given, "path", self.path, expected)
        unused = self.source == "file" or self.path is None
        expected = "nothing, because data.source is synthetic: give --data.source file as well"
        expect(unused, "path", self.path, expected)
        stored = self.placement != "stream" or self.source == "file"
        expected = "auto, device or host, because data.source is synthetic"
        expect(stored, "placement", self.placement, expected)
        line = self.licence.isprintable()
        expect(line, "licence", self.licence, "words on one line, without control characters")
        column = self.label_column
        columns = column if isinstance(column, tuple) else (0 if column is None else column,)
        fitting = len(set(columns)) == len(columns) and min(columns, default=-1) >= 0
        expect(fitting, "label_column", column, "a number from 0, or different ones, as [1,2]")
        named = all(re.fullmatch(r"[\w-]+", name) for name in self.tasks)
        different = named and len(set(self.tasks)) == len(self.tasks)
        expect(different, "tasks", self.tasks, "different names of letters and digits")
        expect(self.folds not in (1, 2), "folds", self.folds, "0 or at least 3")
        dealt = self.fold < max(self.folds, 1)
        expect(dealt, "fold", self.fold, f"a fold below {self.folds or 1}")


Selection = Literal["protocol", "missingness"]


@dataclass(frozen=True)
class TrainingConfig:
    """The training loop."""

    seed: int = within(0, 0)
    """Seed of parameters, order, masks and dropout."""
    epochs: int = within(30, 1)
    """Passes over the training split."""
    batch_size: int = within(64, 1)
    """Largest number of samples in a step, over all devices together."""
    selection: Selection = "protocol"
    """The error on the validation split that the best epoch has the lowest of: protocol, the mean
    over the conditions of evaluation.protocol; missingness, that under the training missingness."""
    validation_draws: int = within(4, 1)
    """Of selection missingness: fixed draws of masks under which every sample is scored."""
    patience: int = within(0, 0)
    """Stop after so many epochs without a better validation error; 0: never."""
    init_from: str | None = None
    """Run folder whose best parameters this run starts from, as far as name and shape fit."""
    bad_steps: int = within(10, 1)
    """Bad steps in a row that end the run: those that give NaN or an infinity. They change nothing,
    and fewer in a row are only counted."""
    deterministic: bool = False
    """On GPUs only operations that give the same bits every time; slower. CPUs do so anyway."""
    freeze: tuple[str, ...] = ()
    """Groups of parameters that do not move, by dotted name, as [encoders.language,fusion]."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated at the end and by bin/evaluate."""

    protocol: str = "corrkd"
    """Conditions and averages: corrkd (not the method of that name), lnln, tfrnet, gcnet, cmad, or
    a path to a .yaml file with a protocol of your own; see docs/protocols.md."""
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
    floors: bool = True
    """Also what needs no network: lengths alone, and ridge regressions on mean frames."""

    def check(self) -> None:
        """Refuse seeds that repeat; see `fsrf_jax.options.check`."""
        seeds = self.mask_seeds
        different = len(seeds) > 0 and len(set(seeds)) == len(seeds)
        expect(different, "mask_seeds", seeds, "one or more different seeds")


@dataclass(frozen=True)
class OutputConfig:
    """The run folder."""

    directory: str | None = None
    """Run folder; by default runs/ and the config's name and the time."""
    checkpoint_every: int = within(5, 1)
    """Epochs between checkpoints."""
    progress: bool = True
    """Show progress."""
    loggers: tuple[str, ...] = ("tensorboard",)
    """Where epochs are shown beside metrics.jsonl: some of tensorboard, csv, wandb, mlflow."""

    def check(self) -> None:
        """Refuse loggers that there are none of; see `fsrf_jax.options.check`."""
        check_names(self.loggers)


@dataclass(frozen=True)
class Config:
    """An experiment.

    Example:
        >>> config = fsrf_jax.Config(method=fsrf_jax.methods.LateFusion())
        >>> config.training.epochs, config.model.width
        (30, 40)
    """

    data: DataConfig = field(default_factory=DataConfig)
    """Samples."""
    task: TaskOptions = field(default_factory=TaskOptions)
    """What is predicted."""
    method: Method = field(default_factory=Fsrf)
    """How it is learnt: loss terms and their weights."""
    model: ModelOptions = field(default_factory=ModelOptions)
    """Encoders and fusion, shared by the methods."""
    missing: Missing = field(default_factory=Missing)
    """Missingness in training (MRM), and in validation with `training.selection missingness`."""
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    """Optimizer."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Training loop."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Evaluation."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """Run folder."""


def check(config: Config) -> Config:
    """The config itself, or a ConfigError that names the first key whose value does not fit."""
    for key, value in flatten(config).items():
        for text in _texts(value):
            if "\0" in text or not is_text(text):
                raise ConfigError(f"{key}: found {text!r}, expected text in UTF-8 without a NUL.")
    try:
        options.check(config)
        with prefixed("missing"):
            config.missing.check_subsets(config.data.modalities)
        with prefixed("method"):
            config.method.check_task(Task(**dataclasses.asdict(config.task)))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return config


def _texts(value: Any) -> Iterator[str]:
    """The texts in the value of an option."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in (*value, *value.values()):
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def defaults(config: Config) -> dict[str, Any]:
    """What every leaf of a config would be by default; its method's options as in that method."""
    leaves = flatten(dataclasses.replace(Config(), method=type(config.method)()))
    return leaves | {"method.name": Config().method.name}


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every leaf of a config by its dotted name, as YAML holds it: lists and dictionaries."""
    leaves: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            leaves |= flatten(value, f"{prefix}{item.name}.")
        elif isinstance(value, Mapping):
            leaves[f"{prefix}{item.name}"] = dict(value)
        else:
            leaves[f"{prefix}{item.name}"] = list(value) if isinstance(value, tuple) else value
    return leaves
