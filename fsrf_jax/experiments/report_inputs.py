"""What a report needs besides the results: the data and the codes, if they can still be had."""

from collections.abc import Sequence

from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.protocols.files import from_description
from fsrf_jax.experiments.experiment import Experiment
from fsrf_jax.reporting.material import Absent, Material
from fsrf_jax.source import Source, open_source
from fsrf_jax.types import Codes


def open_data(runs: Sequence[Material]) -> Source | Absent:
    """The data of the runs, opened as the first one that has a config says.

    Args:
        runs: evaluated on the same samples.
    """
    run = next((run for run in runs if run.config is not None), None)
    if run is None or run.config is None:
        return Absent("no run names its data.")
    try:
        source = open_source(run.config.data, run.config.task.form)
        source.split(run.results["split"])
    except (UserError, OSError) as error:
        return Absent(f"they cannot be opened now ({error})")
    found, expected = source.fingerprint, run.results["data_fingerprint"]
    if found != expected:
        return Absent(
            f"those that the config names are no longer the same (fingerprint {found}, expected "
            f"{expected})."
        )
    return source


def codes_of(run: Material, source: Source | Absent) -> Codes | Absent:
    """Codes of a run's best network for the evaluated split, every valid frame observed."""
    if isinstance(source, Absent):
        return Absent(f"they need the data, and {source.reason}")
    if run.config is None or not run.evaluated.path.with_name("checkpoints").is_dir():
        return Absent("there is no checkpoint.")
    described, where = run.results["protocol_description"], str(run.evaluated.path)
    try:
        protocol = from_description(described, run.config.data.modalities, where)
        made = Experiment.make(run.config, source, protocol)
        state, normaliser = made.load(run.evaluated.path.parent)
        samples = source.split(run.results["split"])
        return made.encoder(state, normaliser, samples)(samples.present)
    except UserError as error:
        return Absent(f"the checkpoint cannot be used ({error})")
