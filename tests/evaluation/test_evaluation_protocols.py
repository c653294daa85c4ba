"""The grids of conditions."""

import pytest

from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.protocols import PROTOCOLS, Condition, corrkd

MODALITIES = ("language", "audio", "vision")


def test_corrkd_has_all_subsets_by_size_and_then_the_rates():
    protocol = corrkd(MODALITIES)
    assert [condition.name for condition in protocol.conditions] == [
        "language", "audio", "vision",
        "language+audio", "language+vision", "audio+vision",
        "language+audio+vision",
        "rate=0.1", "rate=0.2", "rate=0.3", "rate=0.4", "rate=0.5",
        "rate=0.6", "rate=0.7", "rate=0.8", "rate=0.9", "rate=1.0",
    ]  # fmt: skip
    assert protocol.conditions[4] == Condition("language+vision", ("language", "vision"), 0.0)
    assert protocol.conditions[9] == Condition("rate=0.3", MODALITIES, 0.3)


def test_corrkd_averages_the_incomplete_subsets():
    protocol = corrkd(MODALITIES)
    assert protocol.averaged == tuple(c.name for c in protocol.conditions[:6])
    assert protocol.average_rule == "mean over the 6 incomplete modality subsets"


def test_any_two_or_more_modalities_and_any_rates():
    protocol = corrkd(("b", "a"), (0.25, 3 * 0.1))
    assert [condition.name for condition in protocol.conditions] == [
        "b", "a", "b+a", "rate=0.25", "rate=0.3",
    ]  # fmt: skip
    assert len(corrkd(("a", "b", "c", "d"), ()).conditions) == 15


@pytest.mark.parametrize(
    ("modalities", "rates", "message"),
    [
        (("language",), (0.1,), "two or more names"),
        (("a", "a"), (0.1,), "two or more names"),
        (("a+b", "c"), (0.1,), "expected no"),
        (("a", "b"), (0.0,), "expected values in"),
        (("a", "b"), (1.1,), "expected values in"),
        (("a", "b"), (0.1, 0.1), "each of them once"),
    ],
)
def test_wrong_grids_are_named(modalities, rates, message):
    with pytest.raises(ConfigError, match=message):
        corrkd(modalities, rates)


def test_the_registry_names_each_protocol_as_it_names_itself():
    for name, build in PROTOCOLS.items():
        assert build(MODALITIES).name == name
