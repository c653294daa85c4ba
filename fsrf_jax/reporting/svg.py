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
    box, body = root.get("viewBox"), _children(root, {})
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(alt)}">{body}</svg>'


def number_markers(page: str) -> str:
    """Give the markers of each SVG element of a page ids that no other has."""
    numbers = itertools.count()

    def numbered(picture: re.Match[str]) -> str:
        return re.sub(r'( id="| href="#)m', rf"\1p{next(numbers)}m", picture[0])

    return re.sub(r"<svg .*?</svg>", numbered, page, flags=re.DOTALL)


def _children(element: ElementTree.Element, ids: dict[str, str]) -> str:
    return "".join(_written(child, ids) for child in element)


def _written(element: ElementTree.Element, ids: dict[str, str]) -> str:
    """An element without what the page has already; `ids` gets the new id of each marker."""
    match element.tag:
        case "g":
            marker = element.find("use")  # all markers of a group look alike
            inner = _children(element, ids)
            return inner if marker is None else f"<g{_style(marker)}>{inner}</g>"
        case "defs":
            return "".join(_marker(path, ids) for path in element.iterfind("path"))
        case "use":
            return f'<use href="#{ids[element.attrib["href"][1:]]}"{_place(element)}/>'
        case "path":
            style = _style(element)
            visible = "var(" in style and element.attrib["d"]
            return f'<path d="{_path(element)}"{style}/>' if visible else ""
        case "text":
            turn, words = element.attrib["transform"], escape(element.text or "", quote=False)
            turned = "" if turn.startswith("rotate(-0 ") else f' transform="{_short(turn)}"'
            return f"<text{_place(element)}{_style(element)}{turned}>{words}</text>"
    return ""


def _marker(path: ElementTree.Element, ids: dict[str, str]) -> str:
    identity = ids.setdefault(path.attrib["id"], f"m{len(ids)}")
    return f'<defs><path id="{identity}" d="{_path(path)}"/></defs>'


def _place(element: ElementTree.Element) -> str:
    return f' x="{_short(element.attrib["x"])}" y="{_short(element.attrib["y"])}"'


def _path(element: ElementTree.Element) -> str:
    return re.sub(" ?([MLCQz]) ?", r"\1", " ".join(_short(element.attrib["d"]).split()))


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
