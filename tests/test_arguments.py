"""What the command line and the files of a config become, and what is said of mistakes."""

import dataclasses
import re
from pathlib import Path
from typing import Literal

import pytest
import yaml
from command_case import ROOT

from fsrf_jax import arguments
from fsrf_jax.config import Config, EvaluationConfig, check, flatten
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.methods import METHODS, Fsrf
from fsrf_jax.missing import Missing
from fsrf_jax.options import expect, number

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
OVERLAYS = sorted((ROOT / "configs" / "protocols").glob("*.yaml"))
OF_METHODS = sorted((ROOT / "configs" / "methods").glob("*.yaml"))


def parse(*argv):
    return arguments.parse(arguments.make_parser("train", "Train.", argv), argv)[0]


def message(*argv):
    with pytest.raises(ConfigError) as caught:
        parse(*argv)
    assert caught.value.status == 2
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def write(tmp_path):
    def write(text, name="my.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_without_arguments_all_is_at_its_default():
    assert parse() == Config()


def fields(section=Config, prefix=""):
    for field in dataclasses.fields(section):
        kind = Fsrf if field.name == "method" else field.type
        if dataclasses.is_dataclass(kind):
            yield from fields(kind, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def test_help_documents_every_field_with_its_default():
    text = arguments.make_parser("train", "Train.").format_help()
    defaults = flatten(Config())
    names = list(fields())
    assert "method.weights.noise" in names
    assert names == list(defaults)
    for name in names:
        # From the option of that name to the next one.
        found = re.search(rf"^  --{re.escape(name)} (.*?)(?=^  -|^\S|\Z)", text, re.M | re.S)
        assert found, name
        words = " ".join(found[1].split())
        described, default = re.search(r"([A-Z0-9][^()]{5,})\(.*default: (.*)\)", words).groups()
        assert len(described.split()) >= 2, f"{name} has no description"
        value = defaults[name]
        if not isinstance(value, list | dict):
            shown = {None: "null", True: "True", False: "False"}.get(value, str(value))
            assert default == shown or type(value)(default) == value, (name, default)


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.name)
def test_configs_of_protocols_go_on_top_of_others(path):
    """The last file wins, key by key; the rest of the first stays."""
    demo = ROOT / "configs" / "demo.yaml"
    config = parse("--config", str(demo), "--config", str(path))
    content = yaml.safe_load(path.read_text())
    assert set(content) == {"missing", "evaluation"}
    for section, given in content.items():
        for key, value in given.items():
            assert getattr(getattr(config, section), key) == value
    assert config.evaluation.protocol == path.stem in PROTOCOLS
    assert dataclasses.replace(config, missing=Missing(), evaluation=EvaluationConfig()) == (
        parse("--config", str(demo))
    )


def test_every_protocol_has_a_config_to_train_under_it():
    assert {path.stem for path in OVERLAYS} == set(PROTOCOLS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_configs_load(path):
    content = yaml.safe_load(path.read_text())
    needs_file = content["data"].get("source") == "file" and "path" not in content["data"]
    if needs_file:
        assert "data.path: found None" in message("--config", str(path))
        config = parse("--config", str(path), "--data.path", "x.pkl")
        assert config.data.path == "x.pkl"
    else:
        assert arguments.load(path) == parse("--config", str(path))


def test_there_are_configs_for_what_the_readme_promises():
    assert {"demo.yaml", "mosi.yaml", "mmmo.yaml"} <= {path.name for path in CONFIGS}


def test_mmmo_is_the_fold_of_the_issue():
    config = parse("--config", str(ROOT / "configs/mmmo.yaml"), "--data.path", "x.npz")
    data = config.data
    assert (data.label_shift, data.folds, data.pooled) == (-3.0, 5, ("valid", "test"))


def test_the_command_line_beats_the_file(write):
    path = write("training: {epochs: 3, seed: 5}\ndata: {modalities: [audio, language]}\n")
    config = parse("--config", path, "--training.epochs", "7")
    assert (config.training.epochs, config.training.seed) == (7, 5)
    assert config.data.modalities == ("audio", "language")
    assert parse(f"--config={path}").training.epochs == 3


def test_the_later_file_beats_the_former(write):
    former = write("training: {epochs: 3, seed: 5}", "a.yaml")
    later = write("training: {epochs: 4}", "b.yaml")
    config = parse("--config", former, "--config", later)
    assert (config.training.epochs, config.training.seed) == (4, 5)


def test_values_have_the_declared_types():
    config = parse(
        *("--optimizer.learning_rate", "1e-3", "--data.modalities", "[audio, vision]"),
        *("--evaluation.mask_seeds", "[4,5]", "--output.directory", "123"),
        *("--missing.shared_rate", "true", "--missing.subset_weights", "{audio+vision: 2}"),
    )
    assert config.optimizer.learning_rate == 0.001
    assert config.data.modalities == ("audio", "vision")
    assert config.evaluation.mask_seeds == (4, 5)
    assert config.output.directory == "123"
    assert config.missing.shared_rate is True
    assert config.missing.subset_weights == {"audio+vision": 2.0}
    assert type(config.missing.subset_weights["audio+vision"]) is float


def test_numbers_in_files_may_be_written_with_an_exponent(write):
    assert parse("--config", write("optimizer: {learning_rate: 1e-3}")).optimizer == (
        Config().optimizer
    )


CHANGED = (
    *("--data.modalities", "[a,b,c]", "--missing.subset_weights", "{a+b: 2.0}"),
    *("--evaluation.mask_seeds", "[3]", "--optimizer.learning_rate", "1e-05"),
    *("--output.directory", "on", "--model.mask_aware", "false"),
)


@pytest.mark.parametrize("argv", [(), CHANGED], ids=["defaults", "changed"])
def test_the_printed_config_is_read_back(argv, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(*argv, "--print_config")
    assert not caught.value.code
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out)
    assert arguments.load(path) == parse(*argv)
    assert set(yaml.safe_load(path.read_text())) == {f.name for f in dataclasses.fields(Config)}


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (("--data.clp", "3"), ("--data.clp", "no such option", "nearest is --data.clip.")),
        (("--epochs", "3"), ("--epochs", "nearest is --training.epochs.")),
        (("--method.weights.nois", "3"), ("nearest is --method.weights.noise.",)),
        (
            ("--output", "runs/x"),
            ("--output: found 'runs/x'; it is a section", "--output.directory"),
        ),
        (("--data=mosi.h5",), ("--data: found 'mosi.h5'; it is a section", "--data.path, ")),
        (("--zzz=3",), ("--zzz: there is no such option", "--help lists all names")),
        (("--training.epochs", "many"), ("training.epochs", "'int'", "many")),
        (("--training.epochs", "2.5"), ("training.epochs", "'int'", "2.5")),
        (("--model.mask_aware", "3"), ("model.mask_aware", "'bool'", "3")),
        (
            ("--task.kind", "l3"),
            ("task.kind", "Expected one of 'binary_cross_entropy', 'cross_entropy',", "l3"),
        ),
        (("--data.modalities", "audio"), ("data.modalities", "a list such as [a,b]", "audio")),
        (("--evaluation.mask_seeds", "[a]"), ("evaluation.mask_seeds", "'int'", "a")),
        (("--data", '{"pth": "x"}'), ("data", "pth")),
        (
            ("--training.epochs", "0"),
            ("training.epochs: found 0, expected a number of at least 1",),
        ),
        (("--training.epochs",), ("training.epochs", "expected")),
        (("stray",), ("stray",)),
        (("--config",), ("--config", "found no file")),
    ],
)
def test_mistaken_options_are_named(argv, parts):
    text = message(*argv)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("training: {epoch: 3}", ("training.epoch: there is no such key", "is training.epochs.")),
        ("epochs: 3", ("epochs: there is no such key", "nearest is training.epochs.")),
        ("trainin: {epochs: 3}", ("trainin: there is no such key", "nearest is training.")),
        ("method: {noise: {flor: 1}}", ("method.noise.flor", "is method.noise.floor.")),
        ("data: {synthetic: {tran: 3}}", ("data.synthetic.tran", "is data.synthetic.train.")),
        ("zzz: 3", ("zzz: there is no such key", "--help lists all names")),
        ("3: 4", ("3: there is no such key",)),
        ("training: {epochs: many}", ("training.epochs", "'int'", "many")),
        ("training: {epochs: -1}", ("training.epochs: found -1", "at least 1")),
        ("training: 3", ("training: found 3, expected a section with the keys seed, epochs",)),
        ("data:", ("data: found None, expected a section with the keys source",)),
        ("[1, 2]", ("the file: found [1, 2], expected a section with the keys data, task",)),
        ("just words", ("the file: found 'just words'",)),
        ("# nothing", ("the file: found None",)),
        ("a: [", ("is not YAML",)),
        ("a: 1\n b: 2", ("is not YAML",)),
        ("a: !!python/object/apply:os.system [true]", ("is not YAML",)),
    ],
)
def test_mistaken_files_are_named(content, parts, write):
    text = message("--config", write(content))
    for part in parts:
        assert part in text
    if "key" in parts[0] or "YAML" in parts[0]:
        assert "my.yaml" in text


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "is not YAML" in message("--config", str(path))


def test_a_missing_file_is_named_with_its_neighbour(write, tmp_path):
    write("training: {}")
    text = message("--config", str(tmp_path / "mi.yaml"))
    assert "found no file" in text
    assert text.endswith(f"the nearest is {tmp_path / 'my.yaml'}.")
    assert message("--config", "no/such/folder.yaml") == (
        "--config: found no file no/such/folder.yaml."
    )


def test_a_run_is_named_by_its_files():
    assert arguments.config_name(["--config", "a/b.yaml", "--config=c/d.yaml"]) == "b-d"
    assert arguments.config_name(["--config", "a/b.yaml"]) == "b"
    assert arguments.config_name(["--training.epochs", "3"]) == "defaults"


# Methods.


@dataclasses.dataclass(frozen=True)
class Plain:
    """A second method: as little as the config needs of one."""

    name: Literal["plain"] = "plain"
    """The method."""
    complete_view: bool = False
    """A view with nothing missing."""
    strength: float = number(0.5, 0, 1)
    """How strong its only term is."""

    def check(self):
        """Every strength will do."""

    def check_task(self, task):
        """It is for numbers alone."""
        expect(task.form == "number", "strength", self.strength, "a task of numbers")


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setitem(METHODS, "plain", Plain)


ONE_OF = (
    "expected one of fsrf, corrkd, late_fusion, misa; one of your own has to be entered in METHODS "
    "first (docs/extending.md)."
)
# Configs of methods that are not a method's default, and whose they are.
VARIANTS = {"task_only": "fsrf", "fsrf_pure": "fsrf"}


def test_task_only_is_fsrf_with_every_weight_at_0():
    config = parse("--config", str(ROOT / "configs" / "methods" / "task_only.yaml"))
    assert all(weight == 0 for weight in config.method.term_weights(1.0).values())
    same = dataclasses.replace(config.method, weights=Fsrf().weights)
    assert same == Fsrf()


@pytest.mark.parametrize("path", OF_METHODS, ids=lambda path: path.name)
def test_configs_of_methods_go_on_top_of_others(path):
    demo = ROOT / "configs" / "demo.yaml"
    config = parse("--config", str(demo), "--config", str(path))
    content = yaml.safe_load(path.read_text())
    assert set(content) == {"method"}
    assert config.method.name == content["method"]["name"] == VARIANTS.get(path.stem, path.stem)
    assert isinstance(config.method, METHODS[config.method.name])
    before = parse("--config", str(demo))
    assert dataclasses.replace(config, method=before.method) == before


def test_every_method_has_a_config_and_knows_its_name():
    assert {path.stem for path in OF_METHODS} == {*METHODS, *VARIANTS}
    for name, method in METHODS.items():
        assert method().name == name
        assert check(Config(method=method())).method == method()


def test_the_default_method_is_fsrf():
    assert parse().method == Fsrf() == parse("--method.name", "fsrf").method


def test_the_method_that_is_named_decides_the_options(plain, write):
    file = write("method: {name: plain, strength: 0.25}")
    assert parse("--method.name", "plain").method == Plain()
    assert parse("--method.name=plain", "--method.strength", "1").method == Plain(strength=1.0)
    assert parse("--method.strength", "1", "--method.name", "plain").method == Plain(strength=1.0)
    assert parse("--config", file).method == Plain(strength=0.25)
    assert parse(f"--config={file}", "--method.complete_view", "true").method == Plain(
        complete_view=True, strength=0.25
    )
    assert arguments.load(Path(file)).method == Plain(strength=0.25)
    # A file that names no method leaves the one before.
    assert parse("--config", file, "--config", write("training: {seed: 1}", "b.yaml")).method == (
        Plain(strength=0.25)
    )
    text = message("--config", file, "--method.strength", "2")
    assert text == "method.strength: found 2.0, expected a number of at least 0 and at most 1."
    text = message("--config", file, "--task.kind", "cross_entropy")
    assert text == "method.strength: found 0.25, expected a task of numbers."


def test_help_has_the_options_of_the_method_that_is_named(plain):
    text = arguments.make_parser("train", "Train.", ["--method.name", "plain"]).format_help()
    assert "--method.strength" in text
    assert "How strong its only term is." in text
    assert "--method.weights" not in text
    assert "--method.strength" not in arguments.make_parser("train", "Train.").format_help()


def test_the_printed_config_of_another_method_is_read_back(plain, tmp_path, capsys):
    argv = ("--method.name", "plain", "--method.strength", "0.75")
    with pytest.raises(SystemExit) as caught:
        parse(*argv, "--print_config")
    assert not caught.value.code
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out)
    assert yaml.safe_load(path.read_text())["method"] == {
        "name": "plain",
        "complete_view": False,
        "strength": 0.75,
    }
    assert arguments.load(path) == parse(*argv)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (
            ("--method.name", "plain", "--method.weights.noise", "1"),
            "--method.weights.noise: is an option of the method fsrf, and method.name is plain.",
        ),
        (
            ("--method.name", "plain", "--method.weights.feature_distillation.mmd=1"),
            "--method.weights.feature_distillation.mmd: is an option of the method fsrf, and "
            "method.name is plain.",
        ),
        (
            ("--method.strength=1",),
            "--method.strength: is an option of the method plain, and method.name is fsrf.",
        ),
        (
            ("--method.name", "plain", "--method.strenth", "1"),
            "--method.strenth: there is no such option; the nearest is --method.strength.",
        ),
    ],
)
def test_an_option_of_another_method_is_named_with_that_method(plain, argv, expected):
    assert message(*argv) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "method: {name: plain, weights: {noise: 1}}",
            "method.weights.noise: is an option of the method fsrf, and method.name is plain.",
        ),
        (
            "method: {name: plain, weights: {feature_distillation: {mmd: 1}}}",
            "method.weights.feature_distillation.mmd: is an option of the method fsrf, and "
            "method.name is plain.",
        ),
        (
            "method: {strength: 1}",
            "method.strength: is an option of the method plain, and method.name is fsrf.",
        ),
        (
            "method: {name: plain, strenth: 1}",
            "method.strenth: there is no such key; the nearest is method.strength.",
        ),
    ],
)
def test_a_key_of_another_method_is_named_with_that_method(plain, content, expected, write):
    path = write(content)
    assert message("--config", path) == f"{path}: {expected}"


def test_a_method_on_the_command_line_does_not_take_the_options_of_the_file(plain, write):
    path = write("method: {name: fsrf, weights: {noise: 1}}")
    text = message("--config", path, "--method.name", "plain")
    assert text == (
        f"{path}: method.weights.noise: is an option of the method fsrf, and method.name is plain."
    )


@pytest.mark.parametrize("name", ["fsfr", "3", ""])
def test_an_unknown_method_is_named(name):
    assert message("--method.name", name) == f"method.name: found {name!r}, {ONE_OF}"


@pytest.mark.parametrize("name", ["fsfr", "[fsrf]", "{a: b}", "3"])
def test_an_unknown_method_in_a_file_is_named(name, write):
    text = message("--config", write(f"method: {{name: {name}}}"))
    assert text == f"method.name: found {yaml.safe_load(name)!r}, {ONE_OF}"


# Keys of version 0.1.

RENAMED = [
    ("losses.task.kind", "l1", "task.kind"),
    ("losses.noise.kind", "uniform", "method.noise.kind"),
    ("losses.reconstruction.target", "view", "method.reconstruction.target"),
    ("losses.distillation.direction", "off", "method.distillation.direction"),
    ("losses.distillation.temperature", "2", "method.distillation.temperature"),
    (
        "losses.distillation.warmup",
        "3",
        "method.distillation.warmup (a share of the training)",
    ),
    ("weights.noise", "1", "method.weights.noise"),
    ("weights.feature_distillation", "{mmd: 1}", "method.weights.feature_distillation"),
    ("weights.feature_distillation.mmd", "1", "method.weights.feature_distillation.mmd"),
    ("missing.clean_view", "true", "method.complete_view"),
]


@pytest.mark.parametrize(("old", "value", "new"), RENAMED)
def test_an_old_option_names_the_new_one(old, value, new):
    assert message(f"--{old}", value) == message(f"--{old}={value}") == f"--{old}: is now {new}."


@pytest.mark.parametrize(("old", "value", "new"), RENAMED)
def test_an_old_key_of_a_file_names_the_new_one(old, value, new, write):
    content = yaml.safe_load(value)
    for part in reversed(old.split(".")):
        content = {part: content}
    path = write(yaml.safe_dump(content))
    if isinstance(yaml.safe_load(value), dict):
        (key,) = yaml.safe_load(value)
        old, new = f"{old}.{key}", f"{new}.{key}"
    assert message("--config", path) == f"{path}: {old}: is now {new}."


@pytest.mark.parametrize(("old", "value", "new"), RENAMED)
def test_the_new_name_of_an_old_key_is_an_option(old, value, new):
    key = new.split(" ")[0]
    value = "0.3" if key == "method.distillation.warmup" else value
    found = parse(f"--{key}", value)
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == (value if isinstance(found, str) else yaml.safe_load(value))


def test_a_warm_up_is_a_share():
    text = message("--method.distillation.warmup", "3")
    assert text == (
        "method.distillation.warmup: found 3.0, expected a number of at least 0 and at most 1."
    )


# Help.


def test_help_begins_with_usage_in_one_line_and_keeps_the_lines_of_the_description():
    text = "Do it.\n\n  mine --config a.yaml\n  mine --config b.yaml\n\nThat is all."
    lines = arguments.make_parser("mine", text, usage="FILE [--more]").format_help().splitlines()
    usage = "usage: mine [--config FILE ...] [--SECTION.OPTION VALUE ...] FILE [--more]"
    assert lines[:2] == [usage, ""]
    assert lines[2 : 2 + len(text.splitlines())] == text.splitlines()
    plain = arguments.make_parser("mine", text).format_help().splitlines()
    assert plain[0] == "usage: mine [--config FILE ...] [--SECTION.OPTION VALUE ...]"
