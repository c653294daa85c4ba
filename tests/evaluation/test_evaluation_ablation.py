"""The table of an ablation: marks at the floor, and what has to be equal."""

import json

import pytest
from evaluation_case import run_results

from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.ablation.compare import compare
from fsrf_jax.reporting.ablation_table import ablation_markdown


@pytest.fixture(scope="module")
def results():
    return json.loads(json.dumps(run_results()))


def _cells(text, condition):
    row = next(line for line in text.splitlines() if line.startswith(f"|{condition}|"))
    return row.strip("|").split("|")[1:]


def test_conditions_at_the_floor_are_marked(results):
    better = json.loads(json.dumps(results))
    vision = next(entry for entry in better["conditions"] if entry["name"] == "vision")
    vision["metrics"]["acc2_non0"] = 0.75
    text = ablation_markdown(compare({"full": {0: results}, "other": {0: better}}))
    floor = f"{100 * results['average']['floor']['acc2_non0']:.1f}"
    assert _cells(text, "vision") == [f"{floor} *", "75.0"]
    assert all(cell.endswith(" *") for cell in _cells(text, "rate=1.0"))
    assert not any(cell.endswith("*") for cell in _cells(text, "language"))
    assert (
        f"*: collapsed, Acc2 is no better than the floor, the best constant prediction ({floor})"
        in text
    )


@pytest.mark.parametrize("key", ["metrics", "tasks"])
def test_other_metrics_are_not_compared(results, key):
    other = {**results, key: "others"}
    with pytest.raises(RunError, match=f"{key} is 'others'"):
        compare({"full": {0: results}, "other": {0: other}})
