"""The data of an experiment: built-in or from a file, split and ready."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fsrf_jax.config import DataConfig
from fsrf_jax.data import labels, overlaps, synthetic, tokens
from fsrf_jax.data.dataset import Dataset, Oracle, Split
from fsrf_jax.data.folds import carve_valid, fold_split
from fsrf_jax.data.lazy import pieces
from fsrf_jax.data.load import load
from fsrf_jax.data.placement import ON_DEVICE, Placed, choose, stays_in_file
from fsrf_jax.errors import ConfigError, DataError, OutOfMemory


@dataclass(frozen=True)
class Shapes:
    """What a network is made for: of the data that it is trained on, whatever it later sees.

    Attributes:
        samples: of the training split.
        frames: padded length of each modality.
        features: their number, by modality.
        outputs: see `Source`.
        classes: names of the classes; may be empty.
        vocabulary: see `Source`.
        class_counts: of the training labels: how many are of each class, one row; or, for each
            binary task, how many are 0 and 1; empty for numbers.
    """

    samples: int
    frames: dict[str, int]
    features: dict[str, int]
    outputs: int
    classes: tuple[str, ...]
    vocabulary: dict[str, int]
    class_counts: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Source:
    """Samples, and the world behind them where it is known.

    Attributes:
        dataset: splits `train`, `valid` and others, not normalised.
        world: the synthetic world; None for data from a file.
        form: of the labels, see `fsrf_jax.data.labels`.
        outputs: values of a prediction: 1, or the number of classes or tasks.
        cuts: cut points that made the labels; may be empty.
        vocabulary: number of ids of each modality that is token ids, see `tokens.to_ids`.
        placed: where the samples are while a network trains on them.
    """

    dataset: Dataset
    world: synthetic.World | None
    form: str
    outputs: int
    cuts: tuple[float, ...]
    vocabulary: Mapping[str, int] = field(default_factory=dict)
    placed: Placed = ON_DEVICE

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            DataError: there is none, or it is empty.
        """
        if name not in self.dataset.splits:
            names = ", ".join(self.dataset.splits)
            raise DataError(f"The data have no split {name!r}; they have {names}.")
        if not len(self.dataset.splits[name]):
            raise DataError(f"The split {name!r} has no samples.")
        return self.dataset.splits[name]

    @cached_property
    def shapes(self) -> Shapes:
        """What a network is made for that is trained on these data.

        Raises:
            DataError: there is no training split.
        """
        train = self.split("train")
        return Shapes(
            samples=len(train),
            frames={m: x.shape[1] for m, x in train.features.items()},
            features={m: x.shape[2] for m, x in train.features.items()},
            outputs=self.outputs,
            classes=self.dataset.classes,
            vocabulary=dict(self.vocabulary),
            class_counts=labels.counts(train.labels, self.form, self.outputs),
        )

    def as_trained(self, shapes: Shapes) -> "Source":
        """The same samples for a network that was trained on data of these shapes.

        Classes have the numbers that they had there; token ids the vocabulary.

        Raises:
            DataError: widths of the features or labels are others.
        """
        for name, split in self.dataset.splits.items():
            for m, x in split.features.items():
                if x.shape[2] != (found := shapes.features.get(m)):
                    raise DataError(
                        f"split {name!r}: {m} has {x.shape[2]} features, the training data had "
                        f"{found}: give data with the same feature extraction."
                    )
        dataset = labels.as_classes(self.dataset, shapes.classes)
        if self.form != "number":
            labels.check_outputs(dataset, self.form, shapes.outputs)
        return dataclasses.replace(
            self, dataset=dataset, outputs=shapes.outputs, vocabulary=shapes.vocabulary
        )

    @cached_property
    def fingerprint(self) -> str:
        """Digest of ids, labels, masks and features of every split."""
        return _fingerprint(self.dataset)

    def oracle(self, name: str) -> Oracle | None:
        """Bayes-optimal predictions for masks of a split; None where nobody knows them."""
        if self.world is None:
            return None
        return synthetic.make_oracle(self.world, self.split(name).features, self.form, self.cuts)


def open_source(config: DataConfig, form: str = "number", *, trained: bool = False) -> Source:
    """Make or read the data of a config.

    Args:
        config: its section data.
        form: of the labels that the task needs; `data.cuts` make classes or tasks of numbers,
            after `data.label_shift`.
        trained: no training split is needed, for data that a network is only tried on; what lacks
            the splits for a validation split, or for folds, is taken as it is.

    Raises:
        DataError: a file that cannot be read or used, whose labels are of another form, or that
            has the same sample in two of train, valid and test.
        ConfigError: options of the built-in data, or cut points, that do not fit.
    """
    labels.check_cuts(config.cuts, form)
    if config.source == "synthetic" and form != "number" and not config.cuts:
        raise ConfigError(
            "data.cuts: found nothing, expected cut points, because the built-in labels are "
            "numbers and the task is not: give --data.cuts [0] or more of them."
        )
    world = None
    if config.source == "synthetic":
        dataset, world = synthetic.make_dataset(config.synthetic, config.modalities)
    else:
        dataset = _loaded(config)
        dataset = labels.choose_columns(dataset, config.label_column)
        dataset = _shift_labels(dataset, config.label_shift)
    dataset = labels.to_form(dataset, form, config.cuts)
    names = set(dataset.splits)
    if config.valid_share and not (trained and "train" not in names):
        dataset = carve_valid(dataset, config.valid_share, config.fold_seed)
    if config.folds and not (trained and not set(config.pooled) <= names):
        dataset = fold_split(
            dataset,
            folds=config.folds,
            fold=config.fold,
            pooled=config.pooled,
            seed=config.fold_seed,
            allow_test=config.allow_pooled_test,
        )
    if config.source == "file":
        found = overlaps.find(dataset)
        notes = (*dataset.notes, *overlaps.check(found, config.allow_duplicates))
        dataset = dataclasses.replace(dataset, notes=notes)
    dataset, vocabulary = tokens.to_ids(dataset)
    if form == "class" and len(dataset.classes) == 1 and not trained:
        raise DataError(
            f"labels: found one class, {dataset.classes[0]}, in all splits, expected two or more: "
            "there is nothing to learn."
        )
    outputs = labels.outputs(dataset, form, config.cuts)
    placed = choose(config.placement, dataset)
    return Source(dataset, world, form, outputs, config.cuts, vocabulary, placed)


def _loaded(config: DataConfig) -> Dataset:
    assert config.path is not None  # config.check
    stays = stays_in_file(config.placement, config.path, config.modalities, config.format)
    format = "store" if stays else config.format
    try:
        return load(
            config.path,
            config.modalities,
            format=format,
            bad_values=config.bad_values,
            stays=stays,
        )
    except OutOfMemory as error:
        if config.placement != "auto":
            raise
        raise OutOfMemory(
            f"{error}; or convert it first, bin/prepare {config.path} --output STORE.h5, and give "
            "the store: what does not fit the memory is then read while training"
        ) from None


def _fingerprint(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for name, split in sorted(dataset.splits.items()):
        digest.update(f"{name}\0{len(split)}\0".encode() + "\0".join(split.ids).encode())
        digest.update(np.ascontiguousarray(split.labels).tobytes())
        for m in split.modalities:
            digest.update(f"{m}{split.features[m].shape}".encode())
            digest.update(np.packbits(split.valid[m]).tobytes())
            for rows in pieces(split.features[m]):  # which may stay in a file
                digest.update(np.ascontiguousarray(split.features[m][rows]).tobytes())
    return digest.hexdigest()[:16]


def _shift_labels(dataset: Dataset, shift: float) -> Dataset:
    splits = {
        name: dataclasses.replace(split, labels=split.labels + np.float32(shift))
        for name, split in dataset.splits.items()
    }
    return dataclasses.replace(dataset, splits=splits)
