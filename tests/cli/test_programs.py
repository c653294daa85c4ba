import os
import subprocess
import sys

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
