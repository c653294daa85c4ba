"""A document as Markdown; of pictures only the alternative text."""

from collections.abc import Iterable, Sequence

from fsrf_jax.reporting.document import (
    Block,
    Code,
    Document,
    Figure,
    Folded,
    Items,
    Paragraph,
    Table,
)


def to_markdown(document: Document, page: str = "", *, foldable: bool = False) -> str:
    """Write a document.

    Args:
        document: the report.
        page: name of the HTML file beside it, which has the pictures, where it has any.
        foldable: what is folded stays so, by HTML in the Markdown; else it has a heading.
    """
    parts = [f"# {document.title}", *_blocks(document.lead, page, foldable)]
    for section in document.sections:
        parts += [f"## {section.title}", *_blocks(section.blocks, page, foldable)]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """A table under its caption, where it has one, and its notes; figures stand to the right."""
    plain = len(table.rows) - table.strong
    body = []
    for index, row in enumerate(table.rows):
        cells = [_escaped(cell) for cell in row]
        body.append([f"**{c}**" if c else c for c in cells] if index >= plain else cells)
    parts = [f"**{table.caption}**"] if table.caption else []
    rule = ["---", *["---:"] * (len(table.header) - 1)]
    parts.append("\n".join(f"|{'|'.join(row)}|" for row in (table.header, rule, *body)))
    if table.notes:
        parts.append(_listed(table.notes))
    return "\n\n".join(parts)


def _blocks(blocks: Iterable[Block], page: str, foldable: bool) -> list[str]:
    return [text for block in blocks for text in _block(block, page, foldable)]


def _block(block: Block, page: str, foldable: bool) -> list[str]:
    match block:
        case Paragraph(text):
            return [text]
        case Items(texts):
            return [_listed(texts)]
        case Code(text):
            return [f"```\n{text}\n```"]
        case Table():
            return [markdown_table(block)]
        case Figure(caption, panels):
            alts = [f"{panel.title}: {panel.alt}" for panel in panels]
            return [f"Figure, drawn in {page}: {caption}", _listed(alts)]
        case Folded(summary, blocks):
            inner = _blocks(blocks, page, foldable)
            if foldable:
                return [f"<details><summary>{summary}</summary>", *inner, "</details>"]
            return [f"### {summary}", *inner]


def _listed(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("*", "\\*")
