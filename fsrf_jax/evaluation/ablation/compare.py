"""Variants of a method side by side: means over seeds, and paired differences to the first.

Everything is computed from the results files of runs that were evaluated on the same masks.
"""

from collections.abc import Mapping
from typing import Any

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation import evaluated
from fsrf_jax.evaluation.ablation.matched import match
from fsrf_jax.evaluation.comparison import differences_over_seeds
from fsrf_jax.evaluation.metrics.families import family_of_results
from fsrf_jax.evaluation.protocols.averages import mean_and_std
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING, Results, entry_of

Runs = Mapping[str, Mapping[int, Results]]
"""Results by variant and training seed; every variant has the same seeds."""

# What has to be equal for results to be compared.
SAME = (*evaluated.SAME, "n", "data_fingerprint")


def compare(runs: Runs) -> dict[str, Any]:
    """The table of an ablation; its first variant is the reference.

    Args:
        runs: results by variant and seed, at least one of each.

    Returns:
        What `ablation.json` holds: `reference`, `seeds`, `form`, and for every variant and row
        (each condition, `average`, `all_conditions`) each metric's `mean`, `std` (over seeds, None
        for one), and for all but the reference the paired `difference` to it with `low` and
        `high`, the ends of a 95 % interval, and `p`, corrected over the variants (Holm).
        Fractions; None is undefined.

        Where every variant bears the name of a condition, `matched` is the table of each under its
        own, see `fsrf_jax.evaluation.ablation.matched`; else None.

    Raises:
        RunError: the runs were not evaluated alike.
    """
    _check_alike(runs)
    variants = list(runs)
    reference, seeds = variants[0], sorted(runs[variants[0]])
    one = runs[reference][seeds[0]]
    names = family_of_results(one).names
    rows = [entry["name"] for entry in one["conditions"]] + [AVERAGE, EVERYTHING]
    table: dict[str, Any] = {variant: {row: {} for row in rows} for variant in variants}
    for row in rows:
        for metric in names:
            scores = {
                variant: [entry_of(runs[variant][seed], row)["metrics"][metric] for seed in seeds]
                for variant in variants
            }
            for variant, cell in _cells(scores, reference).items():
                table[variant][row][metric] = cell
    return {
        **{key: one[key] for key in SAME},
        "reference": reference,
        "seeds": seeds,
        "rule": one["protocol_description"]["average"]["rule"],
        "floor": one["conditions"][0]["floor"],  # the same under all
        "matched": match(runs, names),
        "variants": table,
    }


def _check_alike(runs: Runs) -> None:
    first = next(iter(runs.values()))
    seeds = sorted(first)
    one = first[seeds[0]]
    for variant, by_seed in runs.items():
        if sorted(by_seed) != seeds:
            raise RunError(
                f"variant {variant!r}: found results of the seeds {sorted(by_seed)}, expected "
                f"{seeds}, those of the first variant: train the missing ones."
            )
        for seed, results in by_seed.items():
            for key in SAME:
                if results[key] != one[key]:
                    raise RunError(
                        f"variant {variant!r}, seed {seed}: {key} is {results[key]!r}, expected "
                        f"{one[key]!r} as in the first variant: differences would mean nothing."
                    )


def _cells(scores: Mapping[str, list[float | None]], reference: str) -> dict[str, dict[str, Any]]:
    """Mean, deviation and difference of one metric in one row, for every variant."""
    cells: dict[str, dict[str, Any]] = {v: mean_and_std(found) for v, found in scores.items()}
    others = {variant: found for variant, found in scores.items() if variant != reference}
    for variant, difference in differences_over_seeds(others, scores[reference]).items():
        if difference is not None:
            cells[variant] |= {
                "difference": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "p": difference.p,
            }
    return cells
