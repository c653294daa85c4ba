"""What a protocol makes of the figures of several conditions."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fsrf_jax.evaluation.figures import Metrics, mean_of
from fsrf_jax.evaluation.protocols import Protocol, Rule

Weights = Mapping[str, float]
"""How much each condition counts in an average, by name."""


def equal_weights(names: Collection[str]) -> dict[str, float]:
    """Those of a mean over conditions."""
    return dict.fromkeys(names, 1 / max(len(names), 1))


def weights_of(protocol: Protocol) -> dict[str, float]:
    """Those of a protocol's average: its figure is their sum, weight by weight.

    Equal for a mean; half the distance between both neighbours on the line of rates for an area;
    none at all where there is no average.
    """
    if protocol.rule == "none":
        return {}
    if protocol.rule == "mean":
        return equal_weights(protocol.averaged)
    rates = {c.name: c.rate for c in protocol.conditions if c.name in protocol.averaged}
    names = sorted(rates, key=rates.__getitem__)
    steps = np.diff([rates[name] for name in names])
    halves = (np.append(steps, 0) + np.append(0, steps)) / 2
    return dict(zip(names, map(float, halves), strict=True))


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
