"""Option dataclasses: what a section of the config is, in one place.

A part of the project has one frozen dataclass beside its code; its fields are its config section.
Here stands what they share: ranges, messages, and the line between what compiles and what does not.

A field made by `number` or `numbers` never compiles anew: `split` takes its value out into a flat
dictionary of arrays, and `merge` puts arrays in its place inside a compiled program. All the rest
is static, and of a switch the 0: two programs are the same exactly if their static parts are equal.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import field
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax.core import FrozenDict

Options = TypeVar("Options")

Hyper = dict[str, jax.Array]
"""Scalars by dotted name, such as `method.weights.noise`; in a population each is [p]."""


def within(default: Any, low: float, high: float = math.inf, below: bool = False) -> Any:
    """A static field whose number must lie in [low, high], or in [low, high) with `below`."""
    return field(default=default, metadata={"range": (low, high, below)})


def number(
    default: float | None,
    low: float,
    high: float = math.inf,
    below: bool = False,
    switch: bool = False,
) -> Any:
    """A field as `within`, whose value never compiles anew: the code may meet an array there.

    Without a default, None, the static part has no number that could be taken for the real one.
    With `switch`, 0 is static: a program without what the number is for.
    """
    metadata = {"range": (low, high, below), "number": True, "switch": switch}
    return field(default=default, metadata=metadata)


def numbers(default: dict[str, float]) -> Any:
    """A field of numbers by name, each at least 0: the names are static, the values are not."""
    metadata = {"range": (0.0, math.inf, False), "number": True}
    return field(default_factory=lambda: dict(default), metadata=metadata)


def expect(holds: bool, name: str, found: Any, expected: str) -> None:
    """Raise a ValueError that begins with the name of an option, unless the condition holds."""
    if not holds:
        shown = list(found) if isinstance(found, tuple) else found
        raise ValueError(f"{name}: found {shown!r}, expected {expected}.")


def check(options: Any) -> None:
    """Check the ranges of all fields, and what each section's own `check` asks for, if it has one.

    Raises:
        ValueError: a value does not fit; the message begins with its dotted name.
    """
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if dataclasses.is_dataclass(value):
            with prefixed(item.name):
                check(value)
        elif "range" in item.metadata:
            for name, found in _named(item.name, value).items():
                _check_range(name, found, *item.metadata["range"])
    if hasattr(options, "check"):
        options.check()


@contextlib.contextmanager
def prefixed(section: str) -> Iterator[None]:
    """A context in which a ValueError about an option is given the name of its section."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{section}.{error}") from error


def split(options: Options) -> tuple[Options, Hyper]:
    """Part options into what compiles and what does not.

    Args:
        options: a frozen dataclass, which may hold others.

    Returns:
        The static part: the same dataclass with every number at its default (a switch at 0 or 1),
        and mappings frozen, so that it is hashable and compared by value. And the numbers, float32
        scalars by dotted name; a switch at 0 is none.
    """
    changes: dict[str, Any] = {}
    hyper: Hyper = {}
    for item in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, item.name)
        if dataclasses.is_dataclass(value):
            changes[item.name], of_section = split(value)
            hyper |= {f"{item.name}.{name}": leaf for name, leaf in of_section.items()}
        elif item.metadata.get("switch") and value == 0:
            changes[item.name] = 0.0
        elif "number" in item.metadata:
            named = _named(item.name, value)
            hyper |= {name: jnp.float32(leaf) for name, leaf in named.items()}
            if isinstance(value, dict | FrozenDict):
                changes[item.name] = FrozenDict(dict.fromkeys(value, 0.0))
            else:
                changes[item.name] = 1.0 if item.metadata.get("switch") else item.default
        elif isinstance(value, dict):
            changes[item.name] = FrozenDict(value)
    return dataclasses.replace(options, **changes), hyper  # type: ignore[type-var]


def merge(static: Options, hyper: Hyper) -> Options:
    """The options again, with arrays where the numbers were; the inverse of `split`."""
    changes: dict[str, Any] = {}
    for item in dataclasses.fields(static):  # type: ignore[arg-type]
        value = getattr(static, item.name)
        if dataclasses.is_dataclass(value):
            start = f"{item.name}."
            within_section = {
                k.removeprefix(start): v for k, v in hyper.items() if k.startswith(start)
            }
            changes[item.name] = merge(value, within_section)
        elif "number" in item.metadata:
            if isinstance(value, FrozenDict):
                changes[item.name] = {name: hyper[f"{item.name}.{name}"] for name in sorted(value)}
            elif item.name in hyper:  # else a switch that is off
                changes[item.name] = hyper[item.name]
    return dataclasses.replace(static, **changes)  # type: ignore[type-var]


def _named(name: str, value: Any) -> dict[str, Any]:
    """The numbers of a field by their dotted names."""
    if isinstance(value, dict | FrozenDict):
        return {f"{name}.{part}": value[part] for part in sorted(value)}
    return {name: value}


def _check_range(name: str, value: Any, low: float, high: float, below: bool) -> None:
    inside = math.isfinite(value) and low <= value <= high and not (below and value == high)
    limit = f"below {high:g}" if below else f"at most {high:g}"
    expected = f"at least {low:g}" + ("" if high == math.inf else f" and {limit}")
    expect(inside, name, value, f"a number of {expected}")
