"""One run on one simulated device and on several."""

import pytest
from command_case import TINY, call, finish, read_json, read_lines, start

# Slow: devices are compared in tests/training, tests/methods and tests/test_inference as well.
pytestmark = pytest.mark.slow

# 37 samples in 3 batches of 12 or 13, which no number of devices divides. 7 epochs are 21 steps.
ARGV = (*TINY, "--data.synthetic.train", "37", "--training.epochs", "7")


@pytest.fixture(scope="module", params=[2, 3, 4, 6, 8])
def runs(request, tmp_path_factory):
    """Folders of the run on one device and on several."""
    folders = []
    for devices in (1, request.param):
        folder = tmp_path_factory.mktemp("devices") / "run"
        done = finish(start("train", *ARGV, "--output.directory", folder, devices=devices))
        assert (done.status, done.err) == (0, "")
        assert len(read_json(folder / "environment.json")["devices"]) == devices
        folders.append(folder)
    return folders


def test_losses_agree(runs):
    one, many = (read_lines(folder / "metrics.jsonl") for folder in runs)
    assert len(one) == len(many) == 7
    for former, latter in zip(one, many, strict=True):
        # Not a loss. Redundancy is steep where a code hardly varies over the few samples of a
        # batch, so that the norm of a single step can follow the last digits of the parameters.
        norms = former.pop("gradient_norm"), latter.pop("gradient_norm")
        assert norms[0] == pytest.approx(norms[1], rel=0.1)
        assert former == pytest.approx(latter, rel=1e-5)


def test_masks_are_the_same_bytes_and_a_network_is_measured_alike(runs, tmp_path):
    """The network of one device, evaluated on eight, and the masks as files."""
    given = ("--evaluation.protocol", "gcnet")
    evaluation = (runs[0], *given, "--output")
    masks = ("--config", runs[0] / "config.yaml", *given)
    others = [
        start("evaluate", *evaluation, tmp_path / "many.json", devices=8),
        start("masks", tmp_path / "many.npz", *masks, devices=8),
    ]
    assert call("evaluate", *evaluation, tmp_path / "one.json").status == 0
    assert call("masks", tmp_path / "one.npz", *masks).status == 0
    for process in others:
        done = finish(process)
        assert (done.status, done.err) == (0, "")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "many.npz").read_bytes()
    one, many = (read_json(tmp_path / f"{name}.json") for name in ("one", "many"))
    assert one["masks_digest"] == many["masks_digest"]
    for former, latter in zip(one["conditions"], many["conditions"], strict=True):
        for name, figure in former["metrics"].items():
            # The correlation of almost constant predictions is of their last digits.
            tolerance = 1e-5 if name == "corr" else 1e-6
            assert latter["metrics"][name] == pytest.approx(figure, abs=tolerance), name


def test_results_agree(runs):
    one, many = (read_json(folder / "results.json") for folder in runs)
    assert one["masks_digest"] == many["masks_digest"]
    for former, latter in zip(one["conditions"], many["conditions"], strict=True):
        assert former["name"] == latter["name"]
        assert former["metrics"] == pytest.approx(latter["metrics"], abs=1e-4)
