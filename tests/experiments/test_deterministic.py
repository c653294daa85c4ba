import dataclasses

import jax
import pytest
from ablation_case import parse

from fsrf_jax.errors import ConfigError
from fsrf_jax.experiments import deterministic
from fsrf_jax.experiments.deterministic import FLAG, ask_for_determinism
from fsrf_jax.experiments.experiment import open_experiment


@pytest.fixture
def jax_is(monkeypatch):
    """Sets whether JAX has started, and on what; and XLA_FLAGS."""

    def start(started, backend="gpu", flags=""):
        monkeypatch.setattr(deterministic.xla_bridge, "backends_are_initialized", lambda: started)
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        monkeypatch.setenv("XLA_FLAGS", flags)

    return start


@pytest.mark.parametrize(("flags", "expected"), [("", FLAG), ("--a=1", f"--a=1 {FLAG}")])
def test_xla_is_asked_before_jax_starts(jax_is, flags, expected):
    jax_is(False, flags=flags)
    for _ in range(2):
        ask_for_determinism()
        assert deterministic.os.environ["XLA_FLAGS"] == expected


def test_too_late_is_an_error_on_a_gpu_alone(jax_is):
    jax_is(True)
    with pytest.raises(ConfigError, match=r"training\.deterministic: JAX has already started"):
        ask_for_determinism()
    jax_is(True, flags=FLAG)
    ask_for_determinism()
    jax_is(True, "cpu")
    ask_for_determinism()
    assert deterministic.os.environ["XLA_FLAGS"] == ""


def test_a_run_asks_for_it_if_it_is_told_to(jax_is):
    jax_is(True)
    config = parse()
    asked = dataclasses.replace(config.training, deterministic=True)
    with pytest.raises(ConfigError, match="deterministic"):
        open_experiment(dataclasses.replace(config, training=asked))
    open_experiment(config)
