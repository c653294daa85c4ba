"""What a run writes: results, probes and recovery, each with its tables and pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsrf_jax import sealed
from fsrf_jax.evaluation.evaluate import Evaluation
from fsrf_jax.evaluation.results import Results
from fsrf_jax.evaluation.runs import file_beside, predictions_csv, save_predictions
from fsrf_jax.files import write_text
from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.probes_plot import save_probes_plot
from fsrf_jax.reporting.probes_tables import probes_document, recovery_document
from fsrf_jax.reporting.results_csv import conditions_csv
from fsrf_jax.reporting.results_plot import save_plot
from fsrf_jax.reporting.results_tables import results_document


def averages_of(results: Results) -> dict[str, float]:
    """What loggers are given of results: the averages, such as `test/average/mae`."""
    split, own = results["split"], results["average"]
    named = {"average": own["metrics"], "all_conditions": own["all_conditions"]["metrics"]}
    return {
        f"{split}/{average}/{metric}": value
        for average, metrics in named.items()
        for metric, value in metrics.items()
        if value is not None
    }


def write_recovery(path: Path, recovery: Mapping[str, Any]) -> None:
    """Write FILE.json, and with it the table FILE.md."""
    write_text(path.with_suffix(".md"), to_markdown(recovery_document(recovery)))
    sealed.write(path, recovery)


def write_probes(path: Path, probes: Mapping[str, Any]) -> None:
    """Write FILE.json, and with it the tables FILE.md and the figure FILE.png."""
    write_text(path.with_suffix(".md"), to_markdown(probes_document(probes)))
    save_probes_plot(path.with_suffix(".png"), probes)
    sealed.write(path, probes)


def write_results(path: Path, evaluation: Evaluation, results: Results) -> None:
    """Write FILE.json, and with it the tables, the plot and the predictions.

    For `results.json` these are results.md, results.png, conditions.csv, predictions.csv and
    predictions.npz; for any other FILE.json, FILE.md, FILE.png, FILE.conditions.csv and so on.
    """
    save_predictions(file_beside(path, "predictions.npz"), evaluation)
    write_text(file_beside(path, "predictions.csv"), predictions_csv(evaluation))
    write_text(file_beside(path, "conditions.csv"), conditions_csv(results))
    write_text(path.with_suffix(".md"), to_markdown(results_document(results)))
    save_plot(path.with_suffix(".png"), results)
    sealed.write(path, results)  # last: whoever finds it finds the others
