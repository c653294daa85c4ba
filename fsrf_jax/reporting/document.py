"""What a report is made of, before anybody decides how it looks; all text is plain."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of short notes."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Lines that keep their shape."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows.

    Attributes:
        caption: what it shows.
        header: heads of the columns.
        rows: cells, as many as there are heads.
        notes: how to read it.
        strong: how many rows at the end stand for several others.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    strong: int = 0


@dataclass(frozen=True)
class Panel:
    """One picture of a figure.

    Attributes:
        title: a few words above it.
        svg: an SVG element, which carries its alternative text itself.
        alt: the same alternative text.
    """

    title: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Figure:
    """Pictures side by side that share a caption and a legend.

    Attributes:
        caption: what they show, and how to read them.
        panels: the pictures.
        legend: a sample (an SVG element) and a name for each mark.
    """

    caption: str
    panels: Sequence[Panel]
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Folded:
    """What is shown only to who asks for it."""

    summary: str
    blocks: "Sequence[Block]"


Block = Paragraph | Items | Code | Table | Figure | Folded


@dataclass(frozen=True)
class Section:
    """A chapter."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: its title.
        lead: what a reader has to know first.
        sections: its chapters.
    """

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]
