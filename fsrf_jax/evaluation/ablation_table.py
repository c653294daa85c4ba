"""What an ablation's table holds: every variant, its difference to the first, and `matched`."""

from collections.abc import Mapping, Sequence
from typing import Any

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.comparison import Comparison
from fsrf_jax.evaluation.metrics.figures import Metrics
from fsrf_jax.evaluation.metrics.statistics import Difference
from fsrf_jax.evaluation.protocols.averages import mean_and_std, weighted_metrics
from fsrf_jax.evaluation.results import family_of_results, rows_of
from fsrf_jax.evaluation.runs import SAME, Evaluated


def ablation_table(
    methods: Mapping[str, Sequence[Evaluated]], comparisons: Mapping[str, Comparison]
) -> dict[str, Any]:
    """What `ablation.json` holds.

    Args:
        methods: runs by the variant's name, all with the same training seeds; the first is the
            reference.
        comparisons: what `compare_methods` gave.

    Returns:
        `reference`, `seeds`, `form`, and for every variant and row (each condition, `average`,
        `all_conditions`) each metric's `mean`, `std` (over seeds, None for one), and for all but
        the reference the paired `difference` to it with `low` and `high`, the ends of its 95 %
        interval over the seeds, and `p`; with `samples` and `samples_p`, the same over the test
        samples. Fractions; None is undefined.

        Where every variant bears the name of a condition, `matched` is the table of each under its
        own; else None.

    Raises:
        RunError: variants do not have the same seeds, or runs other data.
    """
    reference, *_ = methods
    seeds = sorted(_seed(run) for run in methods[reference])
    one = methods[reference][0].results
    for variant, runs in methods.items():
        found = sorted(_seed(run) for run in runs)
        if found != seeds:
            raise RunError(
                f"variant {variant!r}: found results of the seeds {found}, expected {seeds}, those "
                "of the first variant: train the missing ones."
            )
        for run in runs:
            if run.results["data_fingerprint"] != one["data_fingerprint"]:
                raise RunError(
                    f"variant {variant!r}, seed {_seed(run)}: data_fingerprint is "
                    f"{run.results['data_fingerprint']!r}, expected {one['data_fingerprint']!r} "
                    "as in the first variant: differences would mean nothing."
                )
    return {
        **{key: one[key] for key in (*SAME, "n", "data_fingerprint")},  # type: ignore[literal-required]
        "reference": reference,
        "seeds": seeds,
        "rule": one["protocol_description"]["average"]["rule"],
        "floor": one["conditions"][0]["floor"],  # the same under all
        "missing": {name: row["missing"] for name, row in rows_of(one).items()},
        "floors": {name: row.get("floors", {}) for name, row in rows_of(one).items()},
        "matched": match(methods),
        "variants": {
            variant: _cells(runs, comparisons.get(variant)) for variant, runs in methods.items()
        },
    }


def _cells(runs: Sequence[Evaluated], comparison: Comparison | None) -> dict[str, Any]:
    """Mean, deviation and difference of every row and metric of a variant."""
    rows = [rows_of(run.results) for run in runs]
    names = family_of_results(runs[0].results).names
    cells: dict[str, Any] = {
        row: {name: mean_and_std([one[row]["metrics"][name] for one in rows]) for name in names}
        for row in rows[0]
    }
    for row, by_metric in (comparison or {}).items():
        for name, found in by_metric.items():
            if found.difference is not None:
                seeds = found.seeds or Difference(found.difference, None, None, None)
                cells[row][name] |= {
                    "difference": seeds.mean,
                    "low": seeds.low,
                    "high": seeds.high,
                    "p": seeds.p,
                    "samples": found.samples,
                    "samples_p": found.samples_p,
                }
    return cells


def match(methods: Mapping[str, Sequence[Evaluated]]) -> dict[str, Any] | None:
    """One model for each condition: every variant under the condition of its own name.

    So protocols are tested that train a model for each missing rate: a variant named `rate=0.3` is
    trained at that rate, and counts under the condition `rate=0.3` alone.

    Returns:
        `conditions`: for each variant and metric `mean` and `std` over the seeds under its own
        condition; `rule` and `average`: of the protocol, the average None unless every condition
        that it is over has a variant. None where some variant is not named after a condition.
    """
    one = next(iter(methods.values()))[0].results
    description, weights = one["protocol_description"], one["average"]["weights"]
    if not set(methods) <= {entry["name"] for entry in description["conditions"]}:
        return None
    names = family_of_results(one).names
    seeds = sorted(_seed(run) for run in next(iter(methods.values())))
    tables: list[dict[str, Metrics]] = [
        {
            variant: rows_of(run.results)[variant]["metrics"]
            for variant, runs in methods.items()
            for run in runs
            if _seed(run) == seed
        }
        for seed in seeds
    ]
    conditions = {
        variant: {name: mean_and_std([t[variant][name] for t in tables]) for name in names}
        for variant in methods
    }
    average = None
    if weights and set(weights) <= set(methods):
        averages = [weighted_metrics(weights, table, names) for table in tables]
        average = {name: mean_and_std([table[name] for table in averages]) for name in names}
    return {"conditions": conditions, "rule": description["average"]["rule"], "average": average}


def _seed(run: Evaluated) -> int:
    seed = run.results["training_seed"]
    assert seed is not None  # members of an ablation were trained
    return seed
