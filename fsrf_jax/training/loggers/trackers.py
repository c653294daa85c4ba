"""Loggers of packages of their own, which are imported only when they are asked for."""

import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsrf_jax.files import write_text
from fsrf_jax.training.loggers.logger import Logger, scalars

if TYPE_CHECKING:
    from fsrf_jax.training.loop import EpochRecord

PROJECT = "fsrf_jax"
"""The project or experiment, unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME names another."""
LONGEST, MOST = 6000, 100  # of an mlflow parameter, and in one request


class Wandb(Logger):
    """Weights & Biases: files in RUN/wandb; WANDB_MODE=offline keeps it to them.

    A resumed run has the id of before, which stands in RUN/wandb/run_id.txt. W&B takes no step
    twice, so an epoch that comes again is not shown again.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], epochs_done: int) -> None:
        del epochs_done
        import wandb

        place = folder / "wandb"
        place.mkdir(exist_ok=True)
        identity = place / "run_id.txt"
        if not identity.exists():
            write_text(identity, secrets.token_hex(4) + "\n")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=folder.as_posix(),
            id=identity.read_text("utf-8").strip(),
            resume="allow",
            dir=str(folder),
            config=dict(config),
            allow_val_change=True,  # more epochs, for instance
            reinit="create_new",  # members of a population are logged side by side
            settings=wandb.Settings(console="off"),
        )

    def log(self, record: "EpochRecord") -> None:
        """One step, numbered by the epoch."""
        self.run.log(scalars(record), step=record.epoch)

    def results(self, figures: Mapping[str, float]) -> None:
        """In the run's summary."""
        self.run.summary.update(dict(figures))

    def close(self, failed: bool) -> None:
        """Send what is still here."""
        self.run.finish(exit_code=int(failed))


class Mlflow(Logger):
    """MLflow: the server of MLFLOW_TRACKING_URI, or the database RUN/mlflow/mlflow.db.

    A resumed run goes on as the same run, whose id stands in RUN/mlflow; epochs that it has
    already are not logged again.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], epochs_done: int) -> None:
        del epochs_done
        from mlflow import MlflowClient

        place = (folder / "mlflow").absolute()
        place.mkdir(exist_ok=True)
        given = os.environ.get("MLFLOW_TRACKING_URI") or None
        self.client = MlflowClient(tracking_uri=given or f"sqlite:///{place / 'mlflow.db'}")
        # Not the address itself, which may hold a password.
        server = hashlib.sha256(given.encode()).hexdigest()[:8] if given else "local"
        identity = place / f"run_id-{server}.txt"
        self.last = 0
        if identity.exists():
            self.run_id = identity.read_text("utf-8").strip()
            self.client.update_run(self.run_id, status="RUNNING")
            known = self.client.get_metric_history(self.run_id, "validation/error")
            self.last = max((metric.step for metric in known), default=0)
        else:
            self.run_id = self._new_run(folder, None if given else (place / "artifacts").as_uri())
            self._log_parameters(config)
            write_text(identity, self.run_id + "\n")

    def _new_run(self, folder: Path, artifacts: str | None) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self.client.get_experiment_by_name(name)
        if found is None:
            number = self.client.create_experiment(name, artifact_location=artifacts)
        else:
            number = found.experiment_id
        return self.client.create_run(number, run_name=folder.as_posix()).info.run_id

    def _log_parameters(self, config: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        made = [Param(name, str(value)[:LONGEST]) for name, value in config.items()]
        for start in range(0, len(made), MOST):
            self.client.log_batch(self.run_id, params=made[start : start + MOST])

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        made = [Metric(name, value, now, step) for name, value in figures.items()]
        self.client.log_batch(self.run_id, metrics=made)

    def log(self, record: "EpochRecord") -> None:
        """One step, numbered by the epoch."""
        if record.epoch > self.last:
            self._log(scalars(record), record.epoch)
            self.last = record.epoch

    def results(self, figures: Mapping[str, float]) -> None:
        """At the step of the last epoch."""
        self._log(figures, self.last)

    def close(self, failed: bool) -> None:
        """Say how the run ended; one that was stopped may go on."""
        self.client.set_terminated(self.run_id, "KILLED" if failed else "FINISHED")
