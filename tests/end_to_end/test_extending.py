"""The examples of docs/extending.md do what the page says."""

import importlib
import re

import numpy as np
import pytest
import yaml
from command_case import ROOT

import fsrf_jax
from fsrf_jax import arguments
from fsrf_jax.data.load import READERS, load
from fsrf_jax.losses import DIVERGENCES
from fsrf_jax.methods import METHODS
from fsrf_jax.training.loggers import LOGGERS

PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
BLOCKS = {
    name: code
    for _, name, code in re.findall(r"```(python|yaml)\n# (\w+)\n(.*?)```", PAGE, re.DOTALL)
}
REGISTRIES = (METHODS, DIVERGENCES, READERS, LOGGERS)
TINY = {
    "data.synthetic": {"train": 32, "valid": 8, "test": 16, "frames": 5, "min_frames": 3},
    "model": {"width": 8, "heads": 2, "encoder_layers": 0, "fusion": "concatenation"},
    "training": {"epochs": 2, "batch_size": 16},
    "evaluation.bootstrap": 0,
    "output.progress": False,
}


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Imports a block as a file; what it registers is forgotten after the test."""
    for registry in REGISTRIES:
        for name in list(registry):
            monkeypatch.setitem(registry, name, registry[name])
    before = {id(r): set(r) for r in REGISTRIES}
    monkeypatch.syspath_prepend(tmp_path)

    def run(block):
        (tmp_path / f"example_{block}.py").write_text(BLOCKS[block])
        return vars(importlib.import_module(f"example_{block}"))

    yield run
    for registry in REGISTRIES:
        for name in set(registry) - before[id(registry)]:
            del registry[name]


def test_every_part_has_an_example_and_its_length_is_stated():
    assert set(BLOCKS) == {
        "method",
        "term",
        "divergence",
        "encoder",
        "protocol",
        "format",
        "logger",
    }
    rows = re.findall(r"^\| \[an? (.*?)\].*?\((\d+)\)", PAGE, re.M)
    found = {name.split()[-1]: int(lines) for name, lines in rows}
    assert set(found) == set(BLOCKS)
    for name, code in BLOCKS.items():
        own = [line for line in code.splitlines() if not line.startswith("METHODS[")]
        assert len(own) < 60
        if name != "divergence":  # there it is the function that counts
            assert found[name] == len(code.strip().splitlines()), name


@pytest.mark.parametrize(
    ("block", "name"), [("method", "ridge"), ("term", "short"), ("encoder", "gru_fusion")]
)
def test_methods_train_and_are_opened_again(example, tmp_path, block, name):
    example(block)
    run = fsrf_jax.train(TINY, {"method.name": name}, folder=tmp_path / "run")
    assert run.results["method"] == name
    assert [record["epoch"] for record in run.history] == [1, 2]
    assert run.history[1]["total"] < run.history[0]["total"]
    if block == "term":
        assert run.history[0]["length"] > 0
    assert fsrf_jax.load(tmp_path / "run").config == run.config


def test_a_divergence_is_a_name(example):
    names = example("divergence")
    x, y, w = np.zeros((3, 2)), np.array([[1.0, 3], [5, 5], [2, 0]]), np.array([1.0, 0, 1])
    np.testing.assert_allclose(names["absolute"](x, y, w), 1.5, rtol=1e-6)
    content = {"method.weights.feature_distillation": {"absolute": 0.3}}
    config = arguments.load(content)
    assert dict(config.method.weights.feature_distillation) == {"absolute": 0.3}


def test_a_protocol_is_a_file(tmp_path):
    path = tmp_path / "deaf.yaml"
    path.write_text(BLOCKS["protocol"])
    run = fsrf_jax.train(
        TINY, {"method.name": "late_fusion", "training.epochs": 1}, folder=tmp_path / "run"
    )
    found = run.evaluate(str(path))
    names = [condition["name"] for condition in yaml.safe_load(path.read_text())["conditions"]]
    assert [condition["name"] for condition in found["conditions"]] == names


def test_a_format_is_read(example, tmp_path):
    example("format")
    path = tmp_path / "x.tsv"
    rows = ["split\tid\tlabel\taudio\tvision"]
    for split in ("train", "valid", "test"):
        rows += [f"{split}\t{split}{i}\t{i - 1}\t{i + 0.5}\t{-i - 0.5}" for i in range(4)]
    path.write_text("\n".join(rows))
    dataset = load(path, ("audio", "vision"))
    np.testing.assert_array_equal(dataset.splits["test"].labels, [-1, 0, 1, 2])
    np.testing.assert_allclose(
        dataset.splits["valid"].features["audio"][:, 0, 0], np.arange(4) + 0.5
    )
    assert load(path, ("vision",), format="tsv").splits["train"].modalities == ("vision",)


def test_a_logger_is_a_name(example, tmp_path):
    example("logger")
    changes = {"method.name": "late_fusion", "output.loggers": ["best_epochs", "csv"]}
    run = fsrf_jax.train(TINY, changes, folder=tmp_path / "run")
    *epochs, tested = (tmp_path / "run" / "best.txt").read_text().splitlines()
    best = [r for r in run.history if r["best_epoch"] == r["epoch"]]
    assert epochs == [f"epoch {r['epoch']}: {r['validation_error']:.4f}" for r in best]
    assert tested == f"tested: {run.results['average']['metrics']['mae']:.4f}"
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
