"""Small pictures as SVG: lines, clouds of points, bars. Colours are the page's, by class.

Every coordinate is rounded to a tenth of a pixel, so that equal figures give equal bytes. Series
differ in dash and marker as well as in colour. The style of a series is a number; styles repeat
after `STYLES`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 340, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 8, 42

STYLES = 6
DASHES = ("", "6 3", "2 2.5", "9 3 2 3", "14 4", "1 3.5")

MARKER_NAMES = ("disc", "square", "triangle", "diamond", "plus", "cross")
STROKED = ("plus", "cross")


@dataclass(frozen=True)
class Axis:
    """A range of numbers along a side.

    Attributes:
        low: at the left or the bottom.
        high: at the right or the top; above low.
        label: what is shown, with its unit.
    """

    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Line:
    """A line through points, left to right.

    Attributes:
        name: for the legend.
        x: positions.
        y: heights; None leaves a gap.
        style: number of its style.
        low: lower edge of a band around it; empty for no band.
        high: upper edge.
        marked: a marker at each point.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: int
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    marked: bool = True


@dataclass(frozen=True)
class Cloud:
    """Points of one kind: positions x and y [n], and the number of their style."""

    x: np.ndarray
    y: np.ndarray
    style: int


def axis_over(values: Sequence[float] | np.ndarray, label: str, *, margin: float = 0.04) -> Axis:
    """An axis that holds all values, with a margin, and is never empty."""
    finite = [float(v) for v in values if np.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    pad = (high - low) * margin or max(abs(high) * 0.1, 1e-6)
    return Axis(low - pad, high + pad, label)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) in [low, high], `most` at most."""
    rough = (high - low) / most
    power = 10.0 ** np.floor(np.log10(rough))
    # A step a little too small for rounding alone would give one tick too many.
    step = next(power * s for s in (1, 2, 5, 10) if power * s >= rough * (1 - 1e-9))
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(f"{i * step:.10g}") + 0.0 for i in range(first, last + 1)]


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, alt: str) -> str:
    """Lines with their bands."""
    bands = "".join(_band(line, x, y) for line in lines if len(line.low))
    return _picture(x, y, bands + "".join(_line(line, x, y) for line in lines), alt)


def scatter_chart(clouds: Sequence[Cloud], x: Axis, y: Axis, alt: str, *, equal: bool) -> str:
    """Points; with `equal` also the line on which both numbers are the same, and both zeros."""
    under = _equal_lines(x, y) if equal else ""
    return _picture(x, y, under + "".join(_cloud(cloud, x, y) for cloud in clouds), alt)


def bar_chart(edges: Sequence[float], heights: Sequence[float], x: Axis, y: Axis, alt: str) -> str:
    """A histogram: bar i lies between edges i and i + 1 and begins at 0."""
    ground = _y(0, y)
    bars = []
    for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
        a, b, top = _x(left, x), _x(right, x), _y(height, y)
        bars.append(f"M{_n(a)} {_n(ground)}V{_n(top)}H{_n(b)}V{_n(ground)}z")
    return _picture(x, y, f'<path class="bar s0" d="{"".join(bars)}"/>', alt)


def line_sample(line: Line) -> str:
    """What a line looks like, for a legend."""
    style = line.style
    mark = _marker(21, 7, style, 3.2) if line.marked else ""
    alt = f"line with {MARKER_NAMES[style % STYLES]}s" if line.marked else "line"
    body = f'<path class="line s{style % STYLES}"{_dash(style)} d="M1 7H41"/>{mark}'
    return _sample(body, alt)


def cloud_sample(style: int) -> str:
    """What a point looks like, for a legend."""
    return _sample(_marker(21, 7, style, 4), MARKER_NAMES[style % STYLES])


def _sample(body: str, alt: str) -> str:
    return f'<svg viewBox="0 0 42 14" role="img" aria-label="{escape(alt)}">{body}</svg>'


def _picture(x: Axis, y: Axis, body: str, alt: str) -> str:
    inner = _grid(x, y)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">'
        f"{inner}{body}</svg>"
    )


def _grid(x: Axis, y: Axis) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in ticks(y.low, y.high):
        at = _n(_y(value, y))
        parts.append(f'<path class="grid" d="M{LEFT} {at}H{right}"/>')
        parts.append(
            f'<text x="{LEFT - 5}" y="{_n(_y(value, y) + 4)}" text-anchor="end">'
            f"{_label(value)}</text>"
        )
    for value in ticks(x.low, x.high):
        at = _n(_x(value, x))
        parts.append(f'<path class="zero" d="M{at} {bottom}v4"/>')
        parts.append(
            f'<text x="{at}" y="{bottom + 16}" text-anchor="middle">{_label(value)}</text>'
        )
    parts.append(f'<path class="zero" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    middle = _n((LEFT + right) / 2)
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.label)}</text>'
    )
    up = _n((TOP + bottom) / 2)
    parts.append(
        f'<text transform="translate(11 {up}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    return "".join(parts)


def _line(line: Line, x: Axis, y: Axis) -> str:
    steps, marks, begun = [], [], False
    for at, height in zip(line.x, line.y, strict=True):
        if height is None:
            begun = False
            continue
        px, py = _x(at, x), _y(height, y)
        steps.append(f"{'L' if begun else 'M'}{_n(px)} {_n(py)}")
        marks.append(_outline(px, py, line.style, 2.8))
        begun = True
    style = line.style % STYLES
    drawn = f'<path class="line s{style}"{_dash(line.style)} d="{"".join(steps)}"/>'
    if not line.marked:
        return drawn
    return f'{drawn}<path class="{_fill(line.style)} s{style}" d="{"".join(marks)}"/>'


def _band(line: Line, x: Axis, y: Axis) -> str:
    known = [
        (_x(at, x), _y(low, y), _y(high, y))
        for at, low, high in zip(line.x, line.low, line.high, strict=True)
        if low is not None and high is not None
    ]
    if len(known) < 2:
        return ""
    edge = [f"{_n(px)} {_n(low)}" for px, low, _ in known]
    edge += [f"{_n(px)} {_n(high)}" for px, _, high in reversed(known)]
    return f'<path class="band s{line.style % STYLES}" d="M{"L".join(edge)}z"/>'


def _cloud(cloud: Cloud, x: Axis, y: Axis) -> str:
    outlines = [
        _outline(_x(float(a), x), _y(float(b), y), cloud.style, 2.5)
        for a, b in zip(cloud.x, cloud.y, strict=True)
    ]
    kind = f"{_fill(cloud.style)} faint s{cloud.style % STYLES}"
    return f'<path class="{kind}" d="{"".join(outlines)}"/>'


def _equal_lines(x: Axis, y: Axis) -> str:
    low, high = max(x.low, y.low), min(x.high, y.high)
    a, b = (f"{_n(_x(v, x))} {_n(_y(v, y))}" for v in (low, high))
    parts = [f'<path class="zero" stroke-dasharray="4 3" d="M{a}L{b}"/>']
    if x.low < 0 < x.high:
        parts.append(f'<path class="grid" d="M{_n(_x(0, x))} {TOP}V{HEIGHT - BOTTOM}"/>')
    return "".join(parts)


def _marker(px: float, py: float, style: int, size: float) -> str:
    kind = f"{_fill(style)} s{style % STYLES}"
    return f'<path class="{kind}" d="{_outline(px, py, style, size)}"/>'


def _outline(px: float, py: float, style: int, size: float) -> str:
    """The path of a marker around a point."""
    if _fill(style) == "stroked":  # has less ink
        size *= 1.4
    r, d = _n(size), _n(2 * size)
    match MARKER_NAMES[style % STYLES]:
        case "disc":
            return f"M{_n(px - size)} {_n(py)}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0-{d} 0z"
        case "square":
            return f"M{_n(px - size)} {_n(py - size)}h{d}v{d}h-{d}z"
        case "triangle":
            return f"M{_n(px)} {_n(py - size)}l{r} {d}h-{d}z"
        case "diamond":
            return f"M{_n(px)} {_n(py - size)}l{r} {r}l-{r} {r}l-{r}-{r}z"
        case "plus":
            return f"M{_n(px - size)} {_n(py)}h{d}M{_n(px)} {_n(py - size)}v{d}"
        case _:
            return (
                f"M{_n(px - size)} {_n(py - size)}l{d} {d}M{_n(px + size)} {_n(py - size)}l-{d} {d}"
            )


def _fill(style: int) -> str:
    return "stroked" if MARKER_NAMES[style % STYLES] in STROKED else "filled"


def _dash(style: int) -> str:
    pattern = DASHES[style % STYLES]
    return f' stroke-dasharray="{pattern}"' if pattern else ""


def _x(value: float, axis: Axis) -> float:
    share = (value - axis.low) / (axis.high - axis.low)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(value: float, axis: Axis) -> float:
    share = (value - axis.low) / (axis.high - axis.low)
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _n(value: float) -> str:
    """A coordinate with one decimal at most, never -0."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def _label(value: float) -> str:
    return f"{value:g}"
