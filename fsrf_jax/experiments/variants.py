"""Ablation files: named variants of an experiment."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsrf_jax import arguments
from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError
from fsrf_jax.reading.text import read_yaml

# What must not differ between variants, or their figures could not be compared.
SHARED = ("data.", "evaluation.", "output.", "training.seed")


def read_variants(path: Path, base: Sequence[str]) -> dict[str, Config]:
    """The config of every variant of an ablation file, by name.

    Args:
        path: YAML: variants: {name: {section.option: value, ...}, ...}.
        base: the arguments that make the config that variants change.

    Raises:
        ConfigError: the file cannot be read or is no ablation, a variant changes what must be
            shared, or its values are refused; the message names file and variant.
    """
    content = read_yaml(path, ConfigError, "--ablation")
    variants = content.get("variants") if isinstance(content, dict) else None
    if not isinstance(variants, dict) or len(content) > 1 or not variants:
        raise ConfigError(
            f"{path}: found {content!r}, expected one key `variants` with a name and changes each."
        )
    return {
        name: variant(path, name, changes, base)
        for name, changes in named_changes(path, variants).items()
    }


def named_changes(path: Path, variants: Any) -> dict[str, Any]:
    """The changes of every variant, by a name that is text.

    Raises:
        ConfigError: it is no mapping by names.
    """
    if not isinstance(variants, dict) or not variants:
        raise ConfigError(f"{path}: found {variants!r}, expected names with changes each.")
    for name in variants:
        if name is None or isinstance(name, bool):  # YAML takes on, off, yes and no for values
            raise ConfigError(f"{path}: variant {name!r}: expected a name: put it in quotes.")
    return {str(name): changes for name, changes in variants.items()}


def variant(path: Path, name: str, changes: Any, base: Sequence[str]) -> Config:
    """The config of one variant.

    Args:
        path: the file that names it.
        name: its name, which can be a folder.
        changes: options and their values, by dotted key.
        base: the arguments that make the config that it changes.

    Raises:
        ConfigError: see `read_variants`.
    """
    where = f"{path}: variant {name!r}"
    if not name.strip() or "/" in name or name.startswith("."):
        raise ConfigError(f"{where}: expected a name that can be a folder.")
    if not isinstance(changes, dict):
        raise ConfigError(f"{where}: found {changes!r}, expected {{section.field: value, ...}}.")
    for key in changes:
        if str(key).startswith(SHARED):
            raise ConfigError(f"{where}: {key} must be the same for all; set it for the whole run.")
    # An override on the command line replaces what the base says, and is checked alike.
    argv = [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in changes.items()
    ]
    try:
        argv = [*base, *argv]
        return arguments.parse(arguments.make_parser("ablate", "", argv), argv)[0]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
