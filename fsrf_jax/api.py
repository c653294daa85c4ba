"""Runs from Python: `train`, `load` and `evaluate`, on the classes `Run` and `Model`.

The commands are users of it. A run lives in its folder; an object of `Run` only looks into it, also
while another process trains there. What goes wrong is raised, see `fsrf_jax.errors`; nothing exits.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from fsrf_jax import arguments, hosts
from fsrf_jax.config import Config
from fsrf_jax.config import check as check_config
from fsrf_jax.data.dataset import Masks
from fsrf_jax.data.normalise import Normaliser
from fsrf_jax.errors import ConfigError, RunError
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.evaluation.results import Results, read_results
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.experiment import Experiment, open_experiment, protocol_of
from fsrf_jax.experiments.exported import is_export, read_config, read_manifest
from fsrf_jax.experiments.model import Model
from fsrf_jax.experiments.network import Network
from fsrf_jax.experiments.train import train_run
from fsrf_jax.journal import read_journal
from fsrf_jax.progress import Say, silent, training_progress
from fsrf_jax.reporting.profile import describe
from fsrf_jax.source import Shapes, Source, open_source
from fsrf_jax.training.checkpoints import Which
from fsrf_jax.training.state import TrainState
from fsrf_jax.types import Codes


class Run(Model):
    """A run in its folder: what it was asked, how it went, and the network that came out.

    Made by `train` and `load`.

    Attributes:
        folder: the run folder.
        config: the experiment.
        checkpoint: which one the network is read from: the `newest`, or the `last_whole` one.

    Example:
        >>> run.config.method.name
        'fsrf'
        >>> run.history[-1]["epoch"] == run.config.training.epochs
        True
        >>> run.codes().fused.shape == (run.results["n"], run.config.model.width)
        True
    """

    def __init__(
        self, folder: str | Path, config: Config, checkpoint: Which = "newest", say: Say = silent
    ) -> None:
        super().__init__(folder, config)
        self.checkpoint = checkpoint
        self._say = say

    @property
    def results(self) -> Results:
        """What results.json holds.

        Raises:
            RunError: the run is not finished, or the file is damaged or of another version.
        """
        path = self.folder / "results.json"
        if not path.is_file():
            raise RunError(
                f"{self.folder}: found no results.json: the run is not finished, or a teacher, "
                "which nobody evaluated."
            )
        return read_results(path)

    @property
    def history(self) -> list[dict[str, float]]:
        """What every epoch so far gave: `epoch`, `validation_error`, `best_epoch`, `bad_steps`
        and all terms.

        Lines that were cut off or damaged are left out.

        Raises:
            RunError: the folder is gone.
        """
        if not self.folder.is_dir():
            raise RunError(f"{self.folder}: found no such folder, expected that of a run.")
        return read_journal(self.folder)

    def evaluate(self, protocol: str | None = None, **settings: Any) -> Results:
        """Evaluate the best network so far; nothing is written.

        Args:
            protocol: name or file; None: that of the run.
            settings: other fields of `config.evaluation`: `split`, `mask_seeds`, `bootstrap`, ..

        Returns:
            What results.json would hold.

        Raises:
            ConfigError: there is no such protocol or setting.
            DataError: the data cannot be read.
            RunError: there is no checkpoint yet, or the data are not those of the run.
        """
        if protocol is not None:
            settings["protocol"] = protocol
        changes = {f"evaluation.{name}": value for name, value in settings.items()}
        config = arguments.load(self.config, changes)
        if protocol is None:
            resolved = protocol_of(self.folder, config)
        else:
            resolved = resolve(protocol, config.data.modalities)
        experiment = Experiment.make(config, self._source, resolved, self._shapes)
        return experiment.evaluate(self.folder, *self._load(experiment))[1]

    def codes(self, split: str | None = None, observed: Masks | None = None) -> Codes:
        """The codes that the best network so far makes of a split, as NumPy arrays.

        Args:
            split: its name; None: the one that is evaluated.
            observed: bool [n, t] per modality; None: all frames that are present.

        Raises:
            NoCodesError: the method has no codes.
            DataError, RunError: as for `evaluate`.
        """
        samples = self._source.split(split or self.config.evaluation.split)
        if observed is not None and set(observed) != set(samples.valid):
            found, names = sorted(observed), sorted(samples.valid)
            raise ConfigError(
                f"observed: found masks of {found}, expected one for each of {names}."
            )
        any_protocol = resolve("corrkd", self.config.data.modalities)  # codes are of none
        experiment = Experiment.make(self.config, self._source, any_protocol, self._shapes)
        encoder = experiment.encoder(*self._load(experiment), samples)
        return encoder(samples.present if observed is None else observed)

    @cached_property
    def network(self) -> Network:
        """The best network so far, with all that it needs to predict.

        Raises:
            RunError: there is no checkpoint yet, or it is damaged.
        """
        shapes = self._shapes or self._source.shapes
        return Network.open(self.folder, self.config, shapes, self.checkpoint, self._say)

    def _load(self, experiment: Experiment) -> tuple[TrainState, Normaliser]:
        return experiment.load(self.folder, self.checkpoint, self._say)

    @property
    def _fingerprint(self) -> str | None:
        return run_folder.read_fingerprint(self.folder)

    @property
    def _shapes(self) -> Shapes | None:
        return run_folder.read_shapes(self.folder)

    @cached_property
    def _source(self) -> Source:
        source = open_source(self.config.data, self.config.task.form, trained=True)
        run_folder.check_data(self.folder, source.fingerprint, "load the run with its data_path")
        return source


def train(
    config: arguments.ConfigLike | Sequence[arguments.ConfigLike],
    overrides: Mapping[str, Any] | None = None,
    *,
    folder: str | Path | None = None,
    overwrite: bool = False,
) -> Run:
    """Train and evaluate a method, as `bin/train` does: a run that was interrupted goes on.

    Several processes that have called `jax.distributed.initialize` train one run together, if each
    calls this with the same arguments; the first alone writes and shows anything.

    Args:
        config: a `Config`; a mapping of sections, or of dotted names; a YAML file; or a list of
            these, each on top of those before it.
        overrides: values by dotted name, in place of those of the config.
        folder: run folder; None: `output.directory` of the config, or a new one in runs/.
        overwrite: start anew; a run folder that is there is renamed, never deleted.

    Raises:
        ConfigError, DataError, RunError: as the message says.
        InterruptedTraining: SIGINT or SIGTERM came; the same call goes on.

    Example:
        >>> few = {f"data.synthetic.{split}": 32 for split in ("train", "valid", "test")}
        >>> tiny = few | {"output.progress": False}
        >>> overrides = {"method.name": "late_fusion", "training.epochs": 1}
        >>> run = fsrf_jax.train(tiny, overrides, folder="runs/tiny")
        >>> sorted(run.results["conditions"][0]["metrics"])[:2]
        ['acc2_has0', 'acc2_non0']
    """
    config, name = arguments.load(config, overrides), _name(config)
    place = run_folder.choose(config, name) if folder is None else Path(folder)
    if hosts.is_first():
        if overwrite:
            run_folder.check_own(place)
        else:
            run_folder.check_same(place, config)
    experiment = open_experiment(config)
    console = Console()
    if hosts.is_first() and overwrite and (old := run_folder.set_aside(place)):
        console.out(f"The old run folder is now {old}.", highlight=False)
    shown = config.output.progress and hosts.is_first()
    if shown:
        dataset = experiment.source.dataset
        notes = [f"- {note}" for note in dataset.notes]
        for line in (describe(dataset), *notes, f"Run folder: {place}"):
            console.out(line, highlight=False)
    say = partial(console.out, highlight=False) if shown else silent
    train_run(experiment, place, partial(training_progress, console, shown=shown), say)
    return Run(place, config)


def load(
    folder: str | Path,
    *,
    data_path: str | Path | None = None,
    checkpoint: Which = "newest",
    say: Say = silent,
) -> Run | Model:
    """Open a run folder that `train` made, finished or not, as a `Run`; or an export as a `Model`.

    Args:
        folder: the run folder, or that of an export.
        data_path: of a run: the data file, if it was moved.
        checkpoint: of a run: `last_whole` reads the newest one that is not damaged.
        say: is given a line on a damaged checkpoint that was passed over.

    Raises:
        RunError: it is neither, or an export that is damaged or of another version.

    Example:
        >>> fsrf_jax.load(run.folder).results == run.results
        True
    """
    folder = Path(folder)
    if not is_export(folder):
        return load_run(folder, data_path=data_path, checkpoint=checkpoint, say=say)
    if data_path is not None:
        raise RunError(f"{folder}: is an export, which has no data: leave data_path out.")
    if checkpoint != "newest":
        raise RunError(f"{folder}: is an export, which has no checkpoints: leave checkpoint out.")
    read_manifest(folder)
    return Model(folder, read_config(folder))


def load_run(
    folder: str | Path,
    *,
    data_path: str | Path | None = None,
    checkpoint: Which = "newest",
    say: Say = silent,
) -> Run:
    """As `load`, of a run folder alone.

    Raises:
        ConfigError: there is no such choice of a checkpoint.
        RunError: it is no run folder.
    """
    folder = Path(folder)
    if checkpoint not in get_args(Which):
        raise ConfigError(
            f"checkpoint: found {checkpoint!r}, expected one of {', '.join(get_args(Which))}."
        )
    if is_export(folder):
        raise RunError(
            f"{folder}: is an export, which has no data and no results, expected a run folder made "
            "by train."
        )
    saved = folder / "config.yaml"
    if not saved.is_file():
        raise RunError(f"{folder}: found no config.yaml, expected a run folder made by train.")
    config = arguments.load_saved(saved)
    if data_path is not None:
        data = dataclasses.replace(config.data, path=str(data_path))
        config = check_config(dataclasses.replace(config, data=data))
    return Run(folder, config, checkpoint, say)


def evaluate(run: Model | str | Path, protocol: str | None = None, **settings: Any) -> Results:
    """Evaluate a run, or the run of a folder; see `Run.evaluate`.

    Example:
        >>> results = fsrf_jax.evaluate(run, protocol="lnln", bootstrap=0)
        >>> [condition["name"] for condition in results["conditions"]][:2]
        ['rate=0.0', 'rate=0.1']
    """
    opened = (
        run if isinstance(run, Run) else load_run(run.folder if isinstance(run, Model) else run)
    )
    return opened.evaluate(protocol, **settings)


def _name(config: arguments.ConfigLike | Sequence[arguments.ConfigLike]) -> str:
    """What the default run folder is named after: the files."""
    sources = [config] if isinstance(config, Config | Mapping | str | Path) else config
    return "-".join(Path(s).stem for s in sources if isinstance(s, str | Path)) or "run"
