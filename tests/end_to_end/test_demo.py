"""The demo reaches what the README says of it: minutes long."""

import pytest
from command_case import ROOT, call, read_json


@pytest.mark.slow
def test_the_demo_is_close_to_the_best_possible(tmp_path):
    folder = tmp_path / "run"
    done = call("train", "--config", ROOT / "configs" / "demo.yaml", "--output.directory", folder)
    assert done.status == 0, done.err
    results = read_json(folder / "results.json")
    seen = [entry for entry in results["conditions"] if entry["name"] != "rate=1.0"]
    assert len(seen) == 7 + 9
    shares = [e["metrics"]["acc2_has0"] / e["bayes"]["acc2_has0"] for e in seen]
    assert min(shares) >= 0.95
    average = results["average"]["all_conditions"]
    assert average["metrics"]["acc2_has0"] / average["bayes"]["acc2_has0"] >= 0.975
