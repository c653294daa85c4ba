"""Hooks of MkDocs: what pages link to elsewhere in the repository is published with the site.

A page of docs/ may link to ../SECURITY.md or ../configs/demo.yaml, as in a checkout. Each such file
becomes part of the site at its place in the repository, pages as pages and README.md as the front
page, and the links lead there. A link to what is not there stays as it is, so that `mkdocs build
--strict` reports it.
"""

import os
import re
from pathlib import Path
from posixpath import dirname, relpath

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FRONT, FRONT_PAGE = ROOT / "README.md", "index.md"
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)\s#]+)")


def address(path: Path) -> str:
    """Where a file of the repository stands in the site."""
    if path == FRONT:
        return FRONT_PAGE
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()


def target(source: Path, link: str) -> Path | None:
    """The file of the repository that a link in `source` leads to; None where there is none."""
    path = Path(os.path.normpath(source.parent / link))
    return path if path.is_relative_to(ROOT) and path.is_file() else None


def on_files(files, config):
    """Add what is linked, and what those pages link to in turn."""
    queue = [ROOT / name for name in PAGES]
    queue += [Path(file.abs_src_path) for file in files.documentation_pages()]
    seen = set(queue)
    while queue:
        source = queue.pop()
        if files.get_file_from_path(address(source)) is None:
            files.append(File.generated(config, address(source), abs_src_path=str(source)))
        if source.suffix != ".md":
            continue
        links = LINK.findall(source.read_text("utf-8"))
        found = {path for link in links if (path := target(source, link))} - seen
        queue += sorted(found)
        seen |= found
    return files


def on_page_markdown(markdown, page, **_):
    """Make every link to a file of the repository one within the site; keep mean and ± together."""
    source = Path(page.file.abs_src_path)
    here = dirname(page.file.src_uri)

    def within(match):
        path = target(source, match[1])
        return match[1] if path is None else relpath(address(path), here or ".")

    return LINK.sub(within, markdown).replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
