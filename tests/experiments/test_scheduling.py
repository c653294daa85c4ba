import dataclasses
from pathlib import Path

import pytest
import yaml
from config_case import changed

from fsrf_jax import arguments
from fsrf_jax.config import Config
from fsrf_jax.experiments import scheduling
from fsrf_jax.experiments.scheduling import chunks, groups, members_at_a_time, static_key


def numbers(section=None, prefix=""):
    """Every key whose value is an array in training."""
    for item in dataclasses.fields(section := Config() if section is None else section):
        value = getattr(section, item.name)
        if dataclasses.is_dataclass(value):
            yield from numbers(value, f"{prefix}{item.name}.")
        elif "number" in item.metadata:
            yield f"{prefix}{item.name}"


@pytest.mark.parametrize(
    ("key", "value", "together"),
    [
        ("training.seed", 3, True),
        ("optimizer.learning_rate", 0.5, True),
        ("optimizer.weight_decay", 0.5, True),
        ("optimizer.clip_norm", 0.5, True),
        ("method.distillation.temperature", 2.0, True),
        ("method.distillation.warmup", 0.5, True),
        ("method.noise.floor", 0.25, True),
        ("model.dropout", 0.5, True),
        ("model.dropout", 0.0, True),
        ("method.weights.noise", 0.0, True),
        ("method.weights.feature_distillation", {"mse": 0.0, "mmd": 9.0}, True),
        ("output.directory", "elsewhere", True),
        ("output.progress", False, True),
        ("method.weights.feature_distillation", {"mse": 0.1}, False),
        ("method.complete_view", True, False),
        ("method.noise.kind", "uniform", False),
        ("task.kind", "mse", False),
        ("missing.max_rate", 0.5, False),  # a number, but of the masks of validation as well
        ("missing.whole_share", 0.5, False),
        ("missing.subset_weights", {"audio": 1.0}, False),
        ("data.fold_seed", 1, False),
        ("model.width", 8, False),
        ("model.feature_dropout", 0.5, False),  # from 0: a switch
        ("optimizer.warmup", 0.5, True),
        ("training.epochs", 7, False),
        ("training.batch_size", 7, False),
        ("training.validation_draws", 7, False),
        ("training.patience", 7, False),
        ("evaluation.mask_seeds", (5,), False),
    ],
)
def test_what_trains_as_one_program(key, value, together):
    configs = [Config(), changed(key, value)]
    assert groups(configs) == ([[0, 1]] if together else [[0], [1]])
    keys = [static_key(config) for config in configs]
    assert (keys[0] == keys[1]) == together
    if together:
        assert hash(keys[0]) == hash(keys[1])


@pytest.mark.parametrize("key", [k for k in sorted(numbers()) if not k.startswith("missing.")])
def test_no_number_parts_a_group(key):
    value = Config()
    for part in key.split("."):
        value = getattr(value, part)
    if isinstance(value, dict):
        others = [{name: x + more for name, x in value.items()} for more in (0.25, 0.5)]
    else:
        others = [value + 0.25, value + 0.5]
    configs = [changed(key, other) for other in others]
    if key != "model.feature_dropout":  # whose default is a switch that is off
        configs.append(Config())
    assert groups(configs) == [list(range(len(configs)))]


def test_the_order_of_names_parts_no_group():
    key = "method.weights.feature_distillation"
    configs = [changed(key, {"mmd": 0.1, "mse": 0.2}), changed(key, {"mse": 0.1, "mmd": 0.2})]
    assert groups(configs) == [[0, 1]]


def test_a_config_as_it_is_read_is_grouped_like_one_that_is_made(tmp_path):
    read = []
    for seed, weight in ((0, 0.1), (1, 0)):
        content = {
            "training": {"seed": seed},
            "method": {"weights": {"noise": weight}},
            "missing": {"subset_weights": {"audio+vision": 1, "all": 2}},
            "output": {"directory": f"member-{seed}"},
        }
        path = Path(tmp_path / f"{seed}.yaml")
        path.write_text(yaml.safe_dump(content))
        read.append(arguments.load(path))
    made = changed("missing.subset_weights", {"all": 2.0, "audio+vision": 1.0})
    assert groups([*read, made, Config()]) == [[0, 1, 2], [3]]


def test_groups_keep_the_order():
    other = changed("task.kind", "mse")
    configs = [Config(), other, changed("training.seed", 1), changed("training.seed", 1, other)]
    assert groups(configs) == [[0, 2], [1, 3]]
    assert groups([]) == []


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [
        (7, 3, [3, 3, 1]),
        (8, 3, [3, 3, 2]),
        (10, 4, [4, 4, 2]),
        (9, 8, [5, 4]),
        (2, 5, [2]),
        (3, 1, [1, 1, 1]),
        (0, 3, []),
    ],
)
def test_chunks(count, size, sizes):
    parts = chunks(list(range(count)), size)
    assert [len(part) for part in parts] == sizes
    assert [item for part in parts for item in part] == list(range(count))


def test_chunks_are_as_few_as_can_be_and_of_one_size_but_the_last():
    for count in range(1, 30):
        for size in range(1, 12):
            sizes = [len(part) for part in chunks(range(count), size)]
            assert len(sizes) == -(-count // size)
            assert max(sizes) <= size
            assert len(set(sizes[:-1])) <= 1
            assert 0 < sizes[-1] <= sizes[0]


def test_how_many_train_together(monkeypatch):
    assert members_at_a_time(5) == 5
    assert members_at_a_time(0) == 1  # one CPU device
    monkeypatch.setattr(scheduling.jax, "local_device_count", lambda: 8)
    assert members_at_a_time(0) == 8
    monkeypatch.setattr(scheduling.jax, "default_backend", lambda: "gpu")
    assert members_at_a_time(0) == 64
    assert members_at_a_time(5) == 5
