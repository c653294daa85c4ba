"""A matplotlib figure as SVG inside a page: in the page's colours and font, as wide as its place.

What matplotlib writes for a file of its own has another look in a page: colours become the page's
variables (see `style`), text gets the page's font, and clip paths, metadata and the style sheet,
which would hold for the whole page, are left out. Coordinates are rounded to a tenth of a unit.
Markers keep ids, which count from 0 in every picture: `number_markers` makes them unique on a page.
"""

import io
import itertools
import re
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from fsrf_jax.reporting.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES = {"none": "none", **{colour: f"var(--{name})" for name, colour in COLOURS.items()}}
_PAINTS = ("fill", "stroke")
_STROKES = ("fill-opacity", "opacity", "stroke-width", "stroke-dasharray")


def inline_svg(figure: "Figure", alt: str) -> str:
    """The figure as an SVG element.

    Args:
        figure: all its colours are of `style.COLOURS`; a unit of the element is a point.
        alt: what it shows, in words.
    """
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    # Elements inside HTML have no namespaces.
    text = re.sub(r' xmlns(:xlink)?="[^"]*"|(?<= )xlink:(?=href=)', "", file.getvalue())
    root = ElementTree.fromstring(text)
    ids: dict[str, str] = {}
    body = "".join(_written(element, ids) for element in root)
    return (
        f'<svg viewBox="{root.get("viewBox")}" role="img" aria-label="{escape(alt)}">{body}</svg>'
    )


def number_markers(page: str) -> str:
    """Give the markers of each SVG element of a page ids that no other has."""
    numbers = itertools.count()

    def numbered(picture: re.Match[str]) -> str:
        return re.sub(r'( id="| href="#)m', rf"\1p{next(numbers)}m", picture[0])

    return re.sub(r"<svg .*?</svg>", numbered, page, flags=re.DOTALL)


def _written(element: ElementTree.Element, ids: dict[str, str]) -> str:
    """An element without what the page has already; `ids` gets the new id of each marker."""
    match element.tag:
        case "g":
            inner = "".join(_written(child, ids) for child in element)
            marker = element.find("use")  # all markers of a group look alike
            return inner if marker is None else f"<g{_style(marker)}>{inner}</g>"
        case "defs":
            return "".join(_marker(path, ids) for path in element.iterfind("path"))
        case "use":
            href = ids[element.attrib["href"].removeprefix("#")]
            return f'<use href="#{href}"{_place(element)}/>'
        case "path":
            style = _style(element)
            visible = "var(" in style and element.attrib["d"]
            return f'<path d="{_path(element)}"{style}/>' if visible else ""
        case "text":
            anchor = re.search("text-anchor: (middle|end)", element.attrib["style"])
            turned = element.attrib["transform"].startswith("rotate(-90 ")
            return (
                f"<text{_place(element)}"
                + (f' text-anchor="{anchor[1]}"' if anchor else "")
                + (f' transform="{_short(element.attrib["transform"])}"' if turned else "")
                + f">{escape(element.text or '', quote=False)}</text>"
            )
    return ""


def _marker(path: ElementTree.Element, ids: dict[str, str]) -> str:
    identity = ids.setdefault(path.attrib["id"], f"m{len(ids)}")
    return f'<defs><path id="{identity}" d="{_path(path)}"/></defs>'


def _place(element: ElementTree.Element) -> str:
    return f' x="{_short(element.attrib["x"])}" y="{_short(element.attrib["y"])}"'


def _path(element: ElementTree.Element) -> str:
    return re.sub(" ?([MLCQz]) ?", r"\1", " ".join(_short(element.attrib["d"]).split()))


def _style(element: ElementTree.Element) -> str:
    pairs = dict(re.findall(r"([\w-]+): ([^;]+)", element.attrib["style"]))
    kept = {key: _VARIABLES[pairs[key]] for key in _PAINTS if key in pairs}
    kept |= {key: pairs[key] for key in _STROKES if key in pairs}
    return f' style="{";".join(f"{key}:{value}" for key, value in kept.items())}"'


def _short(text: str) -> str:
    """Numbers with one decimal at most, never -0."""

    def rounded(number: re.Match[str]) -> str:
        return f"{round(float(number[0]), 1) + 0.0:.1f}".removesuffix(".0")

    return re.sub(r"-?\d+\.\d+(e-?\d+)?", rounded, text)
