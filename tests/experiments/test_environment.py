"""Which program this is, and which one trained a run."""

import json
import subprocess
from importlib import metadata

import pytest

from fsrf_jax import sealed
from fsrf_jax.config import Config
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.results import Program
from fsrf_jax.experiments import environment
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.source import Shapes

SHAPES = Shapes(32, {"audio": 5}, {"audio": 3}, 1, (), {})


def test_what_trained_a_run_is_what_its_folder_says(tmp_path):
    with run_folder.opened(tmp_path / "run", Config(), "abc", SHAPES):
        pass
    program, fingerprint = environment.trained_by(tmp_path / "run")
    assert (program, fingerprint) == (environment.own_program(), "abc")
    assert set(program) == Program.__required_keys__
    assert program["versions"]["jax"] == metadata.version("jax")
    path = tmp_path / "run" / "environment.json"
    found = json.loads(path.read_text())
    sealed.write(path, {**found, "commit": "c0ffee", "data_fingerprint": "other"})
    program, fingerprint = environment.trained_by(tmp_path / "run")
    assert (program, fingerprint) == ({**environment.own_program(), "commit": "c0ffee"}, "other")


def test_what_nobody_wrote_down_is_unknown_and_what_is_damaged_an_error(tmp_path):
    assert environment.trained_by(tmp_path) == (None, None)
    path = tmp_path / "environment.json"
    path.write_text('{"data_fingerprint": "abc"}')
    assert environment.trained_by(tmp_path) == (None, "abc")
    for text in ("[]", "{", "{}", '{"data_fingerprint": "abc", "versions": null}'):
        path.write_text(text)
        with pytest.raises(RunError, match=r"environment\.json: is damaged: .* writes it anew"):
            environment.trained_by(tmp_path)


def test_the_commit_is_recorded(tmp_path):
    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert environment._commit(tmp_path) is None
    git("init")
    assert environment._commit(tmp_path) is None  # nothing is committed yet
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    head = git("rev-parse", "HEAD")
    (tmp_path / "beside").touch()
    assert environment._commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert environment._commit(tmp_path) == f"{head}-changed"
