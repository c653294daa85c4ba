import dataclasses

import pytest
from config_case import changed

from fsrf_jax.config import Config, check, flatten
from fsrf_jax.data.synthetic import SyntheticOptions, make_world
from fsrf_jax.errors import ConfigError


def ranges(section=None, prefix=""):
    for item in dataclasses.fields(section := Config() if section is None else section):
        value = getattr(section, item.name)
        if dataclasses.is_dataclass(value):
            yield from ranges(value, f"{prefix}{item.name}.")
        elif "range" in item.metadata:
            names = [f"{item.name}.{name}" for name in value] if isinstance(value, dict) else None
            for name in names or [item.name]:
                kind = float if names else type(value)
                yield f"{prefix}{name}", kind, item.metadata["range"]


def test_the_defaults_are_valid_and_make_a_world():
    config = check(Config())
    assert config.data.synthetic == SyntheticOptions()
    make_world(config.data.synthetic, config.data.modalities)


def test_the_default_world_is_that_of_the_issue():
    world = Config().data.synthetic
    assert (world.train, world.valid, world.test, world.frames) == (2000, 500, 4000, 20)
    assert world.private == (1, 1, 1)


def test_a_config_is_frozen_all_the_way_down():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.method.noise.floor = 1.0


def test_flatten_names_every_leaf():
    flat = flatten(changed("missing.subset_weights", {"language+audio": 2.0}))
    assert flat["training.epochs"] == 30
    assert flat["data.modalities"] == ["language", "audio", "vision"]
    assert flat["method.weights.feature_distillation"] == {"mmd": 0.1, "mse": 1.0}
    assert flat["missing.subset_weights"] == {"language+audio": 2.0}
    assert not any(isinstance(value, tuple) for value in flat.values())


@pytest.mark.parametrize(("key", "kind", "limits"), list(ranges()))
def test_numbers_out_of_range_are_refused_by_name(key, kind, limits):
    low, high, below = limits
    step = 1 if kind is int else 1e-4
    check_ranges_only(changed(key, kind(low)))
    with pytest.raises(
        ConfigError, match=rf"^{key}: found .*expected a number of at least {low:g}"
    ):
        check(changed(key, kind(low) - step))
    for number in (float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=f"^{key}: found {number}"):
            check(changed(key, number))
    if high < float("inf"):
        limit = "below" if below else "at most"
        with pytest.raises(ConfigError, match=rf"^{key}: .* and {limit} {high:g}\.$"):
            check(changed(key, high if below else high + step))
        if not below:
            check_ranges_only(changed(key, kind(high)))


def check_ranges_only(config):
    """The bound itself is in range; it may fail to fit other fields."""
    message = ""
    try:
        check(config)
    except ConfigError as error:
        message = str(error)
    assert "a number of at least" not in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.modalities": ("audio",)}, "data.modalities: found ['audio'], expected two or more"),
        ({"data.modalities": ("audio", "audio")}, "expected two or more different names"),
        ({"data.modalities": ("a+b", "c")}, "data.modalities: found 'a+b', expected names without"),
        ({"data.modalities": ("rate=1", "c")}, "found 'rate=1', expected names without"),
        ({"data.modalities": ("", "c")}, "found '', expected names without"),
        ({"data.source": "file"}, "data.path: found None, expected a data file"),
        ({"data.path": "x.npz"}, "give --data.source file as well"),
        ({"data.licence": "CC\nBY"}, "data.licence: found 'CC\\nBY', expected words on one line"),
        ({"data.label_column": -1}, "data.label_column: found -1, expected a number from 0"),
        ({"data.label_column": (1, 1)}, "data.label_column: found [1, 1], expected a number"),
        ({"data.label_column": ()}, "data.label_column: found [], expected a number from 0"),
        ({"data.tasks": ("up", "up")}, "data.tasks: found ['up', 'up'], expected different"),
        ({"data.tasks": ("a b",)}, "data.tasks: found ['a b'], expected different names"),
        ({"data.folds": 1}, "data.folds: found 1, expected 0 or at least 3"),
        ({"data.folds": 2}, "data.folds: found 2, expected 0 or at least 3"),
        ({"data.folds": 5, "data.fold": 5}, "data.fold: found 5, expected a fold below 5"),
        ({"data.fold": 1}, "data.fold: found 1, expected a fold below 1"),
        (
            {"model.width": 10},
            "model.width: found 10, expected an even multiple of model.heads (4)",
        ),
        ({"model.width": 3, "model.heads": 1}, "model.width: found 3, expected an even"),
        (
            {"model.pool": "cls", "model.encoder_layers": 0},
            "model.encoder_layers: found 0, expected 1 or more, because model.pool is cls",
        ),
        ({"evaluation.mask_seeds": ()}, "evaluation.mask_seeds: found [], expected one or more"),
        ({"evaluation.mask_seeds": (1, 1)}, "found [1, 1], expected one or more different seeds"),
        (
            {"method.weights.feature_distillation": {"mdd": 1.0}},
            "method.weights.feature_distillation: found 'mdd', expected names of divergences "
            "(cmd, coral,",
        ),
        (
            {"method.weights.feature_distillation": {"mmd": -1.0}},
            "method.weights.feature_distillation.mmd: found -1.0, expected a number of at least 0",
        ),
        (
            {"method.reconstruction.target": "complete"},
            "method.reconstruction.target: found 'complete', expected frames or view, or "
            "method.complete_view: true",
        ),
        ({"method.distillation.codes": ()}, "method.distillation.codes: found [], expected one or"),
        (
            {"method.distillation.prediction": "gaussian_kl"},
            "method.distillation.prediction: found 'gaussian_kl', expected auto, or one that fits "
            "task.kind l1",
        ),
        (
            {"method.distillation.prediction": "squared", "task.kind": "cross_entropy"},
            "method.distillation.prediction: found 'squared', expected auto",
        ),
        ({"missing.subset_weights": {"audio": 0.0}}, "expected each subset once, and odds above 0"),
        (
            {"missing.subset_weights": {"all": 1.0, "audio+vision+language": 2.0}},
            "expected each subset once",
        ),
        (
            {"missing.subset_weights": {"audio+vision": 1.0, "vision+audio": 2.0}},
            "expected each subset once",
        ),
        (
            {"missing.subset_weights": {"language+adio": 1.0}},
            "missing.subset_weights: found 'language+adio', expected names of data.modalities "
            "(language, audio, vision) joined by +.",
        ),
        ({"missing.subset_weights": {"audio": -1.0}}, "subset_weights.audio: found -1.0, expected"),
        ({"missing.modality_rate": 1.1}, "missing.modality_rate: found 1.1, expected null, or a"),
        ({"missing.modality_rate": float("nan")}, "missing.modality_rate: found nan, expected"),
        (
            {"missing.modality_rate": 0.1, "missing.subset_weights": {"audio": 1.0}},
            "missing.modality_rate: found 0.1, expected null, because missing.subset_weights",
        ),
    ],
)
def test_fields_that_do_not_fit_are_named(changes, message):
    config = Config()
    for key, value in changes.items():
        config = changed(key, value, config)
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert message in str(caught.value)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"data.folds": 5, "data.fold": 4},
        {"data.source": "file", "data.path": "x.npz"},
        {"missing.subset_weights": {"language+audio": 1.0, "vision": 0.0}},
        {"data.modalities": ("OpenFace_2.0", "glove-vectors")},
        {"method.reconstruction.target": "complete", "method.complete_view": True},
        {"method.distillation.prediction": "gaussian_kl", "task.kind": "gaussian"},
        {"method.distillation.warmup": 1.0},
    ],
)
def test_fields_that_fit_pass(changes):
    config = Config()
    for key, value in changes.items():
        config = changed(key, value, config)
    assert check(config) is config


@pytest.mark.parametrize("text", ["a\0b", "a\udcff"])
@pytest.mark.parametrize(
    ("section", "key"), [("output", "directory"), ("data", "modalities"), ("data", "licence")]
)
def test_text_that_no_file_holds_is_refused(section, key, text):
    value = ("language", text) if key == "modalities" else text
    options = dataclasses.replace(getattr(Config(), section), **{key: value})
    with pytest.raises(ConfigError, match=rf"^{section}\.{key}: found 'a\\.*UTF-8 without a NUL"):
        check(dataclasses.replace(Config(), **{section: options}))
