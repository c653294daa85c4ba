"""Search files: candidate settings, of which every method of a ranking chooses one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError
from fsrf_jax.experiments.variants import named_changes, variant
from fsrf_jax.reading.text import read_yaml

DEFAULT = "as in its file"


def read_search(
    path: Path | None, files: Mapping[str, Path], base: Sequence[str]
) -> dict[str, dict[str, Config]]:
    """The candidate configs of every method, by name.

    Args:
        path: YAML: candidates: {name: {section.option: value, ...}, ...} for every method, and
            methods: {METHOD: {name: {...}, ...}, ...} for those that have others; None: every
            method has one, its file alone.
        files: the config file of every method.
        base: the arguments that make the config that a method's file and its candidates change.

    Raises:
        ConfigError: the file cannot be read or is no search, names another method, changes what
            must be shared, or values are refused; the message names file and candidate.
    """
    changes: Mapping[str, Mapping[str, Any]] = {name: {DEFAULT: {}} for name in files}
    if path is not None:
        changes = _changes(path, tuple(files))
    return {
        method: {
            name: variant(path or file, name, changed, [*base, "--config", str(file)])
            for name, changed in changes[method].items()
        }
        for method, file in files.items()
    }


def _changes(path: Path, methods: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What the candidates of every method change."""
    content = read_yaml(path, ConfigError, "--search")
    known = {"candidates", "methods"}
    if not isinstance(content, dict) or not content or set(content) - known:
        raise ConfigError(
            f"{path}: found {content!r}, expected the keys `candidates` and `methods`."
        )
    shared = content.get("candidates")
    own = content.get("methods", {})
    if not isinstance(own, dict) or set(own) - set(methods):
        raise ConfigError(f"{path}: methods: found {own!r}, expected some of {', '.join(methods)}.")
    found: dict[str, Mapping[str, Any]] = {}
    for method in methods:
        listed = own.get(method, shared)
        if listed is None:
            raise ConfigError(
                f"{path}: found no candidates for {method}: name them under `methods`, or for all "
                "under `candidates`."
            )
        found[method] = named_changes(path, listed)
    return found
