"""What the command line and the files of a config become, and what is said of mistakes."""

import dataclasses
import re

import pytest
import yaml
from command_case import ROOT

from fsrf_jax.cli import arguments
from fsrf_jax.config import Config, EvaluationConfig, MissingConfig, flatten
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
OVERLAYS = sorted((ROOT / "configs" / "protocols").glob("*.yaml"))


def parse(*argv):
    return arguments.parse(arguments.make_parser("train", "Train."), argv)[0]


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
        if dataclasses.is_dataclass(field.type):
            yield from fields(field.type, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def test_help_documents_every_field_with_its_default():
    text = arguments.make_parser("train", "Train.").format_help()
    defaults = flatten(Config())
    names = list(fields())
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
    assert dataclasses.replace(config, missing=MissingConfig(), evaluation=EvaluationConfig()) == (
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
        (("--weights.nois", "3"), ("nearest is --weights.noise.",)),
        (("--zzz=3",), ("--zzz: there is no such option", "--help lists all names")),
        (("--training.epochs", "many"), ("training.epochs", "'int'", "many")),
        (("--training.epochs", "2.5"), ("training.epochs", "'int'", "2.5")),
        (("--model.mask_aware", "3"), ("model.mask_aware", "'bool'", "3")),
        (
            ("--losses.task.kind", "l3"),
            ("losses.task.kind", "Expected one of 'binary_cross_entropy', 'cross_entropy',", "l3"),
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
        ("losses: {noise: {flor: 1}}", ("losses.noise.flor", "is losses.noise.floor.")),
        ("data: {synthetic: {tran: 3}}", ("data.synthetic.tran", "is data.synthetic.train.")),
        ("zzz: 3", ("zzz: there is no such key", "--help lists all names")),
        ("3: 4", ("3: there is no such key",)),
        ("training: {epochs: many}", ("training.epochs", "'int'", "many")),
        ("training: {epochs: -1}", ("training.epochs: found -1", "at least 1")),
        ("training: 3", ("training: found 3, expected a section with the keys seed, epochs",)),
        ("data:", ("data: found None, expected a section with the keys source",)),
        ("[1, 2]", ("the file: found [1, 2], expected a section with the keys data, missing",)),
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
