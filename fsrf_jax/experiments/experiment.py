"""A run: a config and its data, ready to train, to restore and to evaluate."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict
from jax.sharding import Mesh

from fsrf_jax import inference, sealed, sharding
from fsrf_jax.config import Config
from fsrf_jax.data.dataset import Masks, Split
from fsrf_jax.data.normalise import Normaliser
from fsrf_jax.errors import NoCodesError
from fsrf_jax.evaluation.evaluate import Answer, Evaluation, drawn, looked_up, once, score
from fsrf_jax.evaluation.metrics.families import MetricFamily, choose_family
from fsrf_jax.evaluation.probes.code_recovery import measure_protocol
from fsrf_jax.evaluation.probes.probe import probe_split
from fsrf_jax.evaluation.protocols.files import from_description, is_file, resolve
from fsrf_jax.evaluation.protocols.masks import Observer, make_observer
from fsrf_jax.evaluation.protocols.registry import Protocol
from fsrf_jax.evaluation.results import Fold, Results
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.experiments.deterministic import ask_for_determinism
from fsrf_jax.experiments.floors import measure_floors
from fsrf_jax.experiments.record import run_record
from fsrf_jax.losses.task import Task
from fsrf_jax.options import Hyper, split
from fsrf_jax.progress import Say, silent
from fsrf_jax.source import Shapes, Source, open_source
from fsrf_jax.training import checkpoints
from fsrf_jax.training.loop import epochs_done, member
from fsrf_jax.training.state import Recipe, TrainState, init_states
from fsrf_jax.training.validation import random_masks

SELECTION_SEED = 1_000_003
"""Mask seed of the conditions that the best epoch is chosen by."""


@dataclass(frozen=True)
class Experiment:
    """A config and its data, ready to train or to restore.

    Attributes:
        config: the experiment.
        source: its data.
        protocol: under which it is evaluated.
        shapes: of the data that it is or was trained on.
        mesh: the devices of this process, which predict.
        recipe: what is fixed at compilation; equal for runs that differ in numbers alone.
        hyper: the recipe's numbers.
        family: metrics that fit the labels.
    """

    config: Config
    source: Source
    protocol: Protocol
    shapes: Shapes
    mesh: Mesh
    recipe: Recipe
    hyper: Hyper
    family: MetricFamily

    @classmethod
    def make(
        cls, config: Config, source: Source, protocol: Protocol, shapes: Shapes | None = None
    ) -> "Experiment":
        """The run of a config, its data and its protocol.

        Args:
            config: the experiment.
            source: its data; for a run that was trained on `shapes`, any others of these.
            protocol: under which it is evaluated.
            shapes: of the data that it was trained on; None: these.

        Raises:
            DataError: there is no training split, or the data are not of these shapes.
        """
        if shapes is not None:
            source = source.as_trained(shapes)
        made_for = shapes or source.shapes
        recipe, hyper = split(make_recipe(config, made_for))
        family = metrics_of(config, source)
        mesh = sharding.data_mesh()
        return cls(config, source, protocol, made_for, mesh, recipe, hyper, family)

    @property
    def fold(self) -> Fold | None:
        """Which fold it is of; None where the data are not dealt into folds."""
        data = self.config.data
        if not data.folds:
            return None
        return {"number": data.fold, "of": data.folds, "train": self.shapes.samples}

    def initial_states(self, seeds: Sequence[int]) -> TrainState:
        """States before the first step, one for each training seed."""
        return initial_states(self.recipe, self.shapes, seeds)

    def validation_masks(self, samples: Split) -> Sequence[Mapping[str, Any]]:
        """The masks of the validation split that the best epoch is chosen by.

        Those of the protocol have a mask seed of their own, and leave out what shows nothing.
        """
        training = self.config.training
        if training.selection == "missingness":
            return random_masks(samples, self.recipe.missing, training.validation_draws)
        observe = make_observer(samples, (SELECTION_SEED,))
        shown = [condition for condition in self.protocol.conditions if condition.shows]
        return [observe(condition, SELECTION_SEED) for condition in shown]

    def restore(
        self, manager: checkpoints.Manager, members: int = 1
    ) -> tuple[TrainState, Normaliser]:
        """States and normaliser of the newest checkpoint."""
        return restore(self.recipe, self.shapes, self.mesh, manager, members)

    def load(
        self, folder: Path, which: checkpoints.Which = "newest", say: Say = silent
    ) -> tuple[TrainState, Normaliser]:
        """State (without the axis p) and normaliser of a checkpoint of a run folder.

        Args:
            folder: of the run.
            which: checkpoint of it.
            say: is given a line on a damaged checkpoint that was passed over.

        Raises:
            RunError: there is none, or it is of another config, or damaged.
        """
        place = folder / "checkpoints"
        with checkpoints.open_manager(place, read_only=True, which=which) as manager:
            states, normaliser = self.restore(manager)
            checkpoints.say_passed_over(manager, say)
        return member(states, 0), normaliser

    def evaluate(
        self,
        folder: Path,
        state: TrainState,
        normaliser: Normaliser,
        observe: Observer | None = None,
    ) -> tuple[Evaluation, Results]:
        """Evaluate the best parameters of one member as the config says.

        Args:
            folder: of the run, which says what trained it.
            state: of one member, without the axis p.
            normaliser: fitted to the training split.
            observe: the test masks; by default they are drawn.
        """
        settings = self.config.evaluation
        samples = self.source.split(settings.split)
        observe_all = observe or make_observer(samples, settings.mask_seeds)
        evaluation = score(
            self.protocol,
            samples,
            self._answer(state, normaliser.apply(samples), observe_all),
            settings.mask_seeds,
            observe_all,
            self.source.oracle(settings.split),
            self.family,
            self.source.dataset.classes,
        )
        results = summarise(
            evaluation,
            settings.split,
            self.config.training.seed,
            self.source.fingerprint,
            resamples=settings.bootstrap,
            compat=settings.compat,
            floors=self._floors(normaliser, observe),
        )
        results["method"] = self.recipe.method.name
        if self.fold is not None:
            results["fold"] = self.fold
        results["epochs_trained"] = epochs_done(self.recipe, state)
        results["best_epoch"] = int(state.best_epoch)
        results["validation_error"] = float(state.best_score)
        results["selection"] = self.config.training.selection
        results["run"] = run_record(
            self.config, self.protocol.name, self.source, self.shapes, folder
        )
        return evaluation, results

    def _answer(self, state: TrainState, samples: Split, observe: Observer) -> Answer:
        """Predictions of normalised samples, under all conditions and mask seeds."""
        settings, recipe = self.config.evaluation, self.recipe
        given = recipe.method, recipe.setting, self.mesh, state.best, samples
        if self.source.placed.kind == "device":
            return once(inference.make_predictor(*given, settings.batch_size))
        asked = drawn(self.protocol.conditions, settings.mask_seeds)
        masks = [observe(*one) for one in asked]
        found = inference.predict_in_parts(*given, masks, settings.batch_size)
        return looked_up(asked, found)

    def _floors(self, normaliser: Normaliser, observe: Observer | None) -> Mapping[str, Evaluation]:
        settings = self.config.evaluation
        if not settings.floors:
            return {}
        asked = (self.protocol, settings.mask_seeds, observe, self.family)
        return measure_floors(self.source, normaliser, *asked, split=settings.split)

    def encoder(
        self, state: TrainState, normaliser: Normaliser, samples: Split
    ) -> inference.Encoder:
        """Observed masks to the codes of samples, by one member's best parameters."""
        return inference.make_encoder(
            self.recipe.method,
            self.recipe.setting,
            self.mesh,
            state.best,
            normaliser.apply(samples),
            self.config.evaluation.batch_size,
        )

    def probe(self, state: TrainState, normaliser: Normaliser) -> dict[str, Any]:
        """What the codes hold, on the split that is evaluated; see `evaluate` for the state."""
        samples = self.source.split(self.config.evaluation.split)
        codes = self.encoder(state, normaliser, samples)(samples.present)
        modalities, world = self.config.data.modalities, self.source.world
        probes = probe_split(codes, modalities, samples, self.recipe.task, world)
        return {**self._of_data(), **probes}

    def recovery(
        self, state: TrainState, normaliser: Normaliser, observe: Observer | None = None
    ) -> dict[str, Any]:
        """How close the fused codes of incomplete views are to the complete views' codes."""
        settings = self.config.evaluation
        samples = self.source.split(settings.split)
        encoder = self.encoder(state, normaliser, samples)

        def fused(observed: Masks) -> np.ndarray:
            codes = encoder(observed)
            if codes.fused is None:
                raise NoCodesError(f"The method {self.recipe.method.name} has no fused code.")
            return np.asarray(codes.fused)

        measured = measure_protocol(
            fused,
            self.protocol,
            settings.mask_seeds,
            observe or make_observer(samples, settings.mask_seeds),
            samples.present,
        )
        return {**self._of_data(), **measured}

    def _of_data(self) -> dict[str, Any]:
        split, digest = self.config.evaluation.split, self.source.fingerprint
        return {"split": split, "data_fingerprint": digest}


def initial_states(recipe: Recipe, shapes: Shapes, seeds: Sequence[int]) -> TrainState:
    """States before the first step, one for each training seed."""
    columns = shapes.outputs if recipe.task.form == "binary" else 0
    example = inference.example_batch(shapes.frames, shapes.features, shapes.vocabulary, columns)
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    return init_states(recipe, example, keys)


def restore(
    recipe: Recipe, shapes: Shapes, mesh: Mesh, manager: checkpoints.Manager, members: int = 1
) -> tuple[TrainState, Normaliser]:
    """States and normaliser of the newest checkpoint of a run on data of these shapes."""
    numbers = {m: f for m, f in shapes.features.items() if m not in shapes.vocabulary}
    empty = Normaliser.shaped(numbers)
    wanted = jax.eval_shape(
        lambda: {
            "state": initial_states(recipe, shapes, [0] * members),
            "preparation": empty.to_tree(),
        }
    )
    place = sharding.replicated(mesh)
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), wanted)
    arrays = checkpoints.restore(manager, target)
    return arrays["state"], Normaliser.from_tree(arrays["preparation"])


def open_experiment(config: Config) -> Experiment:
    """The run of a config: protocol and data are opened, and their splits looked for.

    Raises:
        ConfigError: there is no such protocol, the metrics do not fit the labels, or it is too
            late for `training.deterministic`.
        DataError: the data cannot be read, or lack a split.
    """
    if config.training.deterministic:
        ask_for_determinism()
    protocol = resolve(config.evaluation.protocol, config.data.modalities)
    source = open_source(config.data, config.task.form)
    for name in ("train", "valid", config.evaluation.split):
        source.split(name)
    return Experiment.make(config, source, protocol)


def protocol_of(folder: Path, config: Config) -> Protocol:
    """The protocol of a run's config; of its results, where its own file may be gone or changed."""
    name, modalities = config.evaluation.protocol, config.data.modalities
    path = folder / "results.json"
    if is_file(name) and path.exists():
        remedy = f"remove it, if {name} still describes the protocol"
        described = sealed.read(path, remedy).get("protocol_description")
        if described is not None:
            return from_description(described, modalities, str(path))
    return resolve(name, modalities)


def make_recipe(config: Config, shapes: Shapes) -> Recipe:
    """What a config trains by, on data of these shapes."""
    # Without need for them the counts stay out of what compiles, so that data share programs.
    counts = shapes.class_counts if config.task.class_weights == "balanced" else ()
    return Recipe(
        method=config.method,
        task=Task(**asdict(config.task), outputs=shapes.outputs, class_counts=counts),
        model=config.model,
        missing=config.missing,
        optimizer=config.optimizer,
        steps_per_epoch=-(-shapes.samples // config.training.batch_size),
        epochs=config.training.epochs,
        patience=config.training.patience,
        vocabulary=FrozenDict(shapes.vocabulary),
        freeze=config.training.freeze,
        bad_steps=config.training.bad_steps,
    )


def teacher_config(config: Config, folder: Path) -> Config | None:
    """The config of the teacher that a config's method asks for, as a run in a folder, or None.

    It is the same in everything but its method and its missingness, which is also what it is
    chosen by: a teacher of complete samples need not be good at incomplete ones.
    """
    wanted = config.method.teacher_method()
    if wanted is None:
        return None
    output = replace(config.output, directory=str(folder))
    training = replace(config.training, selection="missingness")
    return replace(
        config, method=wanted.method, missing=wanted.missing, training=training, output=output
    )


def metrics_of(config: Config, source: Source) -> MetricFamily:
    """The metrics that the config asks for, if they fit the labels of all splits."""
    labels = [split.labels for split in source.dataset.splits.values()]
    return choose_family(config.evaluation.metrics, source.form, labels, config.data.tasks)
