"""What a protocol makes of the figures of several conditions: their sum by weights."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.protocols.registry import Protocol

Weights = Mapping[str, float]
"""How much each condition counts in an average, by name."""


def equal_weights(names: Collection[str]) -> dict[str, float]:
    """Those of a mean over conditions."""
    return dict.fromkeys(names, 1 / max(len(names), 1))


def weights_of(protocol: Protocol) -> dict[str, float]:
    """Those of a protocol's average.

    Equal for a mean. For the area under the line over the rates, by trapezoids, half the distance
    between both neighbours: they sum to the width of the line, by which it is not divided (a
    constant 1 over the rates 0 to 0.5 gives 0.5). None at all where there is no average.
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


def weighted_sum(weights: Weights, figures: Mapping[str, float | None]) -> float | None:
    """Sum over conditions of weight times figure; None for none, or where one is undefined."""
    terms = []
    for name, weight in weights.items():
        figure = figures[name]
        if figure is None:
            return None
        terms.append(weight * figure)
    return math.fsum(terms) if terms else None


def weighted_metrics(
    weights: Weights, tables: Mapping[str, Metrics], names: Collection[str]
) -> Metrics:
    """`weighted_sum` of every named figure; tables by condition."""
    return {
        name: weighted_sum(weights, {condition: tables[condition][name] for condition in weights})
        for name in names
    }


def mean_and_std(figures: Sequence[float | None]) -> dict[str, float | None]:
    """Mean and sample standard deviation over seeds, as `mean` and `std`.

    One undefined figure makes both None; of one figure there is no deviation.
    """
    known = [figure for figure in figures if figure is not None]
    if len(known) < len(figures):
        return {"mean": None, "std": None}
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {"mean": float(np.mean(known)), "std": spread}
