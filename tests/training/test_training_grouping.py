import dataclasses

import pytest

from fsrf_jax.config import Config
from fsrf_jax.training.grouping import chunks, common, groups, members_at_a_time, varies_dropout


def changed(key, value, config=None):
    """The config with one dotted key changed."""
    config = Config() if config is None else config
    head, _, rest = key.partition(".")
    if rest:
        value = changed(rest, value, getattr(config, head))
    return dataclasses.replace(config, **{head: value})


@pytest.mark.parametrize(
    ("key", "value", "together"),
    [
        ("training.seed", 3, True),
        ("optimizer.learning_rate", 0.5, True),
        ("losses.distillation.temperature", 2.0, True),
        ("model.dropout", 0.5, True),
        ("weights.noise", 0.0, True),
        ("weights.feature_distillation", {"mse": 0.0, "mmd": 9.0}, True),
        ("output.directory", "elsewhere", True),
        ("weights.feature_distillation", {"mse": 0.1}, False),
        ("losses.task.kind", "mse", False),
        ("optimizer.weight_decay", 0.5, False),
        ("missing.clean_view", True, False),
        ("training.epochs", 7, False),
    ],
)
def test_what_trains_as_one_program(key, value, together):
    configs = [Config(), changed(key, value)]
    assert groups(configs) == ([[0, 1]] if together else [[0], [1]])


def test_groups_keep_the_order():
    other = changed("losses.task.kind", "mse")
    configs = [Config(), other, changed("training.seed", 1), changed("training.seed", 1, other)]
    assert groups(configs) == [[0, 2], [1, 3]]
    assert groups([]) == []


def test_a_group_that_varies_dropout_has_a_program_with_dropout():
    configs = [changed("model.dropout", rate) for rate in (0.0, 0.2)]
    assert varies_dropout(configs)
    assert not varies_dropout([configs[1], changed("training.seed", 1, configs[1])])
    assert common(configs).model.dropout == 0.2
    assert common(configs[:1]) == configs[0]


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [
        (7, 3, [3, 3, 1]),
        (8, 3, [3, 3, 2]),
        (10, 4, [4, 4, 2]),
        (9, 8, [5, 4]),
        (2, 5, [2]),
        (0, 3, []),
    ],
)
def test_chunks(count, size, sizes):
    parts = chunks(list(range(count)), size)
    assert [len(part) for part in parts] == sizes
    assert [item for part in parts for item in part] == list(range(count))


def test_how_many_train_together():
    assert members_at_a_time(5) == 5
    assert members_at_a_time(0) == 1  # one CPU device
