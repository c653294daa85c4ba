"""What a ranking shows and claims."""

import dataclasses

import numpy as np
import pytest
from evaluation_case import evaluated, run, run_results

from fsrf_jax.errors import ConfigError
from fsrf_jax.evaluation.comparison import Compared, Spread
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.evaluation.ranking import (
    RATES,
    claims,
    ranked_figures,
    ranked_rows,
    with_frame_rates,
)
from fsrf_jax.evaluation.results import rows_of
from fsrf_jax.evaluation.summary import summarise


def _results_under(protocol):
    whole = run()
    made = PROTOCOLS[protocol](("language", "audio", "vision"))
    one = whole.conditions[0]
    conditions = tuple(dataclasses.replace(one, condition=c) for c in made.conditions)
    changed = dataclasses.replace(whole, protocol=made, conditions=conditions)
    return summarise(changed, "test", 0, "abc")


def test_the_row_of_the_frame_rates_is_their_mean():
    before = evaluated(run_results())
    after = with_frame_rates(before)
    rows = rows_of(after.results)
    names = [f"rate=0.{i}" for i in range(1, 10)]
    assert rows[RATES]["weights"] == dict.fromkeys(names, 1 / 9)
    for metric in ("mae", "corr", "acc7"):
        mean = np.mean([rows[name]["metrics"][metric] for name in names])
        assert rows[RATES]["metrics"][metric] == pytest.approx(mean, abs=1e-12)
        best = np.mean([rows[name]["bayes"][metric] for name in names])
        assert rows[RATES]["bayes"][metric] == pytest.approx(best, abs=1e-12)
    assert RATES not in rows_of(before.results)
    assert with_frame_rates(after).results == after.results


@pytest.mark.parametrize(
    ("protocol", "rows"),
    [
        ("corrkd", ["language+audio+vision", "average", RATES, "all_conditions"]),
        ("lnln", ["rate=0.0", "average", RATES, "all_conditions"]),
        ("cmad", ["language+audio+vision", "average", "all_conditions"]),
        ("gcnet", ["mr=0.0", "all_conditions"]),
    ],
)
def test_rows_of_a_ranking(protocol, rows):
    found = with_frame_rates(evaluated(_results_under(protocol)))
    assert ranked_rows(found.results) == rows


def test_figures_of_a_ranking():
    results = run_results()
    assert ranked_figures(results) == ["acc2_non0", "corr", "mae"]
    assert ranked_figures(results, ["f1_has0"]) == ["f1_has0"]
    assert ranked_figures(run_results(form="class"))[1:] == []
    with pytest.raises(ConfigError, match=r"--figures: found 'cor', expected some of mae"):
        ranked_figures(results, ["cor"])


@pytest.mark.parametrize(
    ("metric", "difference", "p", "verdict"),
    [
        ("mae", -0.1, 0.049, "better"),
        ("mae", 0.1, 0.001, "worse"),
        ("corr", 0.1, 0.049, "better"),
        ("corr", -0.1, 0.049, "worse"),
        ("corr", 0.1, 0.05, "no difference shown"),
        ("corr", 0.1, None, "no difference shown"),
    ],
)
def test_a_verdict_goes_by_the_corrected_p_and_the_metric(metric, difference, p, verdict):
    side = Spread(0.5, 0.01, None)
    cell = Compared(side, side, difference, [-1.0, 1.0], p, None, None, None)
    made = claims({"b": {"average": {metric: cell}}}, run_results(), ["average"], [metric])
    assert [(c.method, c.row, c.metric, c.verdict) for c in made] == [
        ("b", "average", metric, verdict)
    ]
    unknown = dataclasses.replace(cell, difference=None)
    assert claims({"b": {"x": {metric: unknown}}}, run_results(), ["x"], [metric]) == []
