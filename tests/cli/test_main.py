"""The ends of every command, and how they are installed."""

import importlib
import io
import logging
import os
import subprocess
import sys
import tomllib

import jax
import numpy as np
import pytest
from command_case import ROOT, TINY, call, disk_of, finish, refused, start

from fsrf_jax import hosts
from fsrf_jax.cli.main import guarded
from fsrf_jax.errors import ConfigError, DataError, RunError, UserError

COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir() if path.is_file())
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def run_with(monkeypatch, argv, command):
    monkeypatch.setattr(sys, "argv", ["name", *argv])
    return guarded(command)()


def test_arguments_go_in_and_the_status_comes_out(monkeypatch):
    assert run_with(monkeypatch, ["a", "b"], lambda argv: len(argv)) == 2


@pytest.mark.parametrize(
    ("error", "status"), [(UserError, 1), (DataError, 1), (ConfigError, 2), (RunError, 2)]
)
def test_an_error_of_the_user_is_one_message(monkeypatch, capsys, error, status):
    def command(argv):
        raise error("x: found a, expected b.")

    assert run_with(monkeypatch, [], command) == status
    assert capsys.readouterr() == ("", "error: x: found a, expected b.\n")


def test_memory_that_runs_out_is_one_line(monkeypatch, capsys):
    def numpy(argv):
        np.empty(2**50)

    def device(argv):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes.\nAt: ..."
        )

    def other(argv):
        raise jax.errors.JaxRuntimeError("INTERNAL: something broke.")

    assert run_with(monkeypatch, [], numpy) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: memory ran out, which was asked for 8.00 PiB more, and has ")
    assert "GB left: read fewer modalities (data.modalities)" in err
    assert (out, err.count("\n")) == ("", 1)
    assert run_with(monkeypatch, [], device) == 1
    assert capsys.readouterr().err == (
        "error: the memory of the device ran out, which was asked for 17.2 GB more: "
        "lower training.batch_size, model.width or model.encoder_layers, or give fewer samples\n"
    )
    with pytest.raises(jax.errors.JaxRuntimeError):
        run_with(monkeypatch, [], other)


@pytest.mark.parametrize(
    ("platform", "remedy"),
    [
        ("cuda", ", or install jax[cuda13] where there is such a device"),
        ("tpu", ", or install jax[tpu] where there is such a device"),
        ("cpu,nonsense", ""),
    ],
)
def test_a_platform_that_is_not_there_is_one_line(tmp_path, platform, remedy):
    """In processes that see no GPU, whatever the machine has."""
    env = {**os.environ, "JAX_PLATFORMS": platform, "CUDA_VISIBLE_DEVICES": ""}
    script = [sys.executable, str(ROOT / "bin" / "train"), *TINY]
    done = subprocess.run(script, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: JAX_PLATFORMS={platform}: JAX cannot use it here, found cpu: set "
        f"JAX_PLATFORMS=cpu{remedy}\n"
    )


def test_another_error_is_not_taken_for_a_platform(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    for error in (AssertionError, RuntimeError("device")):

        def command(argv, error=error):
            raise error

        with pytest.raises((AssertionError, RuntimeError)):
            run_with(monkeypatch, [], command)


@pytest.mark.parametrize("asked", ["tpu", "rocm,nonsense"])
@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("Unable to initialize backend")])
def test_what_jax_says_of_a_platform_is_made_one_message(monkeypatch, capsys, error, asked):
    """In this process, where JAX has started already: its answers are put in."""

    def command(argv):
        raise error

    def devices():
        raise AssertionError

    updates = []
    monkeypatch.setenv("JAX_PLATFORMS", asked)
    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(jax.config, "update", lambda *update: updates.append(update))
    monkeypatch.setattr(logging, "disable", lambda: None)
    assert run_with(monkeypatch, [], command) == 2
    assert ("jax_platforms", None) in updates
    install = ", or install jax[tpu] where there is such a device" if asked == "tpu" else ""
    assert capsys.readouterr().err == (
        f"error: JAX_PLATFORMS={asked}: JAX cannot use it here, found cpu: set JAX_PLATFORMS=cpu"
        f"{install}\n"
    )


@pytest.mark.parametrize(
    ("error", "status", "part"),
    [
        (RunError("x: found a"), 2, "error: x: found a\n"),
        (ValueError("Gloo AllReduce failed"), 1, "another process of this training has ended"),
        (ZeroDivisionError("a bug"), 1, "ZeroDivisionError: a bug"),
    ],
)
def test_one_of_several_processes_ends_at_once(monkeypatch, capsys, error, status, part):
    """It does not wait at its end for the others, which wait for it."""
    left = []
    monkeypatch.setattr(hosts, "count", lambda: 2)
    monkeypatch.setattr(os, "_exit", left.append)

    def command(argv):
        raise error

    assert run_with(monkeypatch, [], command) == status
    assert left == [status]
    assert part in capsys.readouterr().err


def test_an_interrupt_is_130(monkeypatch, capsys):
    def command(argv):
        raise KeyboardInterrupt

    assert run_with(monkeypatch, [], command) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_bug_is_not_hidden(monkeypatch):
    def command(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, [], command)


def test_all_commands_are_there():
    assert {"train", "evaluate", "prepare"} <= set(COMMANDS)
    assert set(SCRIPTS) == {f"fsrf-{command}" for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_files_in_bin_are_thin_and_executable(command):
    path = ROOT / "bin" / command
    assert os.access(path, os.X_OK)
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env python3"
    assert len(lines) <= 10
    assert f"from fsrf_jax.cli.{command} import main" in lines


@pytest.mark.parametrize("target", SCRIPTS.values())
def test_console_scripts_point_at_callables(target):
    module, _, name = target.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_the_command_is_for(command):
    done = call(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert f"usage: {command}" in done.out
    description = importlib.import_module(f"fsrf_jax.cli.{command}").DESCRIPTION
    assert " ".join(description.split())[:40] in " ".join(done.out.split())


def test_bin_starts_from_any_folder(tmp_path):
    script = str(ROOT / "bin" / "evaluate")
    done = subprocess.run(
        [sys.executable, script, "nowhere"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: nowhere: found no config.yaml, expected a run folder made by train.\n"
    )


def test_where_no_folder_can_be_written_commands_start_and_say_what_they_cannot_write(tmp_path):
    """Without a home, and without a place for temporary files, for which chex asks."""
    given = {k: v for k, v in os.environ.items() if k not in ("HOME", "JAX_COMPILATION_CACHE_DIR")}
    env = {**given, "PYTHONDONTWRITEBYTECODE": "1"}
    with disk_of(0):  # what is started has it as well
        evaluating = start("evaluate", tmp_path, env=env)
        training = start("train", *TINY, "--output.directory", tmp_path / "run", env=env)
    done = finish(evaluating)
    refused(done, 2, f"{tmp_path}: found no config.yaml, expected a run folder")
    done = finish(training)
    refused(done, 1, f"{tmp_path / 'run'}", "cannot be written", "make room, or look after")
    assert done.err.count("\n") == 1


def test_a_terminal_of_few_characters_shows_all_others_as_numbers(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    assert run_with(monkeypatch, [], lambda argv: print("3 … \udcff", flush=True) or 0) == 0
    assert raw.getvalue() == b"3 \\u2026 \\udcff\n"
