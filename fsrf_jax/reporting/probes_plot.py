"""Heat maps of the probes, from the results dictionary alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsrf_jax.files import replacing
from fsrf_jax.reporting.numbers import two_digits
from fsrf_jax.reporting.probes_tables import DECODED, SHARES, code_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARK = 0.55  # from here on, white text is easier to read


def save_probes_plot(path: Path, results: Mapping[str, Any]) -> None:
    """Draw two matrices with a row for every code as a PNG, each cell with its figure.

    With known latents: variance shares and decoding. Without: CKA and decoding of the label.
    White is 0 or less, black is 1; a dash is undefined.
    """
    from matplotlib.figure import Figure

    panels = _panels(results)
    widths = [max(3, len(columns)) for _, columns, _, _ in panels]
    rows = len(panels[0][2])
    figure = Figure(figsize=(4.0 + 0.6 * sum(widths), 1.6 + 0.34 * rows), layout="constrained")
    axes = figure.subplots(1, len(panels), width_ratios=widths)
    for panel, (title, columns, names, cells) in zip(axes, panels, strict=True):
        _draw(panel, title, columns, names, cells)
    figure.suptitle(
        f"Codes of {results['n']} samples: H homogeneous, S heterogeneous, N noise",
        fontsize="medium",
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


Panel = tuple[str, Sequence[str], list[str], list[list[float | None]]]


def _panels(results: Mapping[str, Any]) -> list[Panel]:
    """Title, columns, row names and cells of both matrices."""
    decoded = f"R^2 of a linear probe,\nnoise floor {results['noise_floor']:g}"
    if "variance_shares" in results:
        return [
            _panel(
                results, "variance_shares", "share of the variance\nthat is explained by", SHARES
            ),
            _panel(results, "decoding", decoded, DECODED),
        ]
    cka = results["cka"]
    return [
        ("linear CKA", cka["names"], cka["names"], cka["matrix"]),
        _panel(results, "label", decoded, ("label",)),
    ]


def _panel(results: Mapping[str, Any], table: str, title: str, columns: Sequence[str]) -> Panel:
    rows = code_rows(results, table)
    cells = [[figures[column] for column in columns] for _, figures in rows]
    return title, columns, [name for name, _ in rows], cells


def _draw(
    axes: "Axes",
    title: str,
    columns: Sequence[str],
    names: list[str],
    cells: list[list[float | None]],
) -> None:
    shades = np.array([[0.0 if x is None else x for x in row] for row in cells])
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for (row, column), shade in np.ndenumerate(shades):
        colour = "white" if shade > DARK else "black"
        text = two_digits(cells[row][column])
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    for row in range(1, len(names)):
        if names[row].split()[0] != names[row - 1].split()[0]:  # another kind of code
            axes.axhline(row - 0.5, color="black", linewidth=1.5)
    long = max(map(len, columns)) > 6
    axes.set_xticks(range(len(columns)), columns, rotation=90 if long else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_title(title, fontsize="medium")
    axes.tick_params(length=0)
