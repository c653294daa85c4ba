"""Protocols as data: written, read back, and what is said of mistakes."""

import copy
import json

import pytest
import yaml
from command_case import ROOT

from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.protocols.files import describe, from_description, resolve
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS, Condition

MODALITIES = ("language", "audio", "vision")
OWN = ROOT / "configs" / "protocols" / "own"
GOOD = {
    "name": "mine",
    "conditions": [
        {"name": "complete", "modalities": "all"},
        {"name": "fading", "modalities": ["vision", "language"], "frame_rate": 0.25},
        {"name": "fading more", "modalities": ["vision", "language"], "frame_rate": 0.75},
        {"name": "half gone", "modality_rate": 0.5},
        {"name": "mixed", "subset_odds": {"audio": 2, "vision+language": 1.5}},
        {"name": "alike", "subset_odds": {}},
    ],
    "average": {"rule": "area", "over": ["fading", "fading more"]},
    "training": "nothing missing",
    "metrics": ["mae"],
}


def read(content):
    return from_description(content, MODALITIES, "my.yaml")


def test_a_protocol_of_ones_own():
    protocol = read(GOOD)
    assert protocol.conditions == (
        Condition("complete", MODALITIES, 0.0),
        Condition("fading", ("vision", "language"), 0.25),
        Condition("fading more", ("vision", "language"), 0.75),
        Condition("half gone", MODALITIES, 0.5, "modalities"),
        Condition(
            *("mixed", MODALITIES, 0.0, "subset"),
            odds=((("audio",), 2.0), (("vision", "language"), 1.5)),
        ),
        Condition("alike", MODALITIES, 0.0, "subset"),
    )
    assert (protocol.name, protocol.rule) == ("mine", "area")
    assert protocol.averaged == ("fading", "fading more")
    assert protocol.average_rule.startswith(
        "area under the line over the rates of fading, fading more"
    )
    assert (protocol.training, protocol.metrics) == ("nothing missing", ("mae",))


def test_without_an_average_it_is_the_mean_over_all():
    protocol = read({"name": "x", "conditions": GOOD["conditions"][:2]})
    assert (protocol.rule, protocol.averaged) == ("mean", ("complete", "fading"))
    assert protocol.average_rule == "mean over complete, fading"
    none = read({**GOOD, "average": {"rule": "none"}})
    assert (none.rule, none.averaged) == ("none", ())


@pytest.mark.parametrize("modalities", [MODALITIES, ("a", "b")])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_built_in_protocols_are_data(name, modalities):
    protocol = resolve(name, modalities)
    assert protocol == PROTOCOLS[name](modalities)
    text = json.dumps(describe(protocol), allow_nan=False)
    assert from_description(json.loads(text), modalities, "x") == protocol


def test_ones_own_is_data_too():
    assert read(json.loads(json.dumps(describe(read(GOOD))))) == read(GOOD)


@pytest.mark.parametrize("path", sorted(OWN.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_can_be_read(path):
    protocol = resolve(str(path), MODALITIES)
    assert protocol.name == path.stem
    laws = {condition.law for condition in protocol.conditions}
    assert laws == {"frames", "modalities", "subset"}


def changed(key, value):
    """The good content with one key changed; a value of None removes it."""
    content = copy.deepcopy(GOOD)
    place = content
    *path, last = key
    for part in path:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (("name",), None, "my.yaml: found .*, expected a key name"),
        (("name",), 3, "my.yaml: name: found 3, expected a name"),
        (("name",), "a|b", r"my.yaml: name: found 'a\|b', expected a name, without"),
        (("conditons",), [], "my.yaml: conditons: there is no such key; the nearest is conditions"),
        (("conditions",), [], r"my.yaml: conditions: found \[\], expected a list of one or more"),
        (("conditions",), {"a": 1}, "expected a list of one or more conditions"),
        (("conditions", 1), "fading", r"conditions\[1\]: found 'fading', expected a section"),
        (
            ("conditions", 1, "name"),
            "complete",
            r"\[1\].name: found 'complete', expected a name th",
        ),
        (("conditions", 1, "name"), "a\nb", r"conditions\[1\].name: found .* without \| and line"),
        (("conditions", 1, "name"), None, r"conditions\[1\]: found .*, expected a key name"),
        (("conditions", 1, "frame_rat"), 0.1, r"\[1\]: frame_rat: .* the nearest is frame_rate"),
        (("conditions", 1, "frame_rate"), 1.01, r"\[1\].frame_rate: found 1.01, expected a number"),
        (("conditions", 1, "frame_rate"), "0.5", "frame_rate: found '0.5', expected a number"),
        (("conditions", 1, "frame_rate"), True, "frame_rate: found True, expected a number from 0"),
        (("conditions", 1, "frame_rate"), float("nan"), "frame_rate: found nan, expected a number"),
        (("conditions", 3, "modality_rate"), -1, "modality_rate: found -1, expected a number from"),
        (
            ("conditions", 3, "frame_rate"),
            0.5,
            r"conditions\[3\]: found .* expected one of modalit",
        ),
        (
            ("conditions", 3, "modalities"),
            "all",
            r"conditions\[3\]: found .* expected one of modal",
        ),
        (("conditions", 0, "modalities"), None, r"conditions\[0\]: found .* expected one of modal"),
        (
            ("conditions", 1, "modalities"),
            ["smell"],
            r"modalities: found \['smell'\], expected all,",
        ),
        (("conditions", 1, "modalities"), [], r"modalities: found \[\], expected all, or a list"),
        (
            ("conditions", 1, "modalities"),
            ["audio", "audio"],
            "expected all, or a list .* each onc",
        ),
        (("conditions", 1, "modalities"), 7, "modalities: found 7, expected all, or a list"),
        (
            ("conditions", 4, "subset_odds"),
            {"audio+smell": 1},
            "found 'audio.smell', expected names",
        ),
        (
            ("conditions", 4, "subset_odds"),
            {"audio": -1},
            "subset_odds.audio: found -1, expected a",
        ),
        (
            ("conditions", 4, "subset_odds"),
            {"audio": "x"},
            "subset_odds.audio: found 'x', expected",
        ),
        (
            ("conditions", 4, "subset_odds"),
            {"audio": 0},
            "expected each subset once, and odds above",
        ),
        (("conditions", 4, "subset_odds"), [1], r"subset_odds: found \[1\], expected {language"),
        (("average",), "mean", "average: found 'mean', expected a section"),
        (("average", "rule"), "median", "average.rule: found 'median', expected one of mean, area"),
        (("average", "over"), ["fadin"], r"average.over: found \['fadin'\], expected a list with"),
        (("average", "over"), [], "average.over: .* expected one name or more"),
        (("average", "over"), ["fading", "complete"], "two or more conditions that differ in one"),
        (("average", "over"), ["fading"], "two or more conditions that differ in one rate"),
        (("average", "rule"), "none", "average.over: .* because the rule is none"),
        (("average", "in_words"), 3, "average.in_words: found 3, expected words"),
        (("training",), 3, "training: found 3, expected words"),
        (("metrics",), ["accc"], r"metrics: found \['accc'\], expected a list with names of acc"),
        (("metrics",), "mae", "metrics: found 'mae', expected a list"),
    ],
)
def test_mistakes_are_named(key, value, message):
    with pytest.raises(ConfigError, match=message):
        read(changed(key, value))


@pytest.mark.parametrize("content", [None, [1], "x", {}])
def test_other_content_is_no_protocol(content):
    with pytest.raises(ConfigError, match=r"my\.yaml"):
        read(content)


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(
        ConfigError, match=r"evaluation.protocol: found 'lnnl'.* the nearest is lnln"
    ):
        resolve("lnnl", MODALITIES)
    with pytest.raises(ConfigError, match="one of corrkd, lnln, tfrnet, gcnet, cmad, "):
        resolve("", MODALITIES)


def test_files_that_are_no_protocols_are_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match=f"found no file {path}"):
        resolve(str(path), MODALITIES)
    path.write_text("[1")
    with pytest.raises(ConfigError, match="is not YAML"):
        resolve(str(path), MODALITIES)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        resolve(str(path), MODALITIES)
    path.write_text("")
    with pytest.raises(ConfigError, match="found None, expected a section"):
        resolve(str(path), MODALITIES)
    path.write_text(yaml.safe_dump({**GOOD, "name": "lnln"}))
    with pytest.raises(ConfigError, match="name: found 'lnln', expected a name that no built-in"):
        resolve(str(path), MODALITIES)
    path.write_text(yaml.safe_dump(GOOD))
    assert resolve(str(path), MODALITIES) == read(GOOD)
