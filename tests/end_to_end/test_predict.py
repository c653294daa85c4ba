"""Predicting as a user does: 30 files of one sample without labels, ids or text by one command."""

import csv

import numpy as np
from command_case import SIZES, call, finish, start, tiny_arrays

LABELS = ["--data.source", "file", "--task.kind", "cross_entropy", "--method.name", "late_fusion"]


def predicted(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row.pop("id"): {k: float(v) for k, v in row.items()} for row in rows}


def test_thirty_files_have_the_predictions_of_one(trained, tmp_path):
    rng = np.random.default_rng(0)
    widths = {"language": 32, "audio": 16, "vision": 20}
    samples = [
        {m: rng.normal(size=(rng.integers(1, 30), f)) for m, f in widths.items()} for _ in range(30)
    ]
    (tmp_path / "in").mkdir()
    arrays = {}
    for i, own in enumerate(samples):
        np.savez(tmp_path / "in" / f"r{i:02}.npz", **own)
    for m, f in widths.items():
        lengths = [len(own[m]) for own in samples]
        arrays[m] = np.zeros((30, max(lengths), f))
        for row, own in zip(arrays[m], samples, strict=True):
            row[: len(own[m])] = own[m]
        arrays[f"{m}_lengths"] = np.array(lengths)
    np.savez(tmp_path / "all.npz", id=np.array([f"r{i:02}" for i in range(30)]), **arrays)
    for name in ("in", "all.npz"):
        argv = (trained.folder, tmp_path / name, "--output", tmp_path / f"{name}.csv")
        done = finish(start("predict", *argv))
        assert done.status == 0, done.err
    one, other = predicted(tmp_path / "in.csv"), predicted(tmp_path / "all.npz.csv")
    assert list(one) == list(other) == [f"r{i:02}" for i in range(30)]
    for name, row in one.items():
        np.testing.assert_allclose(list(row.values()), list(other[name].values()), atol=1e-5)
    assert len({row["prediction"] for row in one.values()}) == 30


def test_a_run_of_seven_classes_predicts_and_evaluates_data_of_five(tmp_path):
    arrays = tiny_arrays()
    for split in ("train", "valid", "test"):
        n = len(arrays[f"{split}_label"])
        arrays[f"{split}_label"] = np.arange(n) % (5 if split == "test" else 7)
    np.savez(tmp_path / "x.npz", **arrays)
    argv = (*LABELS, *SIZES, "--data.path", tmp_path / "x.npz")
    done = call("train", *argv, "--output.directory", tmp_path / "run")
    assert done.status == 0, done.err
    five = {key: x for key, x in arrays.items() if key.startswith("test")}
    np.savez(tmp_path / "five.npz", **five)
    done = call("predict", tmp_path / "run", tmp_path / "five.npz", "--output", tmp_path / "p.csv")
    assert done.status == 0, done.err
    rows = predicted(tmp_path / "p.csv")
    assert len(rows) == 24
    for row in rows.values():
        chances = [row[f"prediction_{i}"] for i in range(7)]
        np.testing.assert_allclose(sum(chances), 1, atol=1e-5)
    argv = ("--data.path", tmp_path / "five.npz", "--output", tmp_path / "five.json")
    done = call("evaluate", tmp_path / "run", *argv)
    assert done.status == 0, done.err
