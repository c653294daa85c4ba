"""A matplotlib figure as SVG inside a page: in the page's colours and font, as wide as its place.

Colours become the page's variables (see `colours`) and text gets its font. Clip paths, metadata and
the style sheet, which would hold for the whole page, are left out. Coordinates are rounded to a
tenth of a unit. Only markers have ids, which count from 0 in each picture, see `number_markers`.
"""

import io
import itertools
import re
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from fsrf_jax.reporting.colours import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES = {"none": "none", **{colour: f"var(--{name})" for name, colour in COLOURS.items()}}
_KEPT = ("fill-opacity", "opacity", "stroke-width", "stroke-dasharray", "text-anchor")


def inline_svg(figure: "Figure", alt: str) -> str:
    """The figure, whose colours are all of `COLOURS`, as an SVG element; a unit is a point.

    Args:
        figure: to be drawn.
        alt: what it shows, in words.
    """
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    # Elements inside HTML have no namespaces.
    text = re.sub(r' xmlns(:xlink)?="[^"]*"|(?<= )xlink:(?=href=)', "", file.getvalue())
    root = ElementTree.fromstring(text)
    box, body = root.get("viewBox"), _written(root, {})
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(alt)}">{body}</svg>'


def number_markers(page: str) -> str:
    """Give the markers of each SVG element of a page ids that no other has."""
    numbers = itertools.count()

    def numbered(picture: re.Match[str]) -> str:
        return re.sub(r'( id="| href="#)m', rf"\1p{next(numbers)}m", picture[0])

    return re.sub(r"<svg .*?</svg>", numbered, page, flags=re.DOTALL)


def _written(element: ElementTree.Element, ids: dict[str, str]) -> str:
    """An element without what the page has already; `ids` gets the new id of each marker."""
    inner = "".join(_written(child, ids) for child in element)
    short = {key: _short(value) for key, value in element.attrib.items()}
    place = f'x="{short.get("x")}" y="{short.get("y")}"'
    path = re.sub(r"\s*([MLCQz])\s*", r"\1", short.get("d", "")).strip()
    match element.tag:
        case "svg" | "defs":
            return inner
        case "g":
            marker = element.find("use")  # all markers of a group look alike
            return inner if marker is None else f"<g{_style(marker)}>{inner}</g>"
        case "path" if "id" in short:
            identity = ids.setdefault(element.attrib["id"], f"m{len(ids)}")
            return f'<defs><path id="{identity}" d="{path}"/></defs>'
        case "path" if path and "var(" in _style(element):
            return f'<path d="{path}"{_style(element)}/>'
        case "use":
            return f'<use href="#{ids[element.attrib["href"][1:]]}" {place}/>'
        case "text":
            level = short["transform"].startswith("rotate(-0 ")
            turn = "" if level else f' transform="{short["transform"]}"'
            return f"<text {place}{_style(element)}{turn}>{escape(element.text or '')}</text>"
    return ""


def _style(element: ElementTree.Element) -> str:
    pairs = re.findall(r"([\w-]+): ([^;]+)", element.attrib["style"])
    kept = [
        f"{key}:{value if key in _KEPT else _VARIABLES[value]}"
        for key, value in pairs
        if key in (*_KEPT, "fill", "stroke")
    ]
    return f' style="{";".join(kept)}"'


def _short(text: str) -> str:
    """Numbers with one decimal at most, never -0."""
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda n: f"{round(float(n[0]), 1) + 0.0:g}", text)
