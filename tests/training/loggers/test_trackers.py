"""W&B and MLflow: what they are asked, by packages that stand in; and the real ones, offline."""

import sys

import pytest
from logger_case import CONFIG, Mlflow, Wandb, numbers, record

from fsrf_jax.training.loggers import LOGGERS

FIGURES = {"test/average/mae": 1.25, "test/all_conditions/mae": 1.5}


@pytest.fixture
def wandb(monkeypatch):
    fake = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return fake


@pytest.fixture
def mlflow(monkeypatch):
    fake = Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", fake.entities)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return fake


def log(name, folder, done, epochs, failed=False, config=CONFIG):
    logger = LOGGERS[name](folder, config, done)
    for epoch in epochs:
        logger.log(record(epoch))
    if not failed:
        logger.results(FIGURES)
    logger.close(failed)


def test_wandb_is_given_config_epochs_and_results(wandb, tmp_path):
    log("wandb", tmp_path, 0, [1, 2])
    (made,) = wandb.made
    assert made["config"] == CONFIG
    assert (made["project"], made["name"]) == ("fsrf_jax", tmp_path.as_posix())
    assert (made["dir"], made["resume"]) == (str(tmp_path), "allow")
    assert wandb.steps == [(1, numbers(1)), (2, numbers(2))]
    assert wandb.summary == FIGURES
    assert wandb.codes == [0]


def test_wandb_resumes_the_same_run_and_another_folder_is_another(wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    for folder, failed in (("one", True), ("one", False), ("two", False)):
        (tmp_path / folder).mkdir(exist_ok=True)
        log("wandb", tmp_path / folder, 0, [1], failed)
    first, again, other = (made["id"] for made in wandb.made)
    assert first == again != other
    assert (tmp_path / "one" / "wandb" / "run_id.txt").read_text() == f"{first}\n"
    assert wandb.codes == [1, 0, 0]
    assert {made["project"] for made in wandb.made} == {"mine"}


def test_mlflow_is_given_config_epochs_and_results(mlflow, tmp_path):
    many = {f"section.{number}": "x" * 7000 for number in range(250)}
    log("mlflow", tmp_path, 0, [1, 2], config=CONFIG | many)
    place = tmp_path / "mlflow"
    assert mlflow.addresses == [f"sqlite:///{place}/mlflow.db"]
    (run,) = mlflow.runs.values()
    assert run["experiment"] == f"experiment fsrf_jax {(place / 'artifacts').as_uri()}"
    assert (run["name"], run["status"]) == (tmp_path.as_posix(), "FINISHED")
    found = dict(run["params"])
    assert {name: found[name] for name in CONFIG} == {k: str(v) for k, v in CONFIG.items()}
    assert len(found) == len(CONFIG) + 250
    assert max(map(len, found.values())) == 6000
    assert max(run["batches"]) <= 100
    expected = [(name, value, e) for e in (1, 2) for name, value in numbers(e).items()]
    assert run["metrics"] == expected + [(name, value, 2) for name, value in FIGURES.items()]


def test_mlflow_resumes_the_same_run_and_logs_no_epoch_twice(mlflow, tmp_path):
    log("mlflow", tmp_path, 0, [1, 2, 3], failed=True)
    (run,) = mlflow.runs.values()
    assert run["status"] == "KILLED"
    log("mlflow", tmp_path, 2, [3, 4], config={"training.epochs": 9})
    assert [step for name, _, step in run["metrics"] if name == "training/task"] == [1, 2, 3, 4]
    assert len(mlflow.runs) == 1
    assert dict(run["params"]) == {name: str(value) for name, value in CONFIG.items()}
    assert run["status"] == "FINISHED"


def test_mlflow_has_another_run_on_another_server(mlflow, tmp_path, monkeypatch):
    log("mlflow", tmp_path, 0, [1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@server")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    for _ in range(2):
        log("mlflow", tmp_path, 1, [2])
    assert mlflow.addresses[1:] == ["http://me:secret@server"] * 2
    assert [run["experiment"] for run in mlflow.runs.values()][1] == "experiment mine None"
    assert len(mlflow.runs) == 2
    for path in (tmp_path / "mlflow").iterdir():
        assert "secret" not in path.name + path.read_text()


@pytest.mark.filterwarnings("ignore")
def test_the_real_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for done, epochs in ((0, [1, 2]), (2, [3])):
        log("wandb", tmp_path, done, epochs)
    number = (tmp_path / "wandb" / "run_id.txt").read_text().strip()
    kept = list((tmp_path / "wandb").glob(f"offline-run-*-{number}"))
    assert kept
    assert any(b"validation/error" in p.read_bytes() for p in tmp_path.rglob("*.wandb"))


@pytest.mark.filterwarnings("ignore")
def test_the_real_mlflow_in_the_run_folder(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    log("mlflow", tmp_path, 0, [1, 2, 3], failed=True)
    log("mlflow", tmp_path, 2, [3, 4])
    place = tmp_path / "mlflow"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    run = client.get_run((place / "run_id-local.txt").read_text().strip())
    assert run.info.status == "FINISHED"
    assert run.data.params == {name: str(value) for name, value in CONFIG.items()}
    history = client.get_metric_history(run.info.run_id, "training/total")
    assert [(metric.step, metric.value) for metric in history] == [
        (e, 2.0 * e) for e in range(1, 5)
    ]
    assert {name: run.data.metrics[name] for name in FIGURES} == FIGURES
