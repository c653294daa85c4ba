"""The cells of the table: what is measured, in which order."""

from dataclasses import dataclass, field
from typing import Any

BATCHES = (16, 32, 128, 256)
WIDTHS = (40, 128)
METHODS = ("fsrf", "task_only", "late_fusion", "misa", "corrkd")


@dataclass(frozen=True)
class Cell:
    """One process: what it does, and with which numbers."""

    kind: str
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a finished cell is known by."""
        return " ".join([self.kind, *(f"{k}={v}" for k, v in self.numbers.items())])


def quick_cells() -> list[Cell]:
    """Two shapes, eager: under five minutes on two cores."""
    return [
        *(
            Cell(kind, {"shape": shape, "width": 40, "batch": 32, "compiled": False})
            for shape in ("mosi", "mosei")
            for kind in ("training", "predicting")
        ),
        *(
            Cell("memory", {"shape": "mosi", "width": 40, "batch": 32, "program": program})
            for program in ("ours", "eager")
        ),
    ]


def full_cells() -> list[Cell]:
    """All; what decides first, so that an interrupted run has it."""
    cells = [
        Cell(kind, {"shape": shape, "width": width, "batch": batch, "compiled": True})
        for shape in ("mosi", "mosei")
        for width in WIDTHS
        for kind in ("training", "predicting")
        for batch in BATCHES
    ]
    cells += [
        Cell("memory", {"shape": shape, "width": 40, "batch": batch, "program": program})
        for shape, batch in (("mosi", 32), ("mosi", 256), ("mosei", 32))
        for program in ("ours", "eager")
    ]
    cells += [Cell("methods", {"width": 40, "batch": 32, "names": METHODS})]
    cells += [Cell("samples", {"width": 40, "batch": 32, "counts": (256, 512, 1024, 2048)})]
    cells += [Cell("frames", {"width": 40, "batch": 32, "counts": (125, 250, 375, 500)})]
    cells += [
        Cell("training", {"shape": f"t{t}", "width": 40, "batch": 32, "compiled": False})
        for t in (25, 100, 200, 400)
    ]
    return [*cells, Cell("starts", {"rounds": 3})]
