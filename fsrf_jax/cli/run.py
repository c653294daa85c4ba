"""What `train` and `evaluate` share: a run's data, network, checkpoint and results."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from fsrf_jax.config import Config
from fsrf_jax.data.normalise import Normaliser
from fsrf_jax.evaluation import plots, tables
from fsrf_jax.evaluation.evaluate import Evaluation, evaluate
from fsrf_jax.evaluation.metrics.choice import choose_family
from fsrf_jax.evaluation.metrics.families import MetricFamily
from fsrf_jax.evaluation.predictor import make_predictor
from fsrf_jax.evaluation.probes.inputs import make_encoder
from fsrf_jax.evaluation.probes.plots import save_probes_plot
from fsrf_jax.evaluation.probes.probe import probe_network
from fsrf_jax.evaluation.probes.recovery import measure_protocol, recovery_markdown
from fsrf_jax.evaluation.probes.tables import probes_markdown
from fsrf_jax.evaluation.protocols.masks import Observer, make_observer
from fsrf_jax.evaluation.protocols.registry import Protocol
from fsrf_jax.evaluation.results import Results, results_dict, save_predictions, save_results
from fsrf_jax.files import replacing
from fsrf_jax.source import Source, fingerprint
from fsrf_jax.training import build, checkpoints, sharding
from fsrf_jax.training.loop import epochs_done
from fsrf_jax.training.state import Method, TrainState, init_state


@dataclass(frozen=True)
class Run:
    """A config and its data, ready to train or to restore.

    Attributes:
        config: the experiment.
        source: its data.
        protocol: under which it is evaluated.
        mesh: all local devices.
        method: what is fixed at compilation.
        family: metrics that fit the labels.
    """

    config: Config
    source: Source
    protocol: Protocol
    mesh: Mesh
    method: Method
    family: MetricFamily

    @classmethod
    def make(cls, config: Config, source: Source, protocol: Protocol) -> "Run":
        """The run of a config, its data and its protocol."""
        train = source.split("train")
        widths = build.feature_widths(train)
        method = build.make_method(config, widths, len(train), source.outputs)
        family = metrics_of(config, source)
        return cls(config, source, protocol, sharding.data_mesh(), method, family)

    def initial_state(self) -> Callable[[], TrainState]:
        """A function that makes the state before the first step, born on all devices."""
        example = build.make_batch(self.source.split("train").head(1))
        replicated = sharding.replicated(self.mesh)
        key = jax.random.key(self.config.training.seed)

        def make() -> TrainState:
            return init_state(self.method, example, key)

        return jax.jit(make, out_shardings=replicated)

    def restore(self, manager: Any, normaliser: Normaliser) -> tuple[TrainState, Normaliser]:
        """State and normaliser of the newest checkpoint; the normaliser given has its shapes."""
        shapes = jax.eval_shape(
            lambda: {"state": self.initial_state()(), "preparation": normaliser.to_tree()}
        )
        place = sharding.replicated(self.mesh)
        target = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes
        )
        arrays = checkpoints.restore(manager, target)
        return arrays["state"], Normaliser.from_tree(arrays["preparation"])

    def evaluate(
        self, state: TrainState, normaliser: Normaliser, observe: Observer | None = None
    ) -> tuple[Evaluation, Results]:
        """Evaluate the best network of a state as the config says.

        Args:
            state: the state.
            normaliser: fitted to the training split.
            observe: the test masks; by default they are drawn.
        """
        settings = self.config.evaluation
        split = self.source.split(settings.split)
        evaluation = evaluate(
            self.protocol,
            split,
            make_predictor(
                self.method.network,
                self.mesh,
                state.best_network,
                normaliser.apply(split),
                settings.batch_size,
            ),
            settings.mask_seeds,
            observe or make_observer(split, settings.mask_seeds),
            self.source.oracle(settings.split),
            self.family,
        )
        results = results_dict(
            evaluation,
            settings.split,
            self.config.training.seed,
            fingerprint(self.source.dataset),
            resamples=settings.bootstrap,
            compat=settings.compat,
        )
        results["epochs_trained"] = epochs_done(self.method, state)
        results["best_epoch"] = int(state.best_epoch)
        results["validation_error"] = float(state.best_score)
        return evaluation, results

    def probe(self, state: TrainState, normaliser: Normaliser) -> Results:
        """What the codes of the best network hold, on the split that is evaluated."""
        settings = self.config.evaluation
        probes = probe_network(
            self.method.network,
            self.mesh,
            state.best_network,
            normaliser.apply(self.source.split(settings.split)),
            settings.batch_size,
            self.source.world,
        )
        digest = fingerprint(self.source.dataset)
        return {"split": settings.split, "data_fingerprint": digest, **probes}

    def recovery(
        self, state: TrainState, normaliser: Normaliser, observe: Observer | None = None
    ) -> Results:
        """How close the fused codes of incomplete views are to the complete views' codes."""
        settings = self.config.evaluation
        split = normaliser.apply(self.source.split(settings.split))
        encoder = make_encoder(
            self.method.network, self.mesh, state.best_network, split, settings.batch_size
        )
        measured = measure_protocol(
            lambda observed: np.asarray(encoder(observed).fused),
            self.protocol,
            settings.mask_seeds,
            observe or make_observer(split, settings.mask_seeds),
            split.valid,
        )
        digest = fingerprint(self.source.dataset)
        return {"split": settings.split, "data_fingerprint": digest, **measured}


def metrics_of(config: Config, source: Source) -> MetricFamily:
    """The metrics that the config asks for, if they fit the labels of all splits."""
    labels = [split.labels for split in source.dataset.splits.values()]
    return choose_family(config.evaluation.metrics, source.form, labels, config.data.tasks)


def write_recovery(path: Path, recovery: Results) -> None:
    """Write FILE.json, and beside it the table FILE.md."""
    with replacing(path.with_suffix(".md")) as temporary:
        temporary.write_text(recovery_markdown(recovery), "utf-8")
    save_results(path, recovery)


def write_probes(path: Path, probes: Results) -> None:
    """Write FILE.json, and beside it the tables FILE.md and the figure FILE.png."""
    with replacing(path.with_suffix(".md")) as temporary:
        temporary.write_text(probes_markdown(probes), "utf-8")
    save_probes_plot(path.with_suffix(".png"), probes)
    save_results(path, probes)


def write_results(path: Path, evaluation: Evaluation, results: Results) -> None:
    """Write FILE.json, and beside it the table, the plot and the predictions.

    For `results.json` these are results.md, results.png and predictions.npz; for any other
    FILE.json, FILE.md, FILE.png and FILE.predictions.npz.
    """
    save_predictions(predictions_beside(path), evaluation)
    with replacing(path.with_suffix(".md")) as temporary:
        temporary.write_text(tables.markdown_table(results), "utf-8")
    plots.save_plot(path.with_suffix(".png"), results)
    save_results(path, results)  # last: whoever finds it finds the others


def predictions_beside(path: Path) -> Path:
    """Where the predictions of a results file stand."""
    if path.name == "results.json":
        return path.with_name("predictions.npz")
    return path.with_suffix(".predictions.npz")


def show_results(console: Console, results: Results) -> None:
    """Print the table of a results file."""
    console.print(tables.terminal_table(results))
