import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from fsrf_jax.cli import programs

SCRIPT = """
import jax, jax.numpy as jnp, sys
from fsrf_jax.cli.programs import keep_programs
folder = keep_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
found = []
jax.monitoring.register_event_listener(lambda event, **_: found.append(event))
value = jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((3, 3)))
print(folder, float(value[0, 0]), found.count("/jax/compilation_cache/cache_hits"))
"""


def start(cache, **variables):
    """A process that compiles a program or two, which keeps them under `cache`."""
    kept = {name: x for name, x in os.environ.items() if name not in programs.DECISIONS}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env=kept | {"XDG_CACHE_HOME": str(cache)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    folder, value, hits = out.split()
    assert float(value) == pytest.approx(3 * 0.8414709848)
    return folder, int(hits)


@pytest.fixture
def kept(tmp_path):
    """A cache folder that a process has filled."""
    folder, hits = finish(start(tmp_path))
    assert hits == 0
    assert folder.startswith(str(tmp_path / "fsrf_jax" / "programs"))
    return tmp_path


def entries(cache):
    return sorted(cache.glob("fsrf_jax/programs/*/*-cache"))


def test_a_second_process_compiles_nothing(kept):
    count = len(entries(kept))
    assert count >= 1
    _, hits = finish(start(kept))
    assert hits == count == len(entries(kept))


def test_several_at_a_time(tmp_path):
    folders = {finish(process)[0] for process in [start(tmp_path) for _ in range(3)]}
    assert len(folders) == 1
    assert finish(start(tmp_path))[1] == len(entries(tmp_path))


@pytest.mark.parametrize("whole", [False, True], ids=["a kill while writing", "damaged later"])
def test_a_damaged_program_is_compiled(kept, whole):
    """Without a word; what a kill has left is written anew."""
    for entry in entries(kept):
        size = entry.stat().st_size
        entry.write_bytes(entry.read_bytes()[: size // 2])
        if not whole:
            entry.with_name(entry.name.removesuffix("-cache") + "-atime").unlink()
    assert finish(start(kept))[1] == 0
    assert finish(start(kept))[1] == (0 if whole else len(entries(kept)))


@pytest.mark.parametrize("name", programs.DECISIONS)
def test_the_user_decides(name, tmp_path):
    value = str(tmp_path / "other") if name.endswith("DIR") else "false"
    folder, _ = finish(start(tmp_path, **{name: value}))
    assert folder == "None"
    assert not entries(tmp_path)


def test_no_folder_to_write(tmp_path):
    (tmp_path / "file").write_text("")
    assert finish(start(tmp_path / "file")) == ("None", 0)


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """What this process would set in JAX, which it has started with other settings."""
    found = {}
    for name in programs.DECISIONS:
        monkeypatch.delenv(name, raising=False)
    config = SimpleNamespace(jax_compilation_cache_dir=None, update=found.__setitem__)
    monkeypatch.setattr(programs, "jax", SimpleNamespace(config=config))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return found


def test_what_is_set(settings, tmp_path):
    folder = programs.keep_programs()
    assert folder.parent == tmp_path / "fsrf_jax" / "programs"
    assert folder.stat().st_mode & 0o077 == 0
    assert settings == {
        "jax_compilation_cache_max_size": programs.LARGEST,
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_compilation_cache_dir": str(folder),
    }
    assert all(hasattr(jax.config, name) for name in settings)
    for name in ("whole-cache", "whole-atime", "half-cache"):
        (folder / name).write_bytes(b"x")
    assert programs.keep_programs() == folder
    assert {path.name for path in folder.iterdir()} == {".lockfile", "whole-atime", "whole-cache"}


def test_another_kind_of_cpu_has_a_folder_of_its_own(settings, monkeypatch):
    here = programs.keep_programs()
    read_text = Path.read_text

    def other(path, *args):
        text = read_text(path, *args)
        return text.replace("flags", "flags other") if path.name == "cpuinfo" else text

    monkeypatch.setattr(Path, "read_text", other)
    monkeypatch.setattr(programs.platform, "processor", lambda: "other")
    assert programs.keep_programs() != here

    def none(path, *args):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", none)
    assert programs.keep_programs() not in (None, here)


def test_nothing_is_set_where_nothing_can_be_kept(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(programs.os, "access", lambda *_: False)
    assert programs.keep_programs() is None
    monkeypatch.setattr(programs, "_sweep", lambda _: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    assert programs.keep_programs() is None
    assert settings == {}
