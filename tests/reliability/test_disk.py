"""A full disk, of ten sizes: one message, and the same command goes on once there is space."""

import shlex
import subprocess
import sys

import pytest
from command_case import ROOT
from trials import RUN, same

pytestmark = pytest.mark.slow

SIZES = (24, 64, 128, 256, 400, 600, 900, 1300, 1800, 2600)  # kB; the whole run needs about 2 MB


def script(size, disk, kept):
    train = [sys.executable, str(ROOT / "bin" / "train"), *RUN]
    train += ["--output.directory", f"{disk}/run", "--output.checkpoint_every", "1"]
    command = shlex.join(map(str, train))
    return f"""
mount -t tmpfs -o size={size}k none {disk} || exit 99
{command} > {kept}/first.out 2> {kept}/first.err
echo $? > {kept}/first.status
mount -o remount,size=64m {disk} || exit 99
{command} > {kept}/second.out 2> {kept}/second.err
echo $? > {kept}/second.status
cp -r {disk}/run {kept}/run
"""


def in_a_namespace(text):
    return subprocess.run(["unshare", "-Urm", "sh", "-c", text], capture_output=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def _may_mount(tmp_path_factory):
    place = tmp_path_factory.mktemp("disk")
    if in_a_namespace(f"mount -t tmpfs -o size=64k none {place}").returncode:
        pytest.skip("this machine does not let a user mount a disk of memory")


@pytest.mark.parametrize("size", SIZES)
def test_training_on_a_disk_of_this_size(size, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = in_a_namespace(script(size, disk, tmp_path))
    assert done.returncode == 0, done.stderr
    status, error = (tmp_path / "first.status").read_text(), (tmp_path / "first.err").read_text()
    print(f"\n{size} kB: status {status.strip()}: {error.strip()}")
    if int(status):
        assert error.startswith("error: ")
        assert len(error.splitlines()) == 1
        assert int(status) == 1
    else:
        assert error == ""
    assert (tmp_path / "second.status").read_text() == "0\n", (tmp_path / "second.err").read_text()
    same(tmp_path / "run", undisturbed)
