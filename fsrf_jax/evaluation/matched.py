"""One model for each condition: every variant of an ablation under the condition of its own name.

So protocols are tested that train a model for each missing rate: a variant named `rate=0.3` is
trained at that rate, and counts under the condition `rate=0.3` alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fsrf_jax.evaluation.averages import average, mean_and_std
from fsrf_jax.evaluation.figures import Metrics
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
    description = next(iter(runs.values()))[seeds[0]]["protocol_description"]
    described = {entry["name"]: entry for entry in description["conditions"]}
    if not set(runs) <= set(described):
        return None
    tables = {
        seed: {variant: _own(results[seed], variant) for variant, results in runs.items()}
        for seed in seeds
    }
    conditions = {
        variant: {name: mean_and_std([tables[s][variant][name] for s in seeds]) for name in names}
        for variant in runs
    }
    rule, over = description["average"]["rule"], description["average"]["over"]
    if rule == "none" or not set(over) <= set(runs):
        return {"conditions": conditions, "rule": rule, "average": None}
    rates = [
        described[name].get("frame_rate", described[name].get("modality_rate", 0.0))
        for name in over
    ]
    averages = [average(rule, rates, [tables[seed][name] for name in over]) for seed in seeds]
    own = {name: mean_and_std([table[name] for table in averages]) for name in names}
    return {"conditions": conditions, "rule": rule, "average": own}


def _own(results: Results, variant: str) -> Metrics:
    return next(entry for entry in results["conditions"] if entry["name"] == variant)["metrics"]
