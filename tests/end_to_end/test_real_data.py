"""The configs for real data run on them, where they are: FSRF_DATA, else ../shared/data."""

import os
from pathlib import Path

import pytest
from command_case import ROOT, call, read_json

FOLDER = Path(os.environ.get("FSRF_DATA", ROOT.parent / "shared" / "data"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "n", "absent"),
    [("mosi", "cmu_mosi.pkl", 686, "audio"), ("mmmo", "ict_mmmo.npz", 24, "audio+vision")],
)
def test_a_config_trains_on_its_data(name, file, n, absent, tmp_path):
    path = FOLDER / file
    if not path.is_file():
        pytest.skip(f"no {file} in {FOLDER}; set FSRF_DATA to the folder that has it")
    argv = ("--config", ROOT / "configs" / f"{name}.yaml", "--data.path", path)
    folder = tmp_path / "run"
    done = call("train", *argv, "--training.epochs", "1", "--output.directory", folder)
    assert done.status == 0, done.err
    results = read_json(folder / "results.json")
    assert results["n"] == n
    table = {entry["name"]: entry["metrics"] for entry in results["conditions"]}
    assert table[absent]["mae"] is not None  # without language
    before = (folder / "results.json").read_bytes()
    assert call("evaluate", folder).status == 0
    assert (folder / "results.json").read_bytes() == before
