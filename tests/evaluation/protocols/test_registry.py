"""The grids of conditions."""

import pytest

from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS, Condition, corrkd

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


def test_any_two_or_more_modalities():
    protocol = corrkd(("b", "a"))
    assert names(protocol)[:4] == ["b", "a", "b+a", "rate=0.1"]
    assert len(corrkd(("a", "b", "c", "d")).conditions) == 15 + 10


def test_the_registry_names_each_protocol_as_it_names_itself():
    for name, build in PROTOCOLS.items():
        assert build(MODALITIES).name == name


FRAMES = ["rate=0.0", "rate=0.1", "rate=0.2", "rate=0.3", "rate=0.4", "rate=0.5"]
FRAMES += ["rate=0.6", "rate=0.7", "rate=0.8", "rate=0.9"]
SUBSETS = ["language", "audio", "vision", "language+audio", "language+vision", "audio+vision"]


def names(protocol):
    return [condition.name for condition in protocol.conditions]


def test_lnln_averages_ten_frame_rates():
    protocol = PROTOCOLS["lnln"](MODALITIES)
    assert names(protocol) == list(protocol.averaged) == FRAMES
    assert protocol.average_rule == "mean over the 10 frame rates"
    assert [condition.rate for condition in protocol.conditions] == [i / 10 for i in range(10)]
    assert {condition.subset for condition in protocol.conditions} == {MODALITIES}


def test_tfrnet_takes_the_area_up_to_rate_1():
    protocol = PROTOCOLS["tfrnet"](MODALITIES)
    assert names(protocol) == list(protocol.averaged) == [*FRAMES, "rate=1.0"]
    assert protocol.rule == "area"
    assert "area under the line" in protocol.average_rule


def test_gcnet_has_missing_rates_and_incomplete_subsets_and_no_average():
    protocol = PROTOCOLS["gcnet"](MODALITIES)
    assert names(protocol) == [f"mr=0.{i}" for i in range(8)] + SUBSETS
    assert (protocol.rule, protocol.averaged) == ("none", ())
    assert protocol.conditions[3] == Condition("mr=0.3", MODALITIES, 0.3, "modalities")
    assert "at most (M - 1) / M" in protocol.mask_law


def test_cmad_averages_the_seven_subsets_and_draws_one_with_its_odds():
    protocol = PROTOCOLS["cmad"](MODALITIES)
    assert names(protocol) == [*SUBSETS, "language+audio+vision", "drawn"]
    assert protocol.averaged == tuple(names(protocol)[:7])
    odds = dict(protocol.conditions[-1].odds)
    assert sum(odds.values()) == 14
    assert ["+".join(subset) for subset in odds] == names(protocol)[:7]
    assert list(odds.values()) == [2, 3, 3, 1, 1, 3, 1]
    assert PROTOCOLS["cmad"](("a", "b")).conditions[-1].odds == ()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_says_what_it_is(name):
    protocol = PROTOCOLS[name](MODALITIES)
    assert len(set(names(protocol))) == len(protocol.conditions)
    assert set(protocol.averaged) <= set(names(protocol))
    assert protocol.training
    assert protocol.mask_law
    known = {metric for family in FAMILIES.values() for metric in family.names}
    assert set(protocol.metrics) <= known
    assert protocol.metrics


def test_what_is_random_and_what_shows_nothing():
    whole, half = Condition("x", MODALITIES, 0.0), Condition("x", MODALITIES, 0.5)
    drawn = Condition("x", MODALITIES, 0.0, "subset")
    assert [condition.random for condition in (whole, half, drawn)] == [False, True, True]
    assert not Condition("x", MODALITIES, 1.0).shows
    assert Condition("x", MODALITIES, 1.0, "modalities").shows
