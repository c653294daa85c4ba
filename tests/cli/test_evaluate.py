"""The command `evaluate` itself; what it computes is tested in tests/end_to_end."""

import dataclasses

from command_case import call

from fsrf_jax.config import EvaluationConfig


def test_help_names_every_setting():
    text = call("evaluate", "--help").out
    for field in dataclasses.fields(EvaluationConfig):
        assert f"--evaluation.{field.name}" in text
    for option in ("RUN", "--output", "--data.path", "--data.licence"):
        assert option in text
