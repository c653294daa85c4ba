"""Every format can be prepared and trained on; their shapes are the same, to compile once."""

import pytest
from command_case import ROOT, SIZES, call, read_json
from format_case import CASES

TRAIN = (
    *SIZES,
    *("--method.name", "late_fusion", "--data.source", "file"),
    *("--data.modalities", "[audio,vision]", "--evaluation.bootstrap", "0"),
    *("--evaluation.mask_seeds", "[0]", "--evaluation.metrics", "auto"),
)
CONFIGS = {
    "mmsa unaligned": "mosei",
    "mult iemocap": "iemocap_binary",
    "mmin": "iemocap",
    "samples": "meld",
}
KINDS = {"number": "l1", "class": "cross_entropy", "binary": "binary_cross_entropy"}


@pytest.mark.parametrize("name", CASES)
def test_prepared_and_trained_on(name, tmp_path):
    case = CASES[name]
    stored = tmp_path / "x.h5"
    argv = (case.write(tmp_path), "--output", stored, "--modalities", "[audio,vision]")
    done = call("prepare", *argv)
    assert done.status == 0, done.err
    folder = tmp_path / "run"
    argv = ("--data.path", stored, "--task.kind", KINDS[case.form], "--output.directory", folder)
    # The config for such files, or that of the built-in data.
    config = ROOT / "configs" / f"{CONFIGS.get(name, 'demo')}.yaml"
    done = call("train", "--config", config, *TRAIN, *argv)
    assert done.status == 0, done.err
    assert read_json(folder / "results.json")["n"] == 8
