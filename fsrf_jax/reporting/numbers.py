"""How figures are written, everywhere; a dash is undefined, and nothing is -0.0."""

from collections.abc import Sequence

from fsrf_jax.evaluation.comparison import Spread
from fsrf_jax.evaluation.metrics.families import Column
from fsrf_jax.evaluation.results import Row


def percent(figure: float | None, sign: str = "") -> str:
    """A fraction in percent, or a dash."""
    return "-" if figure is None else f"{round(100 * figure, 1) + 0.0:{sign}.1f}"


def number(figure: float | None) -> str:
    """A figure with three decimals, or a dash."""
    return "-" if figure is None else f"{figure:.3f}"


def interval_cell(ends: Sequence[float] | None) -> str:
    """The ends of an interval of fractions in percent, or a dash."""
    return "-" if ends is None else f"{percent(ends[0])} .. {percent(ends[1])}"


def column_interval(ends: Sequence[float] | None, column: Column) -> str:
    """The ends of an interval as their column has them, or a dash."""
    return "-" if ends is None else f"{shown(ends[0], column)} .. {shown(ends[1], column)}"


def two_digits(figure: float | None) -> str:
    """A figure with two decimals, never -0.00."""
    return "-" if figure is None else f"{round(figure, 2) + 0.0:.2f}"


def shown(figure: float | None, column: Column) -> str:
    """A figure as its column has it: in percent, or a plain number."""
    return percent(figure) if column.percent else number(figure)


def signed(figure: float | None, column: Column) -> str:
    """A difference with its sign: points of percent, or a plain number."""
    if column.percent:
        return percent(figure, "+")
    return "-" if figure is None else f"{round(figure, 3) + 0.0:+.3f}"


def spread_cell(spread: Spread, column: Column) -> str:
    """Mean, and deviation over training seeds where there are several."""
    mean = shown(spread.mean, column)
    deviation = spread.training_std
    return mean if deviation is None else f"{mean} ± {shown(deviation, column)}"


def missing_cell(row: Row, digits: int = 1) -> str:
    """The shares of frames and of modalities that were really missing, in percent."""
    shares = (row["missing"][kind] for kind in ("frames", "modalities"))
    return " / ".join("-" if share is None else f"{100 * share:.{digits}f}" for share in shares)


def p_value(p: float | None) -> str:
    """A p-value with three decimals, or a dash."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
