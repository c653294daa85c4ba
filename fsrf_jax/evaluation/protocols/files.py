"""Protocols as plain data: read from YAML, written into results, and read back.

One form for all of them:

    name: noisy_audio
    conditions:
      - {name: complete, modalities: all}
      - {name: audio fades, modalities: [language, audio], frame_rate: 0.5}
      - {name: half gone, modality_rate: 0.5}
      - {name: mixture, subset_odds: {language: 2, language+audio: 1}}
    average: {rule: mean, over: [complete, audio fades]}
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from fsrf_jax import options, packaged
from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS, Condition, Protocol, Rule
from fsrf_jax.reading.text import read_yaml

OWN = "protocols/own"
"""Folder of the packaged protocols that are files."""

FORMS = "modalities (with frame_rate or without), modality_rate, or subset_odds"
WORDS = {
    "mean": "mean over {}",
    "area": "area under the line over the rates of {}, by trapezoids, not divided by its width",
    "none": "none: each condition stands for itself",
}


def resolve(name: str, modalities: Sequence[str]) -> Protocol:
    """The protocol of that name, or the one that a YAML file of that name describes.

    Args:
        name: a key of `PROTOCOLS`, a path that ends in .yaml or .yml, or the name of a packaged
            file, as protocols/own/fading.
        modalities: names of the modalities, in the order of the config.

    Raises:
        ConfigError: there is no such protocol or file, or the file describes none.
    """
    if is_file(name):
        path = packaged.find(name, OWN, "evaluation.protocol")
        return read_protocol(path, modalities)
    if name not in PROTOCOLS:
        known = [*PROTOCOLS, *_packaged()]
        close = difflib.get_close_matches(name, known, 1, cutoff=0.5)
        hint = f"; the nearest is {close[0]}" if close else ""
        expected = f"one of {', '.join(known)}, or a path to a .yaml file{hint}"
        raise ConfigError(f"evaluation.protocol: found {name!r}, expected {expected}.")
    return PROTOCOLS[name](modalities)


def is_file(name: str) -> bool:
    """Whether the name of a protocol is a path to a file, or the name of a packaged one."""
    return name.endswith((".yaml", ".yml")) or name in _packaged()


def _packaged() -> list[str]:
    return [f"{OWN}/{name}" for name in packaged.names(OWN)]


def read_protocol(path: Path, modalities: Sequence[str]) -> Protocol:
    """The protocol that a YAML file describes.

    Raises:
        ConfigError: it cannot be read, describes no protocol, or takes the name of a built-in one.
    """
    content = read_yaml(path, ConfigError, "evaluation.protocol")
    protocol = from_description(content, modalities, str(path))
    own = protocol.name not in PROTOCOLS
    expect(own, f"{path}: name", protocol.name, "a name that no built-in protocol has")
    return protocol


def describe(protocol: Protocol) -> dict[str, Any]:
    """The protocol as plain data, which `from_description` reads back."""
    return {
        "name": protocol.name,
        "conditions": [_describe_condition(condition) for condition in protocol.conditions],
        "average": {
            "rule": protocol.rule,
            "over": list(protocol.averaged),
            "in_words": protocol.average_rule,
        },
        "training": protocol.training,
        "metrics": list(protocol.metrics),
    }


def from_description(content: Any, modalities: Sequence[str], where: str) -> Protocol:
    """The protocol of a description: see the module.

    Args:
        content: what YAML or JSON gave.
        modalities: names that conditions may use; `modalities: all` stands for them.
        where: the file, for messages.

    Raises:
        ConfigError: a key is unknown or missing, or a value is of another type or out of range;
            the message names the file and the key.
    """
    fields = ("name", "conditions", "average", "training", "metrics")
    _check_keys(content, fields, ("name", "conditions"), where)
    name, listed = content["name"], content["conditions"]
    _expect_name(name, f"{where}: name")
    some = isinstance(listed, list) and bool(listed)
    expect(some, f"{where}: conditions", listed, "a list of one or more conditions")
    conditions = tuple(
        _condition(entry, modalities, f"{where}: conditions[{index}]")
        for index, entry in enumerate(listed)
    )
    names = [condition.name for condition in conditions]
    for index, found in enumerate(names):
        once = found not in names[:index]
        expect(once, f"{where}: conditions[{index}].name", found, "a name that no other has")
    rule, averaged, words = _average(content.get("average", {}), conditions, f"{where}: average")
    training = content.get("training", Protocol.training)
    expect(isinstance(training, str), f"{where}: training", training, "words")
    metrics = content.get("metrics", [])
    known = sorted({metric for family in FAMILIES.values() for metric in family.names})
    fits = isinstance(metrics, list) and set(map(str, metrics)) <= set(known)
    expect(fits, f"{where}: metrics", metrics, f"a list with names of {', '.join(known)}")
    return Protocol(name, conditions, words, averaged, rule, training, tuple(metrics))


def _describe_condition(condition: Condition) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": condition.name}
    if condition.law == "modalities":
        return entry | {"modality_rate": condition.rate}
    if condition.law == "subset":
        return entry | {"subset_odds": {"+".join(names): odds for names, odds in condition.odds}}
    return entry | {"modalities": list(condition.subset), "frame_rate": condition.rate}


def _condition(entry: Any, modalities: Sequence[str], where: str) -> Condition:
    forms = ("modalities", "modality_rate", "subset_odds")
    _check_keys(entry, ("name", *forms, "frame_rate"), ("name",), where)
    name = entry["name"]
    _expect_name(name, f"{where}.name")
    given = [form for form in forms if form in entry]
    expect(len(given) == 1, where, entry, f"one of {FORMS}")
    expect("frame_rate" not in entry or given == ["modalities"], where, entry, f"one of {FORMS}")
    everything = tuple(modalities)
    if given == ["modality_rate"]:
        return Condition(name, everything, _rate(entry, "modality_rate", where), "modalities")
    if given == ["subset_odds"]:
        odds = _odds(entry["subset_odds"], modalities, f"{where}.subset_odds")
        return Condition(name, everything, 0.0, "subset", odds)
    listed = everything if entry["modalities"] == "all" else entry["modalities"]
    fits = isinstance(listed, list | tuple) and len(listed) > 0
    fits = fits and all(m in modalities for m in listed) and len(set(listed)) == len(listed)
    expected = f"all, or a list with names of {', '.join(modalities)}, each once"
    expect(fits, f"{where}.modalities", listed, expected)
    rate = _rate(entry, "frame_rate", where) if "frame_rate" in entry else 0.0
    return Condition(name, tuple(listed), rate)


def _rate(entry: Mapping[str, Any], key: str, where: str) -> float:
    rate = entry[key]
    expect(_is_number(rate) and 0 <= rate <= 1, f"{where}.{key}", rate, "a number from 0 to 1")
    return float(rate)


def _odds(
    content: Any, modalities: Sequence[str], where: str
) -> tuple[tuple[tuple[str, ...], float], ...]:
    expected = "{language+audio: 2, ...}, or {} for all subsets alike"
    expect(isinstance(content, dict), where, content, expected)
    odds = []
    for subset, weight in content.items():
        names = tuple(str(subset).split("+"))
        fits = set(names) <= set(modalities) and len(set(names)) == len(names)
        expect(fits, where, subset, f"names of {', '.join(modalities)} joined by +")
        usable = _is_number(weight) and 0 <= weight < math.inf
        expect(usable, f"{where}.{subset}", weight, "a number of at least 0")
        odds.append((names, float(weight)))
    once = len({frozenset(names) for names, _ in odds}) == len(odds)
    some = not odds or sum(weight for _, weight in odds) > 0
    expect(once and some, where, content, "each subset once, and odds above 0")
    return tuple(odds)


def _average(
    content: Any, conditions: Sequence[Condition], where: str
) -> tuple[Rule, tuple[str, ...], str]:
    """Rule, names and words of an average; without one it is the mean over all conditions."""
    _check_keys(content, ("rule", "over", "in_words"), (), where)
    names = [condition.name for condition in conditions]
    rule = content.get("rule", "mean")
    expect(rule in get_args(Rule), f"{where}.rule", rule, f"one of {', '.join(get_args(Rule))}")
    over = content.get("over", [] if rule == "none" else names)
    fits = isinstance(over, list) and all(name in names for name in over)
    fits = fits and len(set(over)) == len(over)
    expect(fits, f"{where}.over", over, "a list with names of conditions, each once")
    if rule == "none":
        expect(not over, f"{where}.over", over, "nothing, because the rule is none")
    else:
        expect(len(over) > 0, f"{where}.over", over, "one name or more")
    if rule == "area":
        line = [condition for condition in conditions if condition.name in over]
        distinct = len({condition.rate for condition in line}) == len(line) > 1
        same = len({(condition.law, condition.subset) for condition in line}) == 1
        expected = "two or more conditions that differ in one rate alone"
        expect(distinct and same, f"{where}.over", over, expected)
    words = content.get("in_words", WORDS[rule].format(", ".join(over)))
    expect(isinstance(words, str), f"{where}.in_words", words, "words")
    return rule, tuple(over), words


def _check_keys(content: Any, allowed: Sequence[str], required: Sequence[str], where: str) -> None:
    expected = f"a section with keys of {', '.join(allowed)}"
    expect(isinstance(content, dict), where, content, expected)
    for key in content:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, 1, cutoff=0.5)
            hint = f"the nearest is {close[0]}" if close else f"expected {', '.join(allowed)}"
            raise ConfigError(f"{where}: {key}: there is no such key; {hint}.")
    for key in required:
        expect(key in content, where, sorted(map(str, content)), f"a key {key}")


def _expect_name(name: Any, where: str) -> None:
    plain = isinstance(name, str) and name.strip() == name != "" and name.isprintable()
    expect(plain and "|" not in name, where, name, "a name, without | and line breaks")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def expect(holds: bool, key: str, found: Any, expected: str) -> None:
    """`options.expect` for a file of the user's: a ConfigError."""
    try:
        options.expect(holds, key, found, expected)
    except ValueError as error:
        raise ConfigError(str(error)) from error
