"""bin/evaluate on finished runs: the same results again, or other ones elsewhere."""

import pickle
import shutil

import numpy as np
import pytest
from command_case import TINY, call, read_arrays, read_json, refused, tiny_mmsa

from fsrf_jax.evaluation.comparison import compare_methods
from fsrf_jax.evaluation.runs import read_evaluated

RESULTS = ("results.json", "results.md", "metrics.jsonl", "config.yaml", "environment.json")


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained.folder, tmp_path / "run")


def test_a_run_is_reproduced(copied, trained):
    for name in ("results.json", "results.md", "results.png", "predictions.npz"):
        (copied / name).unlink()
    done = call("evaluate", copied)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"Results: {copied}/results.json"
    table = trained.out[trained.out.index("Protocol corrkd") : trained.out.rindex("Run folder")]
    assert table in done.out
    for name in RESULTS:
        assert (copied / name).read_bytes() == (trained.folder / name).read_bytes()
    np.testing.assert_equal(
        read_arrays(copied / "predictions.npz"), read_arrays(trained.folder / "predictions.npz")
    )
    assert sorted(p.name for p in copied.iterdir()) == sorted(
        p.name for p in trained.folder.iterdir()
    )


def test_other_settings_go_elsewhere(copied, trained, tmp_path):
    argv = ("--output", tmp_path / "more.json", "--evaluation.mask_seeds", "[1,0,7,8]")
    argv += ("--evaluation.bootstrap", "0", "--evaluation.compat", "true")
    done = call("evaluate", copied, *argv, "--evaluation.batch_size", "5")
    assert done.status == 0
    assert "Compat figures" in done.out
    for name in (*RESULTS, "results.png", "predictions.npz"):
        assert (copied / name).read_bytes() == (trained.folder / name).read_bytes()
    assert sorted(path.name for path in tmp_path.glob("more*")) == [
        *("more.conditions.csv", "more.json", "more.md", "more.png"),
        *("more.predictions.csv", "more.predictions.npz"),
    ]
    more = read_json(tmp_path / "more.json")
    assert more["mask_seeds"] == [1, 0, 7, 8]
    # Figures of older code, and no intervals, only where they are asked for.
    own = read_json(copied / "results.json")
    assert (own["resamples"], more["resamples"]) == (1000, 0)
    for ours, others in zip(own["conditions"], more["conditions"], strict=True):
        low, high = ours["bootstrap"]["mae"]
        assert low < ours["metrics"]["mae"] < high
        assert set(others["compat"]) == {"f1_non0_swapped", "f1_has0_swapped"}
        assert "compat" not in ours
        assert "bootstrap" not in others
    former = read_arrays(copied / "predictions.npz")["predictions"]
    found = read_arrays(tmp_path / "more.predictions.npz")["predictions"]
    assert found.shape == (17, 4, 24)
    # Masks belong to a seed whatever the others are, and the batch size changes nothing.
    np.testing.assert_allclose(found[:, :2], former[:, [1, 0]], rtol=1e-4, atol=1e-6)
    assert (found[11, 2] != found[11, 3]).any()


def test_probes_are_written_beside_the_results(copied):
    done = call("evaluate", copied, "--probes")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"Probes: {copied}/probes.json"
    probes = read_json(copied / "probes.json")
    assert probes["split"] == "test"
    assert probes["n"] == 24
    fingerprint = read_json(copied / "environment.json")["data_fingerprint"]
    assert probes["data_fingerprint"] == fingerprint
    assert set(probes["variance_shares"]["H"]) >= {"language", "audio", "vision"}
    assert "|" in (copied / "probes.md").read_text()
    assert (copied / "probes.png").read_bytes().startswith(b"\x89PNG")


def test_recovery_is_written_beside_the_results(copied):
    done = call("evaluate", copied, "--recovery")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"Recovery: {copied}/recovery.json"
    recovery = read_json(copied / "recovery.json")
    assert (recovery["split"], recovery["n"], recovery["mask_seeds"]) == ("test", 24, [0, 1, 2])
    by_name = {entry["name"]: entry["metrics"] for entry in recovery["conditions"]}
    assert by_name["language+audio+vision"]["cosine"] > 1 - 1e-6
    assert by_name["language+audio+vision"]["recall_at_1"] == 1.0
    assert by_name["rate=1.0"]["median_rank"] == 12.5
    assert "|**chance**|**-**|**12.5**|" in (copied / "recovery.md").read_text()


def test_a_run_is_compared_with_itself(trained):
    run = read_evaluated(trained.folder)
    found = compare_methods({"a": [run], "b": [run]}, resamples=20)["b"]["average"]["mae"]
    assert (found.difference, found.samples) == (0.0, [0.0, 0.0])


def test_another_split(copied, tmp_path):
    output = tmp_path / "valid.json"
    assert call("evaluate", copied, "--output", output, "--evaluation.split", "valid").status == 0
    results = read_json(output)
    assert (results["split"], results["n"]) == ("valid", 16)
    assert read_arrays(tmp_path / "valid.predictions.npz")["ids"][0] == "valid/00000"


def test_the_licence_can_be_stated_later(copied, tmp_path):
    before = read_json(copied / "results.json")
    assert before["run"]["config"]["data"].pop("licence") == ""
    assert call("evaluate", copied, "--data.licence", "CC BY 4.0").status == 0
    found = read_json(copied / "results.json")
    assert found["run"]["config"]["data"].pop("licence") == "CC BY 4.0"
    assert found["run"].pop("changed") == ["data.licence", *before["run"].pop("changed")]
    assert found == before
    argv = ("--predictions", copied / "predictions.csv", "--output", tmp_path / "x.json")
    done = call("evaluate", copied, *argv, "--data.licence", "CC BY 4.0")
    refused(done, 2, "--data.licence", "no model card")


def test_changes_need_another_file(copied):
    done = call("evaluate", copied, "--evaluation.mask_seeds", "[0,1,2]")
    refused(done, 2, "--evaluation.mask_seeds: the results would differ", "--output FILE.json")


def test_an_mmsa_pickle_trains_and_is_evaluated_elsewhere(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(tiny_mmsa()))
    run = tmp_path / "run"
    argv = (*TINY, "--data.source", "file", "--data.path", path, "--output.directory", run)
    done = call("train", *argv)
    assert done.status == 0, done.err
    before = (run / "results.json").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "x.pkl")
    assert call("evaluate", run, "--data.path", moved).status == 0
    assert (run / "results.json").read_bytes() == before
    assert "bayes" not in read_json(run / "results.json")["average"]
    ids = read_arrays(run / "predictions.npz")["ids"]
    assert ids.tolist() == [f"test$_${i}" for i in range(24)]
    # The same command with the moved data goes on with the run.
    assert call("train", *argv, "--data.path", moved).status == 0
    assert (run / "results.json").read_bytes() == before
