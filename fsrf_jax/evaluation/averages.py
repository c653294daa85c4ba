"""What a protocol makes of the figures of several conditions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fsrf_jax.evaluation.figures import Metrics, mean_of
from fsrf_jax.evaluation.protocols import Rule


def average(rule: Rule, rates: Sequence[float], tables: Sequence[Metrics]) -> Metrics:
    """Combine the figures of conditions; one undefined figure makes its average undefined.

    Args:
        rule: "mean"; "area", the integral over the rates by trapezoids, which is not divided by
            the width of the line (a constant 1 over the rates 0 to 1 gives 1, over 0 to 0.5 gives
            0.5); or "none", where every figure is None.
        rates: of the conditions, any order; used by "area" alone.
        tables: their figures, at least one.
    """
    names = list(tables[0])
    if rule == "none":
        return dict.fromkeys(names)
    if rule == "mean":
        return mean_of(tables, names)
    order = np.argsort(rates)
    x = np.asarray(rates, np.float64)[order]
    areas: Metrics = {}
    for name in names:
        heights = [tables[index][name] for index in order]
        defined = None not in heights
        areas[name] = float(np.trapezoid(np.asarray(heights, float), x)) if defined else None
    return areas


def mean_and_std(figures: Sequence[float | None]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds, as `mean` and `std`.

    One undefined figure makes both None; of one figure there is no deviation.
    """
    known = [figure for figure in figures if figure is not None]
    if len(known) < len(figures):
        return {"mean": None, "std": None}
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {"mean": float(np.mean(known)), "std": spread}
