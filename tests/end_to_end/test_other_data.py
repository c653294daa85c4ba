"""A run evaluated on data that it was not trained on: they need the evaluated split alone."""

import json
import shutil

import numpy as np
import pytest
from command_case import TINY, call, read_arrays, read_json, refused

NAMES = np.array(["joy", "anger", "calm"])  # in sorted order: anger, calm, joy


def arrays(n, names, seed, features=3):
    rng = np.random.default_rng(seed)
    labels = rng.choice(names, n)
    x = (NAMES[:, None] == labels).argmax(axis=0)[:, None, None]
    return {
        "language": (x + rng.normal(size=(n, 4, features))).astype(np.float32),
        "audio": (x + rng.normal(size=(n, 5, 2))).astype(np.float32),
        "label": labels,
        "id": np.array([f"{seed}/{i}" for i in range(n)]),
    }


def save(path, **splits):
    np.savez(path, **{f"{s}_{k}": x for s, of in splits.items() for k, x in of.items()})
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained on three classes, and the file that it was trained on."""
    folder = tmp_path_factory.mktemp("classes")
    splits = {s: arrays(n, NAMES, i) for i, (s, n) in enumerate({"train": 40, "valid": 16}.items())}
    path = save(folder / "all.npz", **splits, test=arrays(24, NAMES, 2))
    argv = ("--data.source", "file", "--data.path", path, "--data.modalities", "[language,audio]")
    argv = (*argv, "--task.kind", "cross_entropy", "--method.name", "late_fusion")
    done = call("train", *TINY, *argv, "--output.directory", folder / "run")
    assert done.status == 0, done.err
    return folder / "run", path


def evaluated(run, path, output):
    done = call("evaluate", run[0], "--data.path", path, "--output", output)
    assert done.status == 0, done.err
    return json.loads(output.read_text()), read_arrays(output.with_suffix(".predictions.npz"))


def test_the_evaluated_split_alone_gives_the_same_predictions(run, tmp_path):
    alone = save(tmp_path / "test.npz", test=arrays(24, NAMES, 2))
    results, predictions = evaluated(run, alone, tmp_path / "alone.json")
    own = json.loads((run[0] / "results.json").read_text())
    assert results["average"]["metrics"] == own["average"]["metrics"]
    assert results["epochs_trained"] == own["epochs_trained"] == 2
    expected = read_arrays(run[0] / "predictions.npz")["predictions"]
    np.testing.assert_array_equal(predictions["predictions"], expected)


def test_classes_keep_the_numbers_that_they_were_trained_with(run, tmp_path):
    """A file without the class that comes first: its own numbers would be others."""
    few = arrays(12, NAMES[[0, 2]], 5)
    results, predictions = evaluated(run, save(tmp_path / "few.npz", test=few), tmp_path / "f.json")
    assert predictions["predictions"].shape[-1] == 3
    assert set(predictions["labels"]) == {1, 2}  # calm and joy
    names = [found["name"] for found in results["conditions"][0]["classes"]]
    assert names == ["anger", "calm", "joy"]
    counts = np.array(results["conditions"][0]["confusion"]).sum(axis=1)
    expected = [0, *((few["label"] == name).sum() for name in ("calm", "joy"))]
    np.testing.assert_allclose(counts, expected)


def test_other_widths_and_unknown_classes_are_refused(run, tmp_path):
    wide = save(tmp_path / "wide.npz", test=arrays(8, NAMES, 3, features=6))
    done = call("evaluate", run[0], "--data.path", wide, "--output", tmp_path / "x.json")
    refused(done, 1, "language has 6 features, the training data had 3", "feature extraction")
    other = arrays(8, NAMES, 3)
    other["label"] = np.where(other["label"] == "joy", "fear", other["label"])
    path = save(tmp_path / "other.npz", test=other)
    done = call("evaluate", run[0], "--data.path", path, "--output", tmp_path / "x.json")
    refused(done, 1, "found the class 'fear'", "anger, calm, joy")
    assert not (tmp_path / "x.json").exists()


def test_what_a_network_was_made_for_is_read_or_named(run, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(run[0], copied)
    shapes, trained = read_json(copied / "shapes.json"), read_arrays(run[1])
    environment = read_json(copied / "environment.json")
    assert shapes.pop("data_fingerprint") == environment["data_fingerprint"]
    assert shapes == {
        "version": 1,
        "samples": 40,
        "frames": {"language": 4, "audio": 5},
        "features": {"language": 3, "audio": 2},
        "outputs": 3,
        "classes": ["anger", "calm", "joy"],
        "vocabulary": {},
        "class_counts": [[int((trained["train_label"] == name).sum()) for name in sorted(NAMES)]],
    }
    del shapes["class_counts"]  # a run of before there were any
    (copied / "shapes.json").write_text(json.dumps(shapes))
    assert call("evaluate", copied).status == 0
    for text in ("{", "[]", '{"version": 2}', '{"version": 1}'):
        (copied / "shapes.json").write_text(text)
        refused(call("evaluate", copied), 2, "shapes.json")
    (copied / "shapes.json").unlink()  # a run of before there was such a file
    assert call("evaluate", copied).status == 0


def test_rare_classes_can_weigh_as_much_as_others(tmp_path):
    skewed = [*["anger"] * 14, "calm", "joy"]
    of = {"train": (40, skewed, 9), "valid": (16, skewed, 8), "test": (24, NAMES, 2)}
    path = save(tmp_path / "x.npz", **{split: arrays(*given) for split, given in of.items()})
    argv = ("--data.source", "file", "--data.path", path, "--data.modalities", "[language,audio]")
    argv = (*argv, "--task.kind", "cross_entropy", "--method.name", "late_fusion")
    argv = (*argv, "--optimizer.learning_rate", "0.02")
    means = {}
    for setting in ("none", "balanced"):
        folder = tmp_path / setting
        done = call(
            "train", *TINY, *argv, "--task.class_weights", setting, "--output.directory", folder
        )
        assert done.status == 0, done.err
        means[setting] = read_arrays(folder / "predictions.npz")["predictions"].mean((0, 1, 2))
    assert call("evaluate", folder).status == 0
    # The common class is what a network learns first, unless the rare ones weigh more.
    assert means["none"][0] > means["balanced"][0] + 0.1, means
    argv = ("--task.class_weights", "balanced", "--output.directory", tmp_path / "x")
    message = "task.class_weights: found 'balanced', expected none, because task.kind l1 predicts"
    refused(call("train", *TINY, *argv), 2, message)
