"""The sdist and the wheel hold what the package needs, and work outside a checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from command_case import ROOT

pytest.importorskip("setuptools", minversion="77")  # the first that reads the licence as it stands

FOLDERS = ("benchmarks", "bin", "configs", "docs", "fsrf_jax", "tests")
FILES = ("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
INSTALLED = """
import sys
from pathlib import Path
import fsrf_jax
from fsrf_jax import arguments, packaged
from fsrf_jax.cli.train import main
from fsrf_jax.experiments import folder
assert Path(fsrf_jax.__file__).is_relative_to(sys.path[1]), fsrf_jax.__file__
assert packaged.folder().is_relative_to(sys.path[1])
assert folder._environment()["commit"] is None
print(fsrf_jax.__version__)
sys.argv = ["train", "--config", "worlds/small", "--print_config"]
main()
"""


def run(*argv, **kwargs):
    done = subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, timeout=300, **kwargs
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def source_files(folder):
    """What somebody wrote: no compiled files."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the checkout, its sdist, and the wheel that is made from the sdist."""
    place = tmp_path_factory.mktemp("built")
    copy = place / "copy"
    copy.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, copy)
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run("-c", code, str(place), cwd=copy)
    (sdist,) = place.glob("*.tar.gz")
    run(*("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", place, sdist))
    (wheel,) = place.glob("*.whl")
    return copy, sdist, wheel


def test_the_sdist_holds_the_checkout(built):
    copy, sdist, _ = built
    with tarfile.open(sdist) as archive:
        held = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    expected = {path.relative_to(copy) for name in FOLDERS for path in source_files(copy / name)}
    assert len(expected) > 300
    assert expected - held == set()
    assert {Path(name) for name in (*FILES, "pyproject.toml", "setup.py", "mkdocs.yml")} <= held


def test_the_wheel_holds_the_package_and_every_config_and_nothing_else(built):
    copy, _, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {path.relative_to(copy).as_posix() for path in source_files(copy / "fsrf_jax")}
    configs = {
        f"fsrf_jax/{path.relative_to(copy).as_posix()}" for path in source_files(copy / "configs")
    }
    assert len(configs) > 30
    assert {Path(name).suffix for name in package} >= {".py", ".css", ".jinja", ".yaml"}
    assert held == package | configs


def test_what_is_installed_works_anywhere(built, tmp_path):
    _, _, wheel = built
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (tmp_path / "installed.py").write_text(INSTALLED)
    path = {"PYTHONPATH": str(site)}
    out = run(tmp_path / "installed.py", cwd=tmp_path, env={**os.environ, **path})
    version, _, config = out.partition("\n")
    assert f"-{version}-py3-none-any.whl" in wheel.name
    assert "train: 300\n" in config
    assert {item.name for item in tmp_path.iterdir()} == {"site", "installed.py"}
