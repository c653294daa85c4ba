"""The site: all that is public, nothing from elsewhere, and no link that leads nowhere."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from command_case import ROOT

import fsrf_jax

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")

MODULES = ("losses", "missing", "methods", "errors")


def build(root, site):
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All pages by their address."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return {p.relative_to(folder).as_posix(): p.read_text("utf-8") for p in folder.rglob("*.html")}


def test_there_is_a_page_of_every_document(site):
    for path in (ROOT / "docs").rglob("*.md"):
        assert path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() in site
    first = (ROOT / "README.md").read_text("utf-8").splitlines()[2]
    assert first in site["index.html"]
    assert {"CHANGELOG.html", "CONTRIBUTING.html", "SECURITY.html"} <= set(site)


def test_all_that_is_public_is_documented(site):
    shown = set(re.findall(r'id="(fsrf_jax[\w.]*)"', "".join(site.values())))
    for name in fsrf_jax.__all__:
        assert f"fsrf_jax.{name}" in shown or f"api/{name}.html" in site
    for module in MODULES:
        content = vars(getattr(fsrf_jax, module))
        own = {
            name
            for name, found in content.items()
            if getattr(found, "__module__", "").startswith(f"fsrf_jax.{module}")
            and not name.startswith("_")
        }
        assert len(own) > 4
        assert {f"fsrf_jax.{module}.{name}" for name in own} - shown == set()


def test_pages_load_nothing_from_elsewhere(site):
    for address, page in site.items():
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="?([^" >]+)', page)
        loaded += re.findall(r'<link[^>]* rel="?(?:stylesheet|icon|preload)"?[^>]*', page)
        assert loaded
        assert [one for one in loaded if "//" in one] == [], address


def test_docstrings_have_their_sections(site):
    assert "Examples:" in site["api/index.html"]
    assert "Raises:" in site["api/index.html"]
    assert 'id="fsrf_jax.missing.Missing.__post_init__"' not in site["api/missing.html"]


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[x](nowhere.md)", "'nowhere.md'"),
        ("[x](../configs/nowhere.yaml)", "'../configs/nowhere.yaml'"),
        ("[x](page.md#nowhere)", "#nowhere"),
    ],
)
def test_a_broken_link_fails(tmp_path, link, problem):
    """On a page alone, which is quick; a link to a file of the repository is one of the site."""
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "hooks.py", tmp_path / "docs")
    shutil.copytree(ROOT / "configs" / "worlds", tmp_path / "configs" / "worlds")
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        (tmp_path / name).write_text(f"# {name}\n\n[page](docs/page.md)\n")
    settings = "site_name: x\nhooks: [docs/hooks.py]\nvalidation: {anchors: warn}\n"
    (tmp_path / "mkdocs.yml").write_text(settings)
    page = tmp_path / "docs" / "page.md"
    page.write_text(
        "# Page\n\n[here](#page), [small](../configs/worlds/small.yaml), [all](../README.md)\n"
    )
    done = build(tmp_path, tmp_path / "good")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "good" / "configs" / "worlds" / "small.yaml").is_file()
    assert 'href="../configs/worlds/small.yaml"' in (tmp_path / "good/page/index.html").read_text()
    page.write_text(page.read_text("utf-8") + f"\n\n{link}\n")
    done = build(tmp_path, tmp_path / "bad")
    assert done.returncode == 1
    assert problem in done.stderr
