"""Option fields that know their range, and the one message for a value that does not fit."""

import dataclasses
import math
from dataclasses import field
from typing import Any

from fsrf_jax.errors import ConfigError


def within(default: Any, low: float, high: float = float("inf"), below: bool = False) -> Any:
    """A field whose number must lie in [low, high], or in [low, high) with `below`."""
    return field(default=default, metadata={"range": (low, high, below)})


def expect(holds: bool, key: str, value: Any, expected: str) -> None:
    """Raise a ConfigError that names the key, unless the condition holds."""
    if not holds:
        shown = list(value) if isinstance(value, tuple) else value
        raise ConfigError(f"{key}: found {shown!r}, expected {expected}.")


def check_ranges(options: Any, prefix: str = "") -> None:
    """Check every field made by `within`, down to the last section.

    Raises:
        ConfigError: a number is out of its range; the message has its dotted name.
    """
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if dataclasses.is_dataclass(value):
            check_ranges(value, f"{prefix}{item.name}.")
        elif "range" in item.metadata:
            low, high, below = item.metadata["range"]
            inside = math.isfinite(value) and low <= value <= high and not (below and value == high)
            limit = f"at most {high:g}" if not below else f"below {high:g}"
            expected = f"at least {low:g}" + ("" if high == float("inf") else f" and {limit}")
            expect(inside, f"{prefix}{item.name}", value, f"a number of {expected}")
