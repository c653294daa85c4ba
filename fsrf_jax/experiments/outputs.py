"""What a run writes: results, probes and recovery, each with its tables and pictures."""

from pathlib import Path

from fsrf_jax.evaluation.evaluate import Evaluation
from fsrf_jax.evaluation.results import Results, save_predictions, save_results
from fsrf_jax.files import write_text
from fsrf_jax.reporting import results_plot, results_tables
from fsrf_jax.reporting.probes_plot import save_probes_plot
from fsrf_jax.reporting.probes_tables import probes_markdown
from fsrf_jax.reporting.recovery_table import recovery_markdown
from fsrf_jax.reporting.results_csv import conditions_csv


def write_recovery(path: Path, recovery: Results) -> None:
    """Write FILE.json, and with it the table FILE.md."""
    write_text(path.with_suffix(".md"), recovery_markdown(recovery))
    save_results(path, recovery)


def write_probes(path: Path, probes: Results) -> None:
    """Write FILE.json, and with it the tables FILE.md and the figure FILE.png."""
    write_text(path.with_suffix(".md"), probes_markdown(probes))
    save_probes_plot(path.with_suffix(".png"), probes)
    save_results(path, probes)


def write_results(path: Path, evaluation: Evaluation, results: Results) -> None:
    """Write FILE.json, and with it the table, the plot and the predictions.

    For `results.json` these are results.md, results.png, conditions.csv and predictions.npz; for
    any other FILE.json, FILE.md, FILE.png, FILE.conditions.csv and FILE.predictions.npz.
    """
    save_predictions(predictions_beside(path), evaluation)
    write_text(_beside(path, "conditions.csv"), conditions_csv(results))
    write_text(path.with_suffix(".md"), results_tables.markdown_table(results))
    results_plot.save_plot(path.with_suffix(".png"), results)
    save_results(path, results)  # last: whoever finds it finds the others


def predictions_beside(path: Path) -> Path:
    """Where the predictions of a results file stand."""
    return _beside(path, "predictions.npz")


def _beside(path: Path, name: str) -> Path:
    """Results of a run have NAME beside them, those of FILE.json FILE.NAME."""
    own = path.name == "results.json"
    return path.with_name(name) if own else path.with_suffix(f".{name}")
