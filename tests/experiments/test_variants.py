"""Ablation files: what they become, and what is said of mistakes."""

import dataclasses
from pathlib import Path
from typing import Literal

import pytest
import yaml
from command_case import ROOT

from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.experiments import scheduling
from fsrf_jax.experiments.variants import read_variants
from fsrf_jax.methods import METHODS

SHIPPED = sorted((ROOT / "configs" / "ablations").glob("*.yaml"))


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


def test_variants_change_the_base_and_keep_the_order_of_the_file(write):
    path = write(
        """
        variants:
          full: {}
          no noise: {method.weights.noise: 0}
          a: {method.noise.kind: uniform, missing.subset_weights: {audio: 1}, model.width: 8}
          7: {method.distillation.direction: "off", model.mask_aware: false}
        """
    )
    variants = read_variants(path, ["--training.epochs", "3", "--method.weights.noise=2"])
    assert list(variants) == ["full", "no noise", "a", "7"]
    full = variants["full"]
    assert (full.training.epochs, full.method.weights.noise) == (3, 2.0)
    weights = dataclasses.replace(full.method.weights, noise=0.0)
    assert variants["no noise"] == dataclasses.replace(
        full, method=dataclasses.replace(full.method, weights=weights)
    )
    assert variants["a"].method.noise.kind == "uniform"
    assert dict(variants["a"].missing.subset_weights) == {"audio": 1.0}
    assert variants["7"].method.distillation.direction == "off"
    assert variants["7"].model.mask_aware is False


def test_the_base_may_be_a_file(write, tmp_path):
    (tmp_path / "base.yaml").write_text("training: {epochs: 4}\nmodel: {width: 8}")
    path = write("variants: {a: {}, b: {model.width: 16}}")
    variants = read_variants(path, ["--config", str(tmp_path / "base.yaml")])
    assert [config.model.width for config in variants.values()] == [8, 16]
    assert {config.training.epochs for config in variants.values()} == {4}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("[1", ("is not YAML",)),
        ("a: !!python/object/apply:os.system [true]", ("is not YAML",)),
        ("method.weights.noise: 0", ("expected one key `variants`",)),
        ("{variants: {a: {}}, more: 1}", ("expected one key `variants`",)),
        ("variants: {}", ("expected one key `variants`",)),
        ("variants: [a]", ("expected one key `variants`",)),
        ("# nothing", ("found None, expected one key `variants`",)),
        ("variants: {a: 3}", ("variant 'a'", "found 3, expected {section.field: value, ...}")),
        ("variants: {a: }", ("variant 'a'", "found None")),
        ("variants: {off: {}}", ("variant False", "put it in quotes")),
        ("variants: {a/b: {}}", ("variant 'a/b'", "a name that can be a folder")),
        ("variants: {.a: {}}", ("variant '.a'", "a name that can be a folder")),
        ("variants: {' ': {}}", ("variant ' '", "a name that can be a folder")),
        ("variants: {a: {data.fold: 1}}", ("variant 'a'", "data.fold must be the same for all")),
        ("variants: {a: {evaluation.split: x}}", ("evaluation.split must be the same for all",)),
        ("variants: {a: {output.directory: x}}", ("output.directory must be the same for all",)),
        ("variants: {a: {training.seed: 1}}", ("training.seed must be the same for all",)),
        (
            "variants: {a: {}, b: {method.weights.nois: 1}}",
            ("variant 'b'", "nearest is --method.weights.noise"),
        ),
        ("variants: {a: {method.weights.noise: -1}}", ("method.weights.noise: found -1",)),
        ("variants: {a: {method.name: none}}", ("method.name: found 'none', expected one of",)),
        ("variants: {a: {weights.noise: 1}}", ("--weights.noise: is now method.weights.noise.",)),
        (
            "variants: {a: {losses.distillation.warmup: 1}}",
            ("is now method.distillation.warmup (a share of the training).",),
        ),
    ],
)
def test_mistaken_files_are_refused(write, content, parts):
    path = write(content)
    with pytest.raises(ConfigError) as caught:
        read_variants(path, [])
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    for part in parts:
        assert part in text


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^--ablation: found no file .*no\.yaml\.$"):
        read_variants(tmp_path / "no.yaml", [])
    with pytest.raises(ConfigError, match="found no file"):
        read_variants(tmp_path, [])
    path = Path(tmp_path / "x.yaml")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_variants(path, [])


@dataclasses.dataclass(frozen=True)
class Plain:
    name: Literal["plain"] = "plain"
    strength: float = 0.5

    def check(self):
        pass

    def check_task(self, task):
        pass

    def teacher_method(self):
        pass


def test_methods_may_be_variants(write, monkeypatch):
    monkeypatch.setitem(METHODS, "plain", Plain)
    path = write("variants: {fsrf: {}, plain: {method.name: plain, method.strength: 2}}")
    variants = read_variants(path, [])
    assert variants["plain"] == dataclasses.replace(Config(), method=Plain(strength=2.0))
    assert scheduling.groups(variants.values()) == [[0], [1]]
    path = write("variants: {plain: {method.name: plain, method.weights.noise: 2}}")
    with pytest.raises(
        ConfigError, match=r"is an option of the method fsrf, and method\.name is plain\."
    ):
        read_variants(path, [])


# Those that are shipped.


@pytest.mark.parametrize(("name", "rate"), [("tfrnet", "max_rate"), ("gcnet", "modality_rate")])
def test_a_protocol_of_one_model_a_rate_has_a_variant_for_each(name, rate):
    base = ["--config", str(ROOT / "configs" / "protocols" / f"{name}.yaml")]
    variants = read_variants(ROOT / "configs" / "ablations" / f"{name}.yaml", base)
    protocol = PROTOCOLS[name](("language", "audio", "vision"))
    line = [condition for condition in protocol.conditions if "=" in condition.name]
    assert list(variants) == [condition.name for condition in line]
    for condition, config in zip(line, variants.values(), strict=True):
        assert config.evaluation.protocol == name
        assert getattr(config.missing, rate) == condition.rate
        assert (config.missing.max_rate, config.missing.modality_rate).count(0) == (
            2 if condition.rate == 0 else 1
        )


@pytest.mark.parametrize("name", ["terms", "views", "divergences", "factors"])
def test_the_ablations_that_are_shipped_can_be_read(name):
    variants = read_variants(ROOT / "configs" / "ablations" / f"{name}.yaml", [])
    groups = scheduling.groups(variants.values())
    assert len(variants) >= 10
    if name == "terms":
        assert [len(group) for group in groups] == [12, 1]


def test_no_ablation_that_is_shipped_is_left_out_here():
    assert {path.stem for path in SHIPPED} >= {"terms", "views", "divergences", "factors"}
    for path in SHIPPED:
        for changes in yaml.safe_load(path.read_text())["variants"].values():
            assert not any(str(key).startswith(("losses.", "weights.")) for key in changes)
