"""A report as one HTML page that needs nothing else: no script, no font, no file, no network."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from string import Template

from fsrf_jax.reporting.document import (
    Block,
    Code,
    Document,
    Figure,
    Folded,
    Items,
    Panel,
    Paragraph,
    Section,
    Table,
)
from fsrf_jax.reporting.style import STYLE
from fsrf_jax.reporting.svg import number_markers

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$lead
</header>
<nav aria-label="Contents">
<ul>
$contents
</ul>
</nav>
<main>
$sections
</main>
</body>
</html>
""")


def to_html(document: Document) -> str:
    """Write a document; the same document gives the same bytes."""
    links = [
        f'<li><a href="#{_anchor(section)}">{escape(section.title)}</a></li>'
        for section in document.sections
    ]
    page = _PAGE.substitute(
        title=escape(document.title),
        style=STYLE,
        lead=_blocks(document.lead),
        contents="\n".join(links),
        sections="\n".join(_section(section) for section in document.sections),
    )
    return number_markers(page)


def _anchor(section: Section) -> str:
    return re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")


def _section(section: Section) -> str:
    anchor = _anchor(section)
    return (
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{escape(section.title)}</h2>\n'
        f"{_blocks(section.blocks)}\n</section>"
    )


def _blocks(blocks: Iterable[Block]) -> str:
    return "\n".join(_block(block) for block in blocks)


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Items(texts):
            return _listed(texts)
        case Code(text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case Table():
            return _table(block)
        case Figure():
            return _figure(block)
        case Folded(summary, blocks):
            return f"<details>\n<summary>{escape(summary)}</summary>\n{_blocks(blocks)}\n</details>"


def _listed(texts: Sequence[str], opening: str = "<ul>") -> str:
    return f"{opening}\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"


def _table(table: Table) -> str:
    """A table in a box of its own, which scrolls where the page is too narrow."""
    plain = len(table.rows) - table.strong
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    bodies = [_rows(part) for part in (table.rows[:plain], table.rows[plain:]) if part]
    caption = escape(table.caption)
    notes = "\n" + _listed(table.notes, '<ul class="notes">') if table.notes else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}">\n<table>\n'
        f"<caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n"
        + "\n".join(bodies)
        + f"\n</table>\n</div>{notes}"
    )


def _rows(rows: Sequence[Sequence[str]]) -> str:
    lines = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    ]
    return "<tbody>\n" + "\n".join(lines) + "\n</tbody>"


def _figure(figure: Figure) -> str:
    legend = "".join(f"<li>{sample} {escape(name)}</li>" for sample, name in figure.legend)
    return (
        "<figure>\n"
        + (f'<ul class="legend">{legend}</ul>\n' if legend else "")
        + f'<div class="panels">\n{"".join(map(_panel, figure.panels))}</div>\n'
        + f"<figcaption>{escape(figure.caption)}</figcaption>\n</figure>"
    )


def _panel(panel: Panel) -> str:
    return f'<div class="panel"><p class="title">{escape(panel.title)}</p>{panel.svg}</div>\n'
