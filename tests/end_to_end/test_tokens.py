"""A file of MMSA with token ids: prepared, trained on, evaluated and reported by the commands."""

import pickle

import numpy as np
from command_case import SIZES, call, read_json, tiny_mmsa


def write(path):
    """`text_bert` in place of `text`; two tokens say whether the label is positive."""
    content, rng = tiny_mmsa(), np.random.default_rng(0)
    for name, table in content.items():
        n, frames = table.pop("text").shape[:2]
        mask = np.arange(frames)[None] < np.array(table.pop("text_lengths"))[:, None]
        ids = 5 + 2 * rng.integers(4, size=(n, frames)) + (table["regression_labels"] > 0)[:, None]
        ids += 100 * (name == "test") * (np.arange(frames) == 1)[None]  # never seen in training
        table["text_bert"] = np.stack([ids * mask, mask, 0 * mask], axis=1)
    path.write_bytes(pickle.dumps(content))
    return path


def test_token_ids_are_learnt_from(tmp_path):
    stored, folder = tmp_path / "x.h5", tmp_path / "run"
    done = call("prepare", write(tmp_path / "x.pkl"), "--output", stored)
    assert done.status == 0, done.err
    assert "- language: frames are token ids" in done.out.splitlines()
    argv = (*SIZES, "--data.source", "file", "--data.path", stored)
    argv = (*argv, "--evaluation.bootstrap", "0", "--evaluation.mask_seeds", "[0]")
    done = call("train", *argv, "--output.directory", folder, "--output.progress", "true")
    assert done.status == 0, done.err
    assert "- language: token ids from 0 to 12, the largest of train" in done.out.splitlines()
    assert "taken for the unknown token, 1" in done.out
    results = read_json(folder / "results.json")
    assert results["n"] == 24
    done = call("evaluate", folder, "--output", tmp_path / "again.json", "--probes", "--recovery")
    assert done.status == 0, done.err
    again = read_json(tmp_path / "again.json")
    assert again["conditions"] == results["conditions"]
    done = call("report", folder)
    assert done.status == 0, done.err
    assert "|train, language|13 token ids|" in (folder / "report.md").read_text("utf-8")
