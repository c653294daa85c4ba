"""The demo reaches what the README says of it: minutes long."""

import pytest
from command_case import ROOT, call, read_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "run"
    done = call("train", "--config", ROOT / "configs" / "demo.yaml", "--output.directory", folder)
    assert done.status == 0, done.err
    return folder


def test_the_demo_is_close_to_the_best_possible(demo):
    results = read_json(demo / "results.json")
    seen = [entry for entry in results["conditions"] if entry["name"] != "rate=1.0"]
    assert len(seen) == 7 + 9
    shares = [e["metrics"]["acc2_has0"] / e["bayes"]["acc2_has0"] for e in seen]
    assert min(shares) >= 0.95
    average = results["average"]["all_conditions"]
    assert average["metrics"]["acc2_has0"] / average["bayes"]["acc2_has0"] >= 0.975


def test_its_codes_hold_what_they_are_called(demo):
    assert call("evaluate", demo, "--probes").status == 0
    mean = read_json(demo / "probes.json")["mean"]
    h, s, n = (mean["normalised"][kind] for kind in "HSN")
    assert h["u"] >= 0.90
    assert s["w"] >= 0.60
    assert s["u"] <= 0.25
    assert n["r"] >= 0.60
    relevant = mean["variance_shares"]["N"]
    assert relevant["u"] + relevant["w"] <= 0.10
