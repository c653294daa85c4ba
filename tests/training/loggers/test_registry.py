"""Which loggers there are; and that none of them can stop a training."""

import sys
from types import ModuleType

import pytest
from logger_case import CONFIG, Wandb, record

from fsrf_jax import arguments
from fsrf_jax.errors import ConfigError
from fsrf_jax.training.loggers import LOGGERS, Logger, Loggers, check_packages


class Fragile(Logger):
    """Fails in what `fails` names; `calls` is all that was asked of any."""

    fails, calls = None, []

    def __init__(self, folder, config, epochs_done):
        self._do("open", (folder, config, epochs_done))

    def _do(self, what, argument):
        self.calls.append((what, argument))
        if self.fails == what:
            raise ConnectionError(f"no network\nat {what}")

    def log(self, record):
        self._do("log", record.epoch)

    def results(self, figures):
        self._do("results", figures)

    def close(self, failed):
        self._do("close", failed)


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.setitem(LOGGERS, "fragile", Fragile)
    monkeypatch.setattr(Fragile, "calls", [])
    return Fragile.calls


def run(folder, *names):
    with Loggers(names, folder, CONFIG) as loggers:
        loggers.open(0)
        for epoch in (1, 2):
            loggers.log(record(epoch))
        loggers.results({"a": 1.0})


def test_the_default_is_tensorboard_alone():
    assert arguments.load({}).output.loggers == ("tensorboard",)
    assert arguments.load({"output.loggers": []}).output.loggers == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["csv", "wandbb"],
            "output.loggers: found 'wandbb', expected some of tensorboard, csv, wandb, mlflow; "
            "did you mean 'wandb'?",
        ),
        (["x"], "output.loggers: found 'x', expected some of tensorboard, csv, wandb, mlflow."),
        (["csv", "csv"], "output.loggers: found ['csv', 'csv'], expected different names."),
    ],
)
def test_names_that_there_are_not(names, message):
    with pytest.raises(ConfigError) as caught:
        arguments.load({"output.loggers": names})
    assert str(caught.value) == message


def test_all_are_asked_in_order(calls, tmp_path, capsys):
    run(tmp_path, "csv", "fragile")
    assert calls == [
        *[("open", (tmp_path, CONFIG, 0)), ("log", 1), ("log", 2)],
        *[("results", {"a": 1.0}), ("close", False)],
    ]
    assert capsys.readouterr() == ("", "")
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


def test_one_that_is_not_opened_does_nothing(calls, tmp_path):
    with Loggers(("fragile", "csv"), tmp_path, CONFIG) as loggers:
        loggers.log(record(1))
        loggers.results({})
    assert calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fails", "count"), [("open", 1), ("log", 2), ("results", 4), ("close", 5)]
)
def test_one_that_fails_is_one_warning_and_the_others_go_on(
    calls, tmp_path, capsys, monkeypatch, fails, count
):
    monkeypatch.setattr(Fragile, "fails", fails)
    run(tmp_path, "fragile", "csv")
    assert len(calls) == count
    assert capsys.readouterr().err == (
        "warning: the logger fragile failed (no network): it logs no more of this run; training "
        "goes on, and metrics.jsonl has every epoch\n"
    )
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


def test_how_the_run_ended_is_told(calls, tmp_path):
    def interrupted():
        with Loggers(("fragile",), tmp_path, CONFIG) as loggers:
            loggers.open(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert calls == [("open", (tmp_path, CONFIG, 3)), ("close", True)]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_not_installed(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    message = (
        rf"^output\.loggers: found {name}, but its package cannot be imported \(.*{name}.*\): "
        rf'pip install "fsrf-jax\[{name}\]", or leave it out\.$'
    )
    with pytest.raises(ConfigError, match=message):
        check_packages(("csv", name))
    loggers = Loggers(("csv", name), tmp_path, CONFIG)
    with pytest.raises(ConfigError, match=message):
        loggers.open(0)
    assert list(tmp_path.iterdir()) == []
    check_packages(("csv", "tensorboard"))


def test_a_folder_of_that_name_is_no_package(monkeypatch):
    """W&B itself leaves one where it was run."""
    monkeypatch.setitem(sys.modules, "wandb", ModuleType("wandb"))
    with pytest.raises(ConfigError, match="cannot be imported"):
        check_packages(("wandb",))
    monkeypatch.setitem(sys.modules, "wandb", Wandb())
    check_packages(("wandb",))
