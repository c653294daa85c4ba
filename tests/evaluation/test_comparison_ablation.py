"""The table of an ablation: marks at the floor, and what has to be equal."""

import dataclasses
import json

import pytest
from evaluation_case import ablation_text, evaluated, run_results

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.ablation_table import ablation_table
from fsrf_jax.evaluation.comparison import compare_methods


@pytest.fixture(scope="module")
def results():
    return json.loads(json.dumps(run_results()))


def _cells(text, condition):
    rows = [line for line in text.splitlines() if line.startswith(f"|{condition}|")]
    return rows[-1].strip("|").split("|")[1:]


def test_conditions_at_the_floor_are_marked(results):
    better = json.loads(json.dumps(results))
    vision = next(entry for entry in better["conditions"] if entry["name"] == "vision")
    vision["metrics"]["acc2_non0"] = 0.75
    vision["collapse"]["collapsed"] = False
    text = ablation_text({"full": [evaluated(results)], "other": [evaluated(better)]})
    floor = f"{100 * results['average']['floor']['acc2_non0']:.1f}"
    missing = 100 * vision["missing"]["frames"]
    assert _cells(text, "vision")[:3] == [f"{missing:.1f} / 66.7", f"{floor} \\*", "75.0"]
    assert not any("*" in cell for cell in _cells(text, "language"))
    assert "*: collapsed, Acc2 is no better than the best constant" in text
    assert "one seed says nothing of chance" in text


@pytest.mark.parametrize("key", ["metrics", "tasks"])
def test_other_metrics_are_not_compared(results, key):
    other = evaluated({**results, key: "others"})
    with pytest.raises(RunError, match=f"{key} is 'others'"):
        compare_methods({"full": [evaluated(results)], "other": [other]}, 0)


def test_other_data_and_other_seeds_are_not_tabled(results):
    first = evaluated(results)
    for key, value, message in (
        ("data_fingerprint", "x", "data_fingerprint is 'x', expected 'abc'"),
        ("training_seed", 3, r"seeds \[3\], expected \[11\]"),
    ):
        other = dataclasses.replace(first, results={**results, key: value})
        with pytest.raises(RunError, match=message):
            ablation_table({"full": [first], "other": [other]}, {})
