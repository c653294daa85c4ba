"""All charts, drawn by matplotlib: in one style, as PNG files and as SVG inside a page.

A chart is a function of axes and of what it shows. matplotlib is imported when one is drawn. Series
differ in dash and marker as well as in colour; the style of a series is a number, and styles repeat
after `STYLES`. A height that is NaN leaves a gap.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import numpy as np

from fsrf_jax.files import replacing
from fsrf_jax.reporting.colours import COLOURS
from fsrf_jax.reporting.document import Panel
from fsrf_jax.reporting.numbers import two_digits
from fsrf_jax.reporting.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = 6
DASHES = ("-", (0, (6, 3)), (0, (2, 2.5)), (0, (9, 3, 2, 3)), (0, (14, 4)), (0, (1, 3.5)))
MARKERS = {"disc": "o", "square": "s", "triangle": "^", "diamond": "D", "plus": "P", "cross": "X"}

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.size": 12.5,
    "axes.titlesize": "medium",
    "figure.titlesize": "medium",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 0),
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color"), COLOURS["soft"]),
    **dict.fromkeys(("xtick.color", "ytick.color"), COLOURS["soft"]),
    **{"axes.xmargin": 0.04, "axes.ymargin": 0.04},
    **{"axes.formatter.limits": (-4, 5), "axes.formatter.useoffset": False},
    "lines.scale_dashes": False,
}
_LOCK = threading.Lock()
P = ParamSpec("P")


@dataclass(frozen=True)
class Line:
    """A line through points, left to right.

    Attributes:
        name: for the legend.
        x: positions.
        y: heights.
        style: number of its style.
        low: lower edge of a band around it; empty for no band.
        high: upper edge.
        marks: places of the points that have a marker; None for all.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: int
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    marks: Sequence[int] | None = None


def panel(
    title: str,
    alt: str,
    labels: Sequence[str],
    chart: "Callable[Concatenate[Axes, P], None]",
    *shown: P.args,
    **named: P.kwargs,
) -> Panel:
    """A chart, given what it shows, as a picture of a page.

    Args:
        title: what stands above it.
        alt: what it shows, in words.
        labels: of the axes x and y, with units.
        chart: one of those below.
        shown: its arguments.
        named: its keyword arguments.
    """
    with _figure(340, 240) as figure:
        # Margins are fixed: fitting them to the labels takes longer than all the rest.
        axes = figure.add_axes((0.18, 0.18, 0.8, 0.75))
        axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.locator_params(steps=[1, 2, 5, 10])
        chart(axes, *shown, **named)
        return Panel(title, inline_svg(figure, alt), alt)


@contextmanager
def png(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure of that many points that is written to the path, whole, when it is drawn."""
    with _figure(width, height) as figure:
        figure.set_layout_engine("constrained")
        yield figure
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120)


def sample(style: int, *, line: bool = True, mark: bool = True) -> str:
    """What a line, its markers or both look like, as SVG for a legend."""
    with _figure(42, 14) as figure:
        axes = figure.add_axes((0.02, 0, 0.96, 1))
        axes.set_axis_off()
        axes.plot([0, 1, 2], [0] * 3, **_look(style, line, mark), markevery=[1])
        name = tuple(MARKERS)[style % STYLES]
        words = (f"line with {name}s" if mark else "line") if line else name
        return inline_svg(figure, words)


def line_chart(axes: "Axes", lines: Sequence[Line], *, joined: bool = True) -> None:
    """Lines with their bands; not joined, points with bars, for positions that are no numbers."""
    for line in lines:
        mark = line.marks is None or len(line.marks) > 0
        look = _look(line.style, joined or not mark, mark)
        if line.low and joined:
            axes.fill_between(line.x, line.low, line.high, facecolor=look["color"], alpha=0.2)
        elif line.low:
            axes.vlines(line.x, line.low, line.high, color=look["color"])
        axes.plot(line.x, line.y, **look, markevery=line.marks, label=line.name)
    whole = all(float(at).is_integer() for line in lines for at in line.x)
    axes.locator_params("x", integer=whole)


def scatter_chart(
    axes: "Axes", clouds: Mapping[int, np.ndarray], *, within: np.ndarray | None = None
) -> None:
    """Points [n, 2] by style; with `within`, corners to hold, also the line of equal numbers."""
    for style, points in clouds.items():
        axes.plot(*points.T, **_look(style, line=False, mark=True), alpha=0.75)
    if within is not None:
        axes.update_datalim(within)
        axes.autoscale_view()
        axes.axline((0, 0), slope=1, color=COLOURS["soft"], linewidth=1, linestyle=(0, (4, 3)))


def histogram(axes: "Axes", edges: np.ndarray, heights: np.ndarray) -> None:
    """Height i lies between edges i and i + 1 and begins at 0."""
    axes.stairs(heights, edges, fill=True, color=COLOURS["c0"])


def heat_map(
    axes: "Axes",
    columns: Sequence[str],
    rows: Sequence[str],
    cells: Sequence[Sequence[float | None]],
) -> None:
    """Cells with their figures: white is 0 or less, black is 1; a dash is undefined."""
    shades = np.array([[x or 0.0 for x in row] for row in cells])
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for (row, column), shade in np.ndenumerate(shades):
        colour = "white" if shade > 0.55 else "black"  # whichever is easier to read
        text = two_digits(cells[row][column])
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    axes.set_xticks(range(len(columns)), columns, rotation=90 if max(map(len, columns)) > 6 else 0)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(visible=False)


def difference_chart(axes: "Axes", cells: Mapping[str, Mapping[str, Any]]) -> None:
    """Differences in points of percent, with intervals; filled ones have p < 0.05.

    Args:
        axes: where.
        cells: `difference`, `low`, `high` and `p` of each row, as fractions; none of them, or low,
            high and p None, where unknown.
    """
    ink = COLOURS["c0"]
    for place, cell in enumerate(cells.values()):
        if "difference" not in cell:
            continue
        if cell["low"] is not None:
            axes.plot([100 * cell["low"], 100 * cell["high"]], [place] * 2, color=ink)
        certain = cell["p"] is not None and cell["p"] < 0.05
        face = ink if certain else COLOURS["ground"]
        axes.plot(100 * cell["difference"], place, "o", color=ink, markerfacecolor=face)
    axes.axvline(0, color=COLOURS["soft"], linewidth=1, linestyle=":")
    axes.set_yticks(range(len(cells)), list(cells))
    axes.set_ylim(max(len(cells), 1) - 0.5, -0.5)  # of one variant there is no difference
    axes.grid(visible=False, axis="y")


def _look(style: int, line: bool, mark: bool) -> dict[str, Any]:
    """Keywords of a series for `Axes.plot`."""
    return {
        "color": COLOURS[f"c{style % STYLES}"],
        "linestyle": DASHES[style % STYLES] if line else "",
        "linewidth": 1.8,
        "marker": tuple(MARKERS.values())[style % STYLES] if mark else "",
        "markersize": 5.6,
        "markeredgewidth": 0,
    }


@contextmanager
def _figure(width: float, height: float) -> Iterator["Figure"]:
    """A figure under the settings of this module, which are global: one at a time."""
    _import()
    import matplotlib.style
    from matplotlib.figure import Figure

    with _LOCK, matplotlib.style.context(["default", _SETTINGS]):
        yield Figure(figsize=(width / 72, height / 72))


def _import() -> None:
    """Import matplotlib, also where MPLBACKEND names no backend: no figure here is shown."""
    if "matplotlib" in sys.modules:
        return
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    if asked:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = asked
