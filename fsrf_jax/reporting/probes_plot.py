"""Heat maps of the probes, from the results dictionary alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsrf_jax.reporting.pictures import heat_map, png
from fsrf_jax.reporting.probes_tables import DECODED, SHARES, code_rows

Panel = tuple[str, Sequence[str], Sequence[str], Sequence[Sequence[float | None]]]
"""Title, columns, row names and cells of a matrix."""


def save_probes_plot(path: Path, results: Mapping[str, Any]) -> None:
    """Draw two matrices with a row for every code as a PNG, each cell with its figure.

    With known latents: variance shares and decoding. Without: CKA and decoding of the label.
    White is 0 or less, black is 1; a dash is undefined.
    """
    panels = _panels(results)
    widths = [max(3, len(columns)) for _, columns, _, _ in panels]
    with png(path, 290 + 50 * sum(widths), 140 + 26 * len(panels[0][2])) as figure:
        axes = figure.subplots(1, len(panels), width_ratios=widths)
        for place, (title, columns, rows, cells) in zip(axes, panels, strict=True):
            heat_map(place, columns, rows, cells)
            place.set_title(title)
            for row in range(1, len(rows)):
                if rows[row].split()[0] != rows[row - 1].split()[0]:  # another kind of code
                    place.axhline(row - 0.5, color="black", linewidth=1.5)
        figure.suptitle(f"Codes of {results['n']} samples: H homogeneous, S heterogeneous, N noise")


def _panels(results: Mapping[str, Any]) -> list[Panel]:
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
