import io
import os
import pickle
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_case import call, tiny_arrays, tiny_mmsa

from fsrf_jax.errors import ConfigError, DataError, OutOfMemory
from fsrf_jax.reading import limits


def test_only_regular_files(tmp_path):
    (tmp_path / "x").write_text("abc")
    assert limits.check_regular(tmp_path / "x") == 3
    (tmp_path / "link").symlink_to("x")
    assert limits.check_regular(tmp_path / "link") == 3
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, message in (
        ("pipe", "it is a pipe, socket or device; expected a regular file"),
        (".", "it is a folder"),
        ("none", r"^--x: found no file .*none\.$"),
        ("x/y", "cannot be read: .*Not a directory"),
        ("loop", "cannot be read"),
        ("n\0l", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            limits.check_regular(tmp_path / name, ConfigError, "--x")


def test_a_bomb_is_more_than_a_gigabyte_and_a_hundred_times_the_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(1000))
    limits.check_expansion(path, 10**9)
    with pytest.raises(DataError, match=r"its 1\.0 kB would become 1\.1 GB; expected at most 100"):
        limits.check_expansion(path, 11 * 10**8)
    os.truncate(path, 11 * 10**6)
    limits.check_expansion(path, 11 * 10**8)


def test_memory(tmp_path, monkeypatch):
    with pytest.raises(
        OutOfMemory, match=r"^x: reading it needs .* TB of memory, found .* GB: read"
    ):
        limits.check_memory(tmp_path.relative_to(tmp_path) / "x", 10**15)
    free = limits.memory_at_hand()
    assert 10**7 < free < 2**50
    used = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
    monkeypatch.setattr(resource, "getrlimit", lambda _: (used + 10**8, used + 10**8))
    assert limits.memory_at_hand() <= 1.1 * 10**8


@pytest.mark.parametrize(
    "names", [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")]
)
def test_memory_of_a_control_group(tmp_path, monkeypatch, names):
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    line = next((line for line in lines if line.split(":")[1] in ("", "memory")), None)
    if line is None:
        pytest.skip("no control groups here")
    _, controllers, name = line.strip().split(":", 2)
    folder = tmp_path / controllers / name.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(limits, "_CGROUP", tmp_path)
    (folder / names[1]).write_text("30000000\n")
    (folder / "memory.stat").write_text("inactive_file 5000000\nactive_file 1000000\nanon 7\n")
    (folder / names[0]).write_text("50000000\n")
    assert limits.memory_at_hand() == 26_000_000
    (folder / names[0]).write_text("max\n")
    assert limits.memory_at_hand() > 26_000_000


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1234567, "1.2 MB"),
        (5 * 10**13, "50.0 TB"),
        (1e30, "1e+18 TB"),
    ],
)
def test_bytes_in_words(count, text):
    assert limits.readable(count) == text


def hdf5():
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, values in tiny_arrays().items():
            file[name] = values
    return content.getvalue()


def npz():
    content = io.BytesIO()
    np.savez_compressed(content, **tiny_arrays())
    return content.getvalue()


FILES = {
    **{f"pickle {p}": lambda p=p: pickle.dumps(tiny_mmsa(), p) for p in (0, 1, 2, 4)},
    "hdf5": hdf5,
    "npz": npz,
}


@pytest.mark.parametrize("name", FILES)
def test_a_transfer_in_text_mode_is_named(tmp_path, name):
    path, whole = tmp_path / "x", FILES[name]()
    damaged = {"longer": whole.replace(b"\n", b"\r\n")}
    if name == "hdf5":  # its signature shows both directions
        damaged["shorter"] = whole.replace(b"\r\n", b"\n")
    for content in damaged.values():
        path.write_bytes(content)
        for asked in ([], ["--format", "store"] if name == "hdf5" else []):
            done = call("prepare", path, "--output", tmp_path / "out.h5", *asked)
            assert (done.status, done.out) == (1, "")
            assert done.err == (
                f"error: {path}: cannot be read: it looks like a transfer in text mode that "
                "turned line ends; expected the file as it was, so copy it again in binary mode\n"
            )
    # Other damage is not.
    path.write_bytes(whole[: len(whole) // 2])
    done = call("prepare", path, "--output", tmp_path / "out.h5")
    assert (done.status, "text mode" in done.err) == (1, False), done.err
