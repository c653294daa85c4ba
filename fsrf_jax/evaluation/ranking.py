"""What a ranking of methods claims: which rows, which figures, and what may be said of each."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.comparison import Compared, Comparison, spread_of
from fsrf_jax.evaluation.protocols.averages import equal_weights
from fsrf_jax.evaluation.results import (
    AVERAGE,
    EVERYTHING,
    AverageRow,
    Results,
    family_of_results,
    rows_of,
)
from fsrf_jax.evaluation.runs import Evaluated
from fsrf_jax.evaluation.summary import average_row

RATES = "frame rates"
"""The row of the mean over the frame rates between 0 and 1, with every modality there."""

LEVEL = 0.05

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Claim:
    """What is said of one method, one row and one figure.

    Attributes:
        method: whose.
        row: its key in the results.
        metric: the figure.
        verdict: better or worse where the corrected p over samples is below 0.05.
        found: difference, intervals and p-values.
    """

    method: str
    row: str
    metric: str
    verdict: Verdict
    found: Compared


def with_frame_rates(run: Evaluated) -> Evaluated:
    """The same with a row `RATES`, where the protocol has frame rates that no other row is of."""
    results = run.results
    names = [name for name, rate in _of_all_modalities(results) if 0 < rate < 1]
    weights = equal_weights(names)
    known = [dict(row["weights"]) for row in rows_of(results).values() if "weights" in row]  # type: ignore[typeddict-item]
    if len(names) < 2 or weights in known:
        return run
    row: AverageRow = average_row(results["conditions"], weights, {})
    more: Any = {**results, "averages": {**results.get("averages", {}), RATES: row}}
    return dataclasses.replace(run, results=more)


def ranked_rows(results: Results) -> list[str]:
    """Keys of the rows that a ranking shows: everything seen, then the averages."""
    rows = rows_of(results)
    listed = results["protocol_description"]["conditions"]
    complete = [name for name, rate in _of_all_modalities(results) if rate == 0]
    complete += [entry["name"] for entry in listed if entry.get("modality_rate") == 0]
    averages = [name for name in (AVERAGE, RATES, EVERYTHING) if name in rows]
    return [*complete[:1], *averages]


def _of_all_modalities(results: Results) -> list[tuple[str, float]]:
    """Name and frame rate of the conditions that every modality is there in."""
    listed = [c for c in results["protocol_description"]["conditions"] if "modalities" in c]
    everything = {name for entry in listed for name in entry["modalities"]}
    return [(c["name"], c["frame_rate"]) for c in listed if set(c["modalities"]) == everything]


def ranked_figures(results: Results, asked: Sequence[str] = ()) -> list[str]:
    """Metrics that claims are made of: those asked for, or the headline and the usual others.

    Raises:
        ConfigError: a metric that the results do not have.
    """
    family = family_of_results(results)
    for name in asked:
        if name not in family.names:
            raise ConfigError(
                f"--figures: found {name!r}, expected some of {', '.join(family.names)}."
            )
    usual = [family.headline.metric, *(n for n in ("corr", "mae") if n in family.names)]
    return list(asked or usual)


def claims(
    comparisons: Mapping[str, Comparison],
    results: Results,
    rows: Iterable[str],
    metrics: Sequence[str],
) -> list[Claim]:
    """A claim for every method, row and figure whose difference is defined.

    Args:
        comparisons: of every method to the reference, see `compare_methods`.
        results: of any run, for which figures are better when lower.
        rows: keys of rows.
        metrics: the figures.
    """
    lower = family_of_results(results).lower_is_better
    found = []
    for row in rows:
        for metric in metrics:
            for method, comparison in comparisons.items():
                cell = comparison[row][metric]
                if cell.difference is not None:
                    verdict = _verdict(cell, lower_is_better=metric in lower)
                    found.append(Claim(method, row, metric, verdict, cell))
    return found


def _verdict(cell: Compared, *, lower_is_better: bool) -> Verdict:
    if cell.difference is None or cell.samples_p is None or cell.samples_p >= LEVEL:
        return "no difference shown"
    return "better" if (cell.difference < 0) == lower_is_better else "worse"


def ranking_table(
    methods: Mapping[str, Sequence[Evaluated]],
    comparisons: Mapping[str, Comparison],
    rows: Sequence[str],
    metrics: Sequence[str],
) -> dict[str, Any]:
    """What `ranking.json` holds of the scores: `scores` and `claims`, figures as fractions."""
    reference, *_ = methods
    results = methods[reference][0].results
    scores = {
        name: {
            row: {metric: dataclasses.asdict(spread_of(runs, row, metric)) for metric in metrics}
            for row in rows
        }
        for name, runs in methods.items()
    }
    made = claims(comparisons, results, rows, metrics)
    return {"reference": reference, "scores": scores, "claims": list(map(dataclasses.asdict, made))}
