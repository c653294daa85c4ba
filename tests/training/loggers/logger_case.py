"""Epochs to be logged, and what stands in for packages that are not installed."""

from types import SimpleNamespace

from fsrf_jax.training.loop import EpochRecord

CONFIG = {"training.epochs": 3, "data.path": None, "evaluation.mask_seeds": [0, 1]}


def record(epoch):
    return EpochRecord(epoch, {"task": 1 / epoch, "total": 2.0 * epoch}, 0.5 * epoch, 1)


def numbers(epoch):
    """What a chart shows of it."""
    return {
        "validation/error": 0.5 * epoch,
        "training/task": 1 / epoch,
        "training/total": 2.0 * epoch,
    }


class Wandb:
    """In place of the package `wandb`: what it was asked, in order."""

    def __init__(self):
        self.made, self.steps, self.summary, self.codes = [], [], {}, []

    def init(self, **options):
        self.made.append(options)
        return SimpleNamespace(
            log=lambda figures, step: self.steps.append((step, figures)),
            summary=SimpleNamespace(update=self.summary.update),
            finish=lambda exit_code: self.codes.append(exit_code),
        )

    @staticmethod
    def Settings(**options):  # noqa: N802
        return options


class Mlflow:
    """In place of the package `mlflow`, whose server keeps runs between clients."""

    def __init__(self):
        self.experiments, self.runs, self.addresses = {}, {}, []
        self.entities = SimpleNamespace(
            Metric=lambda name, value, when, step: (name, value, step),
            Param=lambda name, value: (name, value),
        )

    def MlflowClient(self, tracking_uri):  # noqa: N802
        self.addresses.append(tracking_uri)
        return _Client(self)


class _Client:
    def __init__(self, server):
        self.server = server

    def get_experiment_by_name(self, name):
        known = self.server.experiments
        return SimpleNamespace(experiment_id=known[name]) if name in known else None

    def create_experiment(self, name, artifact_location):
        self.server.experiments[name] = f"experiment {name} {artifact_location}"
        return self.server.experiments[name]

    def create_run(self, experiment_id, run_name):
        number = f"run{len(self.server.runs)}"
        self.server.runs[number] = {
            **{"experiment": experiment_id, "name": run_name, "status": "RUNNING"},
            **{"params": [], "metrics": [], "batches": []},
        }
        return SimpleNamespace(info=SimpleNamespace(run_id=number))

    def update_run(self, run_id, status):
        self.server.runs[run_id]["status"] = status

    set_terminated = update_run

    def log_batch(self, run_id, metrics=(), params=()):
        run = self.server.runs[run_id]
        run["batches"].append(len(metrics) + len(params))
        run["metrics"] += metrics
        run["params"] += params

    def get_metric_history(self, run_id, key):
        found = self.server.runs[run_id]["metrics"]
        return [SimpleNamespace(step=step) for name, _, step in found if name == key]
