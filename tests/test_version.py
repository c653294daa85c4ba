"""One version, wherever it stands."""

import re
import tomllib
from importlib import metadata

import yaml
from command_case import ROOT

import fsrf_jax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
CHANGES = (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_package_knows_the_version_that_is_installed():
    assert fsrf_jax.__version__ == metadata.version("fsrf-jax")
    assert "__version__" in dir(fsrf_jax)


def test_project_citation_and_changes_agree():
    version, date = re.search(r"^## (\d+\.\d+\.\d+), (\d{4}-\d\d-\d\d)$", CHANGES, re.M).groups()
    assert PROJECT["version"] == CITATION["version"] == version
    assert str(CITATION["date-released"]) == date


def test_the_citation_names_the_paper_and_the_licence():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["license"] == PROJECT["license"]
    assert [author["name"] for author in CITATION["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    (paper,) = CITATION["references"]
    assert paper["identifiers"][0]["value"] == "arXiv:2510.16086"


def test_every_command_has_a_script():
    names = {path.name for path in (ROOT / "bin").iterdir() if path.is_file()}
    assert PROJECT["scripts"] == {f"fsrf-{name}": f"fsrf_jax.cli.{name}:main" for name in names}
