"""The command `train` itself; what it writes is tested in tests/end_to_end."""

import dataclasses
import shlex

import pytest
from command_case import ROOT, TINY, call

from fsrf_jax.config import Config

SECTIONS = [field.name for field in dataclasses.fields(Config)]


def test_the_printed_config_needs_no_data_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("train", *TINY, "--print_config")
    assert (done.status, done.err) == (0, "")
    assert "epochs: 2\n" in done.out
    assert not list(tmp_path.iterdir())


def test_overwrite_is_an_option_of_train():
    assert "--overwrite" in call("train", "--help").out


def test_help_is_usage_then_two_examples_then_the_sections():
    lines = call("train", "--help").out.splitlines()
    assert lines[0] == (
        "usage: train [--config FILE ...] [--SECTION.OPTION VALUE ...] [--overwrite] "
        "[--distributed auto|HOST:PORT]"
    )
    examples = [i for i, line in enumerate(lines) if line.startswith("  train --config configs/")]
    options = [i for i, line in enumerate(lines) if line.startswith("  --")]
    assert len(examples) == 2
    assert max(examples) < min(options)
    order = [next(i for i in options if lines[i].startswith(f"  --{name}.")) for name in SECTIONS]
    assert order == sorted(order)


def test_the_examples_of_the_help_are_right(tmp_path):
    for line in call("train", "--help").out.splitlines():
        if line.startswith("  train --config"):
            argv = shlex.split(line.replace("configs/", f"{ROOT}/configs/"))[1:]
            assert call("train", *argv, "--print_config").status == 0


@pytest.mark.parametrize("shown", ["true", "false"])
def test_progress_can_be_switched_off(trained, shown):
    done = call("train", *trained.argv, "--output.progress", shown)
    assert done.status == 0
    assert ("label mean" in done.out) == (shown == "true")
    assert "Protocol corrkd" in done.out
