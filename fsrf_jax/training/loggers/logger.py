"""What a logger is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # a command that trains nothing should not wait for what training imports
    from fsrf_jax.training.loop import EpochRecord


class Logger(Protocol):
    """A place where the epochs of one run are shown; made when its training begins or goes on.

    What it raises ends the logger, and never the training. `metrics.jsonl`, which resuming relies
    on, is no logger: it is always written, and before any of them is called.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], epochs_done: int) -> None:
        """Open it.

        Args:
            folder: the run folder.
            config: every option by its dotted name.
            epochs_done: epochs behind the state that training goes on from. Later epochs, logged
                before an interruption, come again with equal values.
        """

    def log(self, record: "EpochRecord") -> None:
        """Show one epoch."""

    def results(self, figures: Mapping[str, float]) -> None:
        """Show what the trained network reached, by name, such as `test/average/mae`."""
        del figures

    def close(self, failed: bool) -> None:
        """Close it; `failed` where the run was interrupted or ended by an error."""
        del failed


def scalars(record: "EpochRecord") -> dict[str, float]:
    """An epoch's numbers by the names that charts have: `validation/error`, `training/TERM`.

    And `training/bad_steps` where there are any.
    """
    terms = {f"training/{name}": value for name, value in record.terms.items()}
    bad = {"training/bad_steps": float(record.bad_steps)} if record.bad_steps else {}
    return {"validation/error": record.validation_error, **terms, **bad}
