"""From Python: train, load, evaluate, and all that a run says of itself."""

import contextlib
import dataclasses
import doctest
import importlib
import io
import json
import shutil
import subprocess
import sys
import threading
import types

import jax
import numpy as np
import pytest
from command_case import ROOT, TINY, call, read_json, read_lines

import fsrf_jax
from fsrf_jax import arguments
from fsrf_jax.config import TrainingConfig
from fsrf_jax.errors import ConfigError, RunError, UserError
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.losses import TaskOptions
from fsrf_jax.methods import LateFusion

PUBLIC = [
    "Config",
    "Model",
    "Run",
    "errors",
    "evaluate",
    "load",
    "losses",
    "methods",
    "metrics",
    "missing",
    "train",
]


@dataclasses.dataclass(frozen=True)
class Unknown(LateFusion):
    """A method that nobody registered."""

    name: str = "unknown"


@pytest.fixture(scope="module")
def config(trained):
    return arguments.load(trained.folder / "config.yaml")


@pytest.fixture
def run(trained):
    return fsrf_jax.load(trained.folder)


def test_what_is_public_is_a_list():
    assert fsrf_jax.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(fsrf_jax))
    for name in PUBLIC:
        assert getattr(fsrf_jax, name) is not None
    assert fsrf_jax.metrics is importlib.import_module("fsrf_jax.evaluation.metrics")
    with pytest.raises(AttributeError, match="no attribute 'predict_all'"):
        _ = fsrf_jax.predict_all


@pytest.mark.parametrize("name", PUBLIC)
def test_examples(name, run, tmp_path, monkeypatch):
    """Everything public has an example in its docstring, and it is true."""
    monkeypatch.chdir(tmp_path)
    found = getattr(fsrf_jax, name)
    lines = found.__doc__
    given = {"fsrf_jax": fsrf_jax, "run": run}
    example = doctest.DocTestParser().get_doctest(lines, given, name, None, None)
    assert example.examples
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
            example, out=said.write, clear_globs=False
        )
    assert outcome.failed == 0, said.getvalue()


def test_reading_data_needs_no_jax():
    program = "import sys, fsrf_jax.data.load; assert 'jax' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_run_says_what_is_in_its_folder(trained, run, config):
    assert run.folder == trained.folder
    assert run.config == config
    assert repr(run) == f"Run({str(trained.folder)!r}, method='fsrf')"
    assert run.results == trained_results(trained)
    assert run.history == read_lines(trained.folder / "metrics.jsonl")
    assert [record["epoch"] for record in run.history] == [1, 2, 3][: config.training.epochs]
    assert {"task", "total", "noise", "validation_error"} <= set(run.history[0])


def test_a_run_is_evaluated_as_by_the_command(run, trained, tmp_path):
    before = sorted(path.name for path in trained.folder.iterdir())
    assert run.evaluate() == run.results
    found = fsrf_jax.evaluate(trained.folder, "lnln", mask_seeds=(4,), bootstrap=0)
    argv = ("--evaluation.protocol", "lnln", "--evaluation.mask_seeds", "[4]")
    argv += ("--evaluation.bootstrap", "0", "--output", str(tmp_path / "x.json"))
    assert call("evaluate", str(trained.folder), *argv).status == 0
    assert found == read_json(tmp_path / "x.json")
    assert found["protocol"] == "lnln"
    assert sorted(path.name for path in trained.folder.iterdir()) == before


def test_codes_of_a_split(run, config):
    codes = run.codes("valid")
    width, n = config.model.width, config.data.synthetic.valid
    assert codes.homogeneous.shape == (3, n, width)
    samples = run._source.split("valid")
    nothing = {m: np.zeros_like(v) for m, v in samples.valid.items()}
    assert not run.codes("valid", nothing).available.any()
    np.testing.assert_array_equal(codes.fused, run.codes("valid", samples.valid).fused)


def test_a_run_whose_protocols_file_is_gone(trained, tmp_path, monkeypatch):
    """Its results have the protocol; codes and other protocols need none."""
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    config = arguments.load(folder / "config.yaml", {"evaluation.protocol": "gone.yaml"})
    (folder / "config.yaml").write_text(arguments.to_yaml(config))
    run = fsrf_jax.load(folder)
    assert run.evaluate()["protocol"] == "corrkd"
    assert run.evaluate("cmad", bootstrap=0)["protocol"] == "cmad"
    assert run.codes().fused is not None


def test_a_relative_folder_outlives_a_change_of_directory(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained.folder.parent)
    run = fsrf_jax.load(trained.folder.name)
    monkeypatch.chdir(tmp_path)
    assert run.folder == trained.folder
    assert run.history
    shutil.copytree(trained.folder, tmp_path / "copy")
    gone = fsrf_jax.load(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    with pytest.raises(RunError, match="found no such folder"):
        _ = gone.history


def test_a_run_starts_from_another_one_with_frozen_encoders(trained, tmp_path, capsys):
    changes = {
        "training.init_from": trained.folder,
        "training.freeze": ["encoders"],
        "training.epochs": 1,
        "method.name": "late_fusion",
        "optimizer.average": 0.5,
        "evaluation.bootstrap": 0,
    }
    old = fsrf_jax.load(trained.folder)
    run = fsrf_jax.train(trained.folder / "config.yaml", changes, folder=tmp_path / "run")
    assert run.config.training.init_from == str(trained.folder)
    there, here = old.network.parameters, run.network.parameters
    for found, expected in zip(
        *(jax.tree.leaves(p["encoders"]) for p in (here, there)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    taken = read_json(run.folder / "init.json")
    heads = sum(x.size for x in jax.tree.leaves(here["heads"]))
    assert taken["parameters"] - taken["taken"] == heads
    assert {name.split(".")[1] for name in taken["drawn_anew"]} == {"heads"}
    out = capsys.readouterr().out
    assert f"starts from {trained.folder}, epoch 2: took {taken['taken']:,} of " in out
    assert "drawn anew: inference.heads\n" in out
    assert f"frozen: {taken['taken']:,} of {taken['parameters']:,} parameters: encoders\n" in out


def test_numpy_values_are_values():
    """As a search over np.logspace gives them."""
    overrides = {
        "optimizer.learning_rate": np.float64(1e-3),
        "training.epochs": np.int64(3),
        "evaluation.mask_seeds": range(2),
        "data.synthetic.widths": np.array([4, 4, 4]),
        "model.mask_aware": np.bool_(False),
    }
    config = arguments.load({}, overrides)
    assert arguments.load({"optimizer": {"learning_rate": 1e-3}, "training": {"epochs": 3}}) == (
        arguments.load(
            config,
            {
                "evaluation.mask_seeds": [0, 1, 2],
                "data.synthetic.widths": [32, 16, 20],
                "model.mask_aware": True,
            },
        )
    )
    assert type(config.optimizer.learning_rate) is float
    assert type(config.training.epochs) is int
    assert config.evaluation.mask_seeds == (0, 1)
    arguments.to_yaml(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": TrainingConfig(epochs="x")}, r"training\.epochs: Expected a 'int'"),
        ({"training": TrainingConfig(epochs=1.5)}, r"training\.epochs: Expected a 'int'"),
        ({"task": TaskOptions(kind="l3")}, r"task\.kind: Expected one of"),
        ({"method": Unknown()}, r"^method\.name: found 'unknown', expected one of fsrf"),
    ],
)
def test_a_config_made_by_hand_is_checked(change, message):
    with pytest.raises(ConfigError, match=message):
        arguments.load(dataclasses.replace(fsrf_jax.Config(), **change))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "nosuch"}, r"evaluation\.protocol: .*nosuch"),
        ({"seeds": (1,)}, r"^config and overrides: evaluation\.seeds: there is no such key"),
        ({"split": "dev"}, r"dev"),
        ({"mask_seeds": ()}, r"^evaluation\.mask_seeds: found \[\], expected one or more"),
    ],
)
def test_mistaken_settings_are_refused(run, settings, message):
    with pytest.raises(UserError, match=message):
        run.evaluate(**settings)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"found no config\.yaml, expected a run folder"):
        fsrf_jax.load(tmp_path)
    with pytest.raises(RunError, match=r"found no config\.yaml, expected a run folder"):
        fsrf_jax.evaluate(tmp_path / "nothing")


def test_a_run_that_is_not_finished_can_be_opened(trained, config, tmp_path):
    """As while another process trains in it: without results, in the middle of a line."""
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    (folder / "results.json").unlink()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 9, "va')
    run = fsrf_jax.load(folder)
    with run_folder.locked(folder):
        assert len(run.history) == config.training.epochs
        assert run.evaluate()["best_epoch"] == trained_results(trained)["best_epoch"]
        with pytest.raises(RunError, match="not finished"):
            _ = run.results
    shutil.rmtree(folder / "checkpoints")
    (folder / "metrics.jsonl").unlink()
    assert run.history == []
    with pytest.raises(RunError, match="checkpoint"):
        run.evaluate()


def trained_results(trained):
    return read_json(trained.folder / "results.json")


def test_other_data_are_refused(trained, config, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    environment = read_json(folder / "environment.json")
    environment["data_fingerprint"] = "0" * 16
    (folder / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(RunError, match="the run began with other data"):
        fsrf_jax.load(folder).codes()


def test_a_finished_run_is_given_back(trained, config, capsys):
    """The same call again trains nothing, as the command does."""
    run = fsrf_jax.train(config, {"output.progress": False}, folder=trained.folder)
    assert run.results == trained_results(trained)
    assert capsys.readouterr().out == ""


def tiny(*more):
    """The options of `TINY` as a mapping of dotted names."""
    pairs = zip(TINY[::2], TINY[1::2], strict=True)
    given = {name.removeprefix("--"): value for name, value in pairs}
    return {name: json.loads(value) for name, value in given.items() if value.strip()} | dict(more)


def test_training_in_a_thread_equals_the_command(trained, tmp_path):
    """There are no signals there, and nothing exits."""
    found = []

    def work():
        found.append(fsrf_jax.train(tiny(("output.progress", False)), folder=tmp_path / "run"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (run,) = found
    assert run.results == trained_results(trained)
    assert run.config.output.progress is False


def test_overwriting_renames(trained, config, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    monkeypatch.setattr("fsrf_jax.api.train_run", lambda *_: None)
    overrides = {"training.seed": 9, "output.progress": False}
    with pytest.raises(RunError, match="another config"):
        fsrf_jax.train(config, overrides, folder=folder)
    run = fsrf_jax.train(config, overrides, folder=folder, overwrite=True)
    assert "The old run folder is now" in capsys.readouterr().out
    assert not folder.exists()
    assert len(list(tmp_path.glob("run.old-*"))) == 1
    assert run.config.training.seed == 9


def test_folders_are_named_after_the_file(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fsrf_jax.api.train_run", lambda *_: None)
    one = fsrf_jax.train(ROOT / "configs" / "demo.yaml", {"training.epochs": 1})
    assert one.folder.match("runs/demo-*")
    assert f"Run folder: runs/{one.folder.name}" in capsys.readouterr().out
    two = fsrf_jax.train({"training": {"epochs": 1}}, {"output.progress": False})
    assert two.folder.match("runs/run-*")
    three = fsrf_jax.train({}, {"output": {"directory": "here", "progress": False}})
    assert three.folder.name == "here"


def test_a_config_may_come_in_three_forms(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("method: {name: corrkd, weights: {prototype: 0.5}}\ntraining: {epochs: 2}\n")
    mapping = {"method": {"name": "corrkd"}, "method.weights.prototype": 0.5}
    mapping["training.epochs"] = 2
    config = arguments.load(path)
    assert config == arguments.load(mapping) == arguments.load(arguments.load(str(path)))
    assert config.method.weights.prototype == 0.5
    assert config.method.weights.response == 1


def test_a_list_is_put_together():
    """As several --config are; another method's name takes the options of the former away."""
    demo = ROOT / "configs" / "demo.yaml"
    protocol = ROOT / "configs" / "protocols" / "lnln.yaml"
    listed = arguments.load([demo, protocol, {"method.name": "misa"}], {"training.epochs": 2})
    argv = ["--config", str(demo), "--config", str(protocol), "--method.name", "misa"]
    argv += ["--training.epochs", "2"]
    assert listed == arguments.parse(arguments.make_parser("x", "", argv), argv)[0]
    methods = [{"method": {"name": "corrkd", "margin": 1.0}}, {"method": {"name": "misa"}}]
    assert arguments.load(methods).method == fsrf_jax.methods.Misa()
    for later in ({"method": {"weights": {"homogeneous": 0.0}}}, {"method.weights.homogeneous": 0}):
        weights = arguments.load([{"method": {"weights": {"noise": 0.5}}}, later]).method.weights
        assert (weights.noise, weights.homogeneous) == (0.5, 0)


def test_two_methods_on_the_command_line_are_refused():
    files = [str(ROOT / "configs" / "methods" / f"{name}.yaml") for name in ("corrkd", "misa")]
    for later in (("--method.name", "misa"), ("--config", files[1])):
        argv = ["--config", files[0], *later]
        with pytest.raises(
            ConfigError, match=r"corrkd\.yaml: method\.name: found corrkd, and misa"
        ):
            arguments.parse(arguments.make_parser("x", "", argv), argv)


def test_a_second_thread_that_trains_is_refused(config, tmp_path, monkeypatch):
    refused = []

    def fit(*args, **kwargs):
        def other():
            try:
                fsrf_jax.train(config, {"output.progress": False}, folder=tmp_path / "two")
            except RunError as error:
                refused.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr("fsrf_jax.training.loop.fit", fit)
    with pytest.raises(KeyboardInterrupt):
        fsrf_jax.train(config, {"output.progress": False}, folder=tmp_path / "one")
    (message,) = refused
    assert message.startswith("another thread of this process is training")


def test_masks_of_other_modalities_are_refused(run):
    with pytest.raises(ConfigError, match=r"^observed: found masks of \['audio'\], expected one"):
        run.codes("valid", {"audio": np.ones((16, 6), bool)})


def test_overrides_replace_values_and_sections():
    loaded = arguments.load(fsrf_jax.Config(), {"missing.subset_weights": {"all": 2.0}})
    assert dict(loaded.missing.subset_weights) == {"all": 2.0}
    content = {"method": {"weights": {"noise": 0.5, "feature_distillation": {"mmd": 0.5}}}}
    added = arguments.load(content, {"method.weights.feature_distillation.coral": 1.0})
    assert dict(added.method.weights.feature_distillation) == {"mmd": 0.5, "coral": 1.0}
    replaced = arguments.load(content, {"method.weights.feature_distillation": {"mse": 2.0}})
    assert dict(replaced.method.weights.feature_distillation) == {"mse": 2.0}
    assert replaced.method.weights.noise == added.method.weights.noise == 0.5
    assert content["method"]["weights"]["feature_distillation"] == {"mmd": 0.5}  # as it was


def test_another_method_in_place_of_a_configs_own():
    config = fsrf_jax.Config(method=fsrf_jax.methods.Fsrf(complete_view=True))
    found = arguments.load(config, {"method.name": "late_fusion"})
    assert found.method == fsrf_jax.methods.LateFusion()
    same = arguments.load(config, {"method.name": "fsrf", "method.weights.noise": 0})
    assert same.method.complete_view
    assert same.method.weights.noise == 0


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        ({"training.epoch": 1}, {}, r"^config: training\.epoch: there is no such key; the nearest"),
        (
            {},
            {"training.epochs": "many"},
            r"^config and overrides: training\.epochs: Expected a 'int'",
        ),
        ({"training": 3}, {}, r"^config: training: found 3, expected a section"),
        ({"method.name": "nosuch"}, {}, r"^method\.name: found 'nosuch', expected one of fsrf"),
        ({"method": {"margin": 1}}, {}, r"is an option of the method corrkd"),
        (
            {"method.name": "late_fusion", "method.weights.noise": 1},
            {},
            r"is an option of the method fsrf",
        ),
        ({"training.epochs": -1}, {}, r"^training\.epochs: found -1, expected a number of at"),
        ("nosuch.yaml", {}, r"found no file nosuch\.yaml"),
    ],
)
def test_mistaken_configs_are_refused(config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        arguments.load(config, overrides)


def test_a_file_that_holds_no_config_is_refused(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n")
    with pytest.raises(ConfigError, match=r"list\.yaml: the file: found \[1\], expected a section"):
        arguments.load(path, {"training.epochs": 1})


def test_progress_in_a_notebook(monkeypatch):
    """One line that is drawn again; a stand-in for IPython, which only a notebook has."""
    from rich.console import Console

    from fsrf_jax.progress import training_progress
    from fsrf_jax.training.loop import EpochRecord

    shown = []

    class Handle:
        def update(self, content, raw):
            assert raw
            shown.append(content["text/plain"])

    def display(content, raw, display_id):
        assert raw
        assert display_id
        shown.append(content["text/plain"])
        return Handle()

    stand_in = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=stand_in))
    monkeypatch.setitem(sys.modules, "IPython.display", stand_in)
    console = Console(force_jupyter=True, file=io.StringIO())
    with training_progress(console, 1, 4, shown=True) as show:
        show(EpochRecord(2, {"total": 0.5}, 0.25, 1))
    assert len(shown) == 2
    assert "1/4  compiling" in shown[0]
    assert "2/4  loss 0.5000  validation error 0.2500 (best after epoch 1)" in shown[1]
    assert shown[1].count("█") == shown[1].count("░") == 15
