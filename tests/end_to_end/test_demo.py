"""The demo reaches what the README says of it: minutes long."""

import numpy as np
import pytest
from command_case import ROOT, call, read_json

import fsrf_jax
from fsrf_jax.experiments.explain import modality_shapley
from fsrf_jax.source import open_source

pytestmark = pytest.mark.slow


def trained(folder, *argv):
    config = ROOT / "configs" / "demo.yaml"
    done = call("train", "--config", config, *argv, "--output.directory", folder)
    assert done.status == 0, done.err
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("demo") / "run")


def test_the_demo_is_close_to_the_best_possible(demo):
    results = read_json(demo / "results.json")
    seen = [entry for entry in results["conditions"] if entry["name"] != "rate=1.0"]
    assert len(seen) == 7 + 9
    shares = [e["metrics"]["acc2_has0"] / e["bayes"]["acc2_has0"] for e in seen]
    assert min(shares) >= 0.95
    average = results["average"]["all_conditions"]
    assert average["metrics"]["acc2_has0"] / average["bayes"]["acc2_has0"] >= 0.983


def test_it_owes_to_each_modality_what_the_best_possible_prediction_does(demo):
    """Exact Shapley values of both, on the same samples: docs/predict.md has the figures."""
    run = fsrf_jax.load(demo)
    source = open_source(run.config.data)
    samples = source.split("test").head(1000)
    best, nothing = modality_shapley(source.oracle("test"), source.split("test").present)
    np.testing.assert_allclose(nothing, 0, atol=1e-6)  # the mean of all labels
    found = run.network.explain_split(samples)
    for m, values in best.items():
        assert np.corrcoef(found.shapley[m], values[:1000])[0, 1] >= 0.93, m
    whole = sum(best.values())[:1000]
    np.testing.assert_allclose(whole, source.oracle("test")(source.split("test").present)[:1000])


def test_with_weights_for_pure_codes_they_hold_what_they_are_called(tmp_path):
    pure = ROOT / "configs" / "methods" / "fsrf_pure.yaml"
    folder = trained(tmp_path / "run", "--config", pure)
    assert call("evaluate", folder, "--probes").status == 0
    mean = read_json(folder / "probes.json")["mean"]
    h, s, n = (mean["normalised"][kind] for kind in "HSN")
    assert h["u"] >= 0.90
    assert s["w"] >= 0.60
    assert s["u"] <= 0.25
    assert n["r"] >= 0.60
    relevant = mean["variance_shares"]["N"]
    assert relevant["u"] + relevant["w"] <= 0.10
