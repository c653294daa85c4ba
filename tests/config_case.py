"""A config that differs from another in one key."""

import dataclasses
from collections.abc import Mapping

from fsrf_jax.config import Config


def changed(key: str, value, config=None):
    """The config with one dotted key changed."""
    config = Config() if config is None else config
    head, _, rest = key.partition(".")
    if isinstance(config, Mapping):
        return {**config, key: value}
    if rest:
        value = changed(rest, value, getattr(config, head))
    return dataclasses.replace(config, **{head: value})
