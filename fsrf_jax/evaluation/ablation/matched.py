"""One model for each condition: every variant of an ablation under the condition of its own name.

So protocols are tested that train a model for each missing rate: a variant named `rate=0.3` is
trained at that rate, and counts under the condition `rate=0.3` alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.protocols.averages import mean_and_std, weighted_metrics
from fsrf_jax.evaluation.results import Results


def match(runs: Mapping[str, Mapping[int, Results]], names: Sequence[str]) -> dict[str, Any] | None:
    """The matched table, or None where some variant is not named after a condition.

    Args:
        runs: results by variant and seed, all of one protocol.
        names: of the metrics.

    Returns:
        `conditions`: for each variant and metric `mean` and `std` over the seeds under its own
        condition; `rule` and `average`: of the protocol, the average None unless every condition
        that it is over has a variant.
    """
    seeds = sorted(next(iter(runs.values())))
    one = next(iter(runs.values()))[seeds[0]]
    description, weights = one["protocol_description"], one["average"]["weights"]
    if not set(runs) <= {entry["name"] for entry in description["conditions"]}:
        return None
    tables = {
        seed: {variant: _own(results[seed], variant) for variant, results in runs.items()}
        for seed in seeds
    }
    conditions = {
        variant: {name: mean_and_std([tables[s][variant][name] for s in seeds]) for name in names}
        for variant in runs
    }
    rule = description["average"]["rule"]
    if not weights or not set(weights) <= set(runs):
        return {"conditions": conditions, "rule": rule, "average": None}
    averages = [weighted_metrics(weights, tables[seed], names) for seed in seeds]
    own = {name: mean_and_std([table[name] for table in averages]) for name in names}
    return {"conditions": conditions, "rule": rule, "average": own}


def _own(results: Results, variant: str) -> Metrics:
    return next(entry for entry in results["conditions"] if entry["name"] == variant)["metrics"]
