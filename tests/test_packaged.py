"""Config files by name: what is found, what goes before it, and what is said of names unknown."""

from pathlib import Path

import pytest
from command_case import ROOT, TINY, call, read_json, refused

import fsrf_jax
from fsrf_jax import arguments, packaged
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.protocols.files import resolve

CONFIGS = ROOT / "configs"
MODALITIES = ("language", "audio", "vision")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Away from the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(name, *where):
    with pytest.raises(ConfigError) as caught:
        packaged.find(name, *where)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_has_its_name(path):
    name = path.relative_to(CONFIGS).with_suffix("").as_posix()
    kind = str(Path(name).parent)
    if name.startswith(packaged.NO_CONFIGS):
        assert name not in packaged.names()
    else:
        assert packaged.find(name) == path
    if kind != ".":
        assert packaged.find(path.stem, kind) == packaged.find(name, kind) == path


def test_in_an_installed_package_the_files_are_inside(tmp_path, monkeypatch):
    inside = tmp_path / "site" / "fsrf_jax"
    (inside / "configs" / "worlds").mkdir(parents=True)
    (inside / "configs" / "worlds" / "one.yaml").write_text("training: {epochs: 7}")
    monkeypatch.setattr(packaged, "__file__", str(inside / "packaged.py"))
    assert packaged.names() == ["worlds/one"]
    assert arguments.load("worlds/one").training.epochs == 7


@pytest.mark.parametrize("file", ["demo", "demo.yaml"])
def test_a_file_in_the_current_folder_goes_first(elsewhere, file):
    (elsewhere / file).write_text("training: {epochs: 7}")
    assert packaged.find("demo") == Path(file)
    assert arguments.load("demo").training.epochs == 7
    done = call("train", "--config", "demo", "--print_config")
    assert "epochs: 7\n" in done.out


def test_a_folder_of_that_name_is_no_file(elsewhere):
    (elsewhere / "demo").mkdir()
    assert packaged.find("demo") == CONFIGS / "demo.yaml"


def test_what_has_a_suffix_is_a_path():
    assert packaged.find("demo.yaml.old") == Path("demo.yaml.old")
    assert packaged.find("mine.yml", "methods", "--methods") == Path("mine.yml")


def test_a_path_of_a_checkout_is_answered_with_the_name():
    text = message("configs/worlds/small.yaml")
    assert text.startswith("--config: found no file configs/worlds/small.yaml; ")
    assert text.endswith("; the packaged one is called worlds/small.")
    text = message(Path("configs/ablations/terms.yaml"), "ablations", "--ablation")
    assert text.endswith("the packaged one is called ablations/terms.")


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list():
    text = message("dmeo")
    assert text.startswith(
        "--config: found no file 'dmeo' and no packaged file of that name; the nearest: demo, "
    )
    assert ". Expected a path, or one of demo, hazumi, " in text
    assert text.endswith("worlds/shifted, worlds/small.")
    assert "ablations/" not in text
    assert message("methods/corkd").count("methods/corrkd") == 2
    assert message("term", "ablations", "--ablation") == (
        "--ablation: found no file 'term' and no packaged file of that name; the nearest: terms. "
        f"Expected a path, or one of {', '.join(packaged.names('ablations'))}."
    )
    assert "nearest" not in message("qqqqq")


@pytest.mark.parametrize("name", ["../configs/demo", "./demo", "/demo", "", ".", "worlds"])
def test_a_name_leads_nowhere_else(name):
    assert "found no file" in message(name)


def test_commands_and_python_take_names(elsewhere):
    done = call("train", "--config", "demo", "--config=worlds/small", "--print_config")
    assert done.status == 0, done.err
    config = arguments.load(["demo", "worlds/small"])
    assert done.out == arguments.to_yaml(config)
    assert config == arguments.load([CONFIGS / "demo.yaml", CONFIGS / "worlds/small.yaml"])
    named = arguments.load("methods/corrkd")
    assert named.method.name == "corrkd"
    assert arguments.method_name(["--config", "methods/corrkd"]) == "corrkd"
    assert arguments.config_name(["--config", "demo", "--config", "worlds/small"]) == "demo-small"
    refused(call("train", "--config", "dmeo"), 2, "--config: found no file 'dmeo'", "demo")
    with pytest.raises(ConfigError, match="the nearest: demo"):
        fsrf_jax.train("dmeo")
    assert not list(elsewhere.iterdir())


def test_protocols_have_names_too():
    name = "protocols/own/fading"
    assert resolve(name, MODALITIES) == resolve(str(CONFIGS / f"{name}.yaml"), MODALITIES)
    with pytest.raises(ConfigError, match=f"cmad, {name}, or a path .* the nearest is {name}"):
        resolve("protocols/own/fadin", MODALITIES)
    with pytest.raises(ConfigError, match=f"the packaged one is called {name}"):
        resolve(f"configs/{name}.yaml", MODALITIES)


def test_ablations_by_name(elsewhere):
    done = call("ablate", *TINY, "--ablation", "term")
    refused(done, 2, "--ablation: found no file 'term'", "terms")
    argv = ("--data.synthetic.train", "0")
    refused(call("ablate", *TINY, "--ablation", "terms", *argv), 2, "data.synthetic.train")
    assert not list(elsewhere.iterdir())


def test_methods_and_searches_of_a_ranking_by_name(elsewhere, monkeypatch):
    """A file of one's own is one of them, and has its stem for a name."""
    seen = {}

    def stopping(folder, candidates, *_):
        seen.update(candidates)
        raise fsrf_jax.errors.InterruptedTraining(2, 0)

    monkeypatch.setattr("fsrf_jax.cli.rank.rank", stopping)
    (elsewhere / "mine").mkdir()
    (elsewhere / "mine" / "floor.yaml").write_text("method: {name: late_fusion}")
    methods = ("--methods", "methods/task_only,misa,mine/floor.yaml")
    done = call("rank", *TINY, *methods, "--search", "regularisation")
    assert done.status == 130, done.err
    assert list(seen) == ["task_only", "misa", "floor"]
    assert len(seen["misa"]) > 1
    assert {config.method.name for config in seen["floor"].values()} == {"late_fusion"}
    refused(call("rank", *TINY, *methods, "--search", "reg"), 2, "--search: found no file 'reg'")
    (elsewhere / "misa.yaml").write_text("method: {name: late_fusion}")
    twice = ("--methods", "misa,methods/misa")
    refused(call("rank", *TINY, *twice), 2, "expected two different names or more")


def test_a_run_of_a_packaged_protocol(elsewhere):
    run = ("--evaluation.protocol", "protocols/own/fading", "--output.directory", "run")
    done = call("train", *TINY, *run, "--evaluation.bootstrap", "0")
    assert done.status == 0, done.err
    assert read_json(elsewhere / "run" / "results.json")["protocol"] == "fading"
    assert call("evaluate", "run").status == 0
