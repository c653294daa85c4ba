"""Mistakes of the user on the command line: a status, one message, and nothing left behind."""

import os
import pickle
import shutil

import numpy as np
import pytest
import yaml
from command_case import (
    TINY,
    call,
    finish,
    flip,
    read_arrays,
    refused,
    start,
    tiny_arrays,
    tiny_mmsa,
)


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    """Work in an empty folder, and find nothing but the input in it afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input").mkdir()
    yield
    assert [path.name for path in tmp_path.iterdir()] == ["input"]
    assert not list((tmp_path / "input").glob(".*"))


def train(path, *argv):
    return call("train", *TINY, "--data.source", "file", "--data.path", path, *argv)


def write_npz(tmp_path, **changes):
    path = tmp_path / "input" / "x.npz"
    np.savez(path, **tiny_arrays(**changes))
    return path


def write_pickle(tmp_path, content):
    path = tmp_path / "input" / "x.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


class Touch:
    """Unpickling this with the standard library runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_missing_file(tmp_path):
    write_npz(tmp_path)
    refused(train("input/y.npz"), 1, "input/y.npz does not exist", "did you mean 'x.npz'")
    refused(train("nowhere/y.npz"), 1, "nowhere/y.npz does not exist, nor does its folder")
    refused(train("input"), 1, "is a folder")


def test_in_a_process_of_its_own(tmp_path):
    done = finish(start("train", "--data.source", "file", "--data.path", "y.npz", cwd=tmp_path))
    refused(done, 1, "y.npz does not exist")
    assert done.out == ""
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "content", [b"", b"what is this", b"\x80\x05only the beginning", b"PK\x03\x04"]
)
@pytest.mark.parametrize("format", ["auto", "mmsa"])
def test_not_a_pickle(tmp_path, content, format):
    path = tmp_path / "input" / "x.pkl"
    path.write_bytes(content)
    refused(train(path, "--data.format", format), 1, str(path), "cannot be read")


@pytest.mark.parametrize("command", ["train", "prepare"])
def test_a_pickle_that_would_run_code(tmp_path, command):
    sentinel = tmp_path / "input" / "sentinel"
    path = write_pickle(tmp_path, {**tiny_mmsa(), "config": Touch(sentinel)})
    done = train(path) if command == "train" else call("prepare", path, "--output", "x.h5")
    refused(done, 1, str(path), "would run code")
    assert not sentinel.exists()
    pickle.loads(path.read_bytes())  # with the standard library it does
    assert sentinel.exists()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"train_audio": np.ones((39, 6, 16))},
            ("train audio", "(39, 6, 16)", "number of samples"),
        ),
        ({"test_audio": np.ones((24, 6, 3))}, ("audio", "(24, 6, 3)", "number of features")),
        ({"train_audio": np.ones(40)}, ("'train': 'audio'", "(40,)", "expected [samples")),
        ({"train_label": np.ones((40, 2))}, ("'train': labels have shape (40, 2)", "[n]")),
        ({"valid_label": None}, ("'valid'", "no labels", "expected 'valid_label'")),
        ({"train_label": np.r_[np.nan, np.ones(39)]}, ("'train': 1 of 40 labels", "train/0")),
        ({"test_label": np.r_[np.ones(23), np.inf]}, ("'test': 1 of 24 labels", "test/23")),
        ({"train_language": np.zeros((40, 6, 32))}, ("no training sample has modality language",)),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, changes, parts):
    refused(train(write_npz(tmp_path, **changes)), 1, *parts)


def test_no_labels_at_all(tmp_path):
    path = tmp_path / "input" / "x.npz"
    np.savez(path, train=np.ones((3, 2)))
    refused(train(path), 1, "no labels; expected keys such as 'train_label'")


def test_a_pickle_without_labels_or_with_a_wrong_one(tmp_path):
    table = tiny_mmsa()
    del table["valid"]["regression_labels"]
    refused(train(write_pickle(tmp_path, table)), 1, "'valid'", "'regression_labels'")
    table = tiny_mmsa()
    table["test"]["regression_labels"][5] = np.nan
    refused(train(write_pickle(tmp_path, table)), 1, "'test': 1 of 24 labels are NaN", "test$_$5")


def test_an_unknown_modality(tmp_path):
    path = write_npz(tmp_path)
    done = train(path, "--data.modalities", "[language,adio]")
    refused(done, 1, "no split has the modality 'adio'", "did you mean 'audio'")
    path = write_pickle(tmp_path, tiny_mmsa())
    refused(train(path, "--data.modalities", "[language,smell]"), 1, "'smell'", "found language")


def test_a_split_is_missing(tmp_path):
    gone = {f"valid_{key}": None for key in ("label", "language", "audio", "vision")}
    refused(train(write_npz(tmp_path, **gone)), 1, "no split 'valid'", "train, test")


def test_labels_that_could_be_those_of_sims(tmp_path):
    sizes = {"train": 40, "valid": 16, "test": 24}
    narrow = {f"{split}_label": np.linspace(-1, 1, n) for split, n in sizes.items()}
    done = train(write_npz(tmp_path, **narrow))
    refused(done, 2, "every label lies in [-1, 1]", "--evaluation.metrics sims")


def test_an_unknown_split_to_evaluate(tmp_path):
    refused(call("train", *TINY, "--evaluation.split", "tets"), 1, "no split 'tets'", "valid, test")


def test_folds_that_the_data_do_not_have(tmp_path):
    path = write_npz(tmp_path)
    refused(train(path, "--data.folds", "3", "--data.pooled", "[tst]"), 1, "'tst'", "'test'")
    refused(train(path, "--data.folds", "41"), 1, "too few for 41 folds")


def test_a_file_of_another_format(tmp_path):
    refused(train(write_npz(tmp_path), "--data.format", "store"), 1, "not a store")


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (("--data.source", "file"), ("data.path: found None", "--data.path FILE")),
        (("--data.path", "x"), ("data.path: found 'x'", "--data.source file")),
        (("--training.epoch", "3"), ("--training.epoch", "nearest is --training.epochs")),
        (("--training.epochs", "three"), ("training.epochs", "'int'", "three")),
        (("--training.epochs", "0"), ("training.epochs: found 0", "at least 1")),
        (("--model.dropout", "1"), ("model.dropout: found 1.0", "below 0.996")),
        (("--data.modalities", "[audio]"), ("data.modalities", "two or more")),
        (("--data.modalities", "[a,b]"), ("data.synthetic.widths: found 3 values, expected 2",)),
        (("--data.synthetic.train", "0"), ("data.synthetic.train: found 0, expected at least 1",)),
        (
            ("--data.synthetic.frames", "2"),
            ("data.synthetic.frames: found 2, expected at least 3",),
        ),
        (("--data.synthetic.noise_share", "0.5"), ("found a sum of 1.445, expected 1",)),
        (("--config", "my.yaml"), ("found no file my.yaml",)),
        (("--evaluation.metrics", "sims"), ("expected labels in [-1, 1]", "mosi")),
        (("--evaluation.metrics", "msa"), ("evaluation.metrics", "'mosi'", "'sims'")),
        (("--data.tasks", "[up]"), ("data.tasks: found ['up'], expected nothing",)),
    ],
)
def test_mistaken_options(argv, parts):
    refused(call("train", *TINY, *argv), 2, *parts)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("training: {epoch: 3}", ("x.yaml: training.epoch", "nearest is training.epochs")),
        ("training: {epochs: three}", ("training.epochs", "'int'", "three")),
        ("training: {epochs: 0}", ("training.epochs: found 0", "at least 1")),
        ("- 1", ("x.yaml: the file: found [1], expected a section",)),
        ("a: {", ("x.yaml: is not YAML",)),
    ],
)
def test_mistaken_config_files(tmp_path, content, parts):
    (tmp_path / "input" / "x.yaml").write_text(content)
    refused(call("train", "--config", "input/x.yaml"), 2, *parts)


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run."""
    return shutil.copytree(trained.folder, tmp_path / "input" / "run")


@pytest.fixture(autouse=True)
def unlock(clean, tmp_path):
    yield
    (tmp_path / "input" / "run" / ".lock").unlink(missing_ok=True)


def test_a_run_folder_of_another_config(run):
    before = snapshot(run)
    argv = (*TINY, "--output.directory", run, "--training.seed", "7", "--method.weights.noise", "0")
    done = call("train", *argv)
    refused(
        done,
        2,
        "belongs to a run with another config",
        "method.weights.noise: 0.03 there, 0.0 here",
        "training.seed: 0 there, 7 here",
        "--overwrite",
    )
    assert done.err.count(" there, ") == 2
    assert snapshot(run) == before


def test_a_run_folder_of_other_data(tmp_path):
    path = write_npz(tmp_path)
    run = tmp_path / "input" / "run"
    run.mkdir()
    (run / "environment.json").write_text('{"data_fingerprint": "another"}')
    config = yaml.safe_load(
        call("train", *TINY, "--data.source", "file", "--data.path", path, "--print_config").out
    )
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    done = train(path, "--output.directory", run)
    refused(done, 2, "the run began with other data (fingerprint another", "--overwrite")
    assert sorted(p.name for p in run.iterdir()) == [".lock", "config.yaml", "environment.json"]


def test_a_folder_that_is_no_run_folder(tmp_path):
    (tmp_path / "input" / "thesis.tex").touch()
    refused(call("train", *TINY, "--output.directory", "input"), 2, "input", "no config.yaml")
    refused(call("evaluate", "input"), 2, "input: found no config.yaml")
    refused(call("evaluate", "nowhere"), 2, "nowhere: found no config.yaml")
    refused(call("evaluate"), 2, "--help")


def test_an_old_folder_stays_if_overwriting_fails(run):
    before = snapshot(run)
    argv = ("--output.directory", run, "--overwrite", "--data.synthetic.train", "0")
    refused(call("train", *TINY, *argv), 2, "data.synthetic.train")
    assert snapshot(run) == before


@pytest.mark.parametrize("keep_folder", [True, False])
def test_evaluation_without_checkpoints(run, keep_folder):
    shutil.rmtree(run / "checkpoints")
    if keep_folder:
        (run / "checkpoints").mkdir()
    before = snapshot(run)
    refused(call("evaluate", run), 2, "checkpoints", "found no checkpoint", "train the run first")
    assert snapshot(run) == before


def damage(run):
    """Flip one bit in the largest file of the newest arrays."""
    flip(max((run / "checkpoints").iterdir(), key=lambda place: int(place.name)))


def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path_factory):
    """To the same results, byte by byte, and the same curves."""
    run = tmp_path_factory.mktemp("several") / "run"
    argv = (*TINY, "--training.epochs", "3", "--output.checkpoint_every", "1")
    argv = (*argv, "--output.directory", run)
    assert call("train", *argv).status == 0
    kept = ("results.json", "predictions.csv", "metrics.jsonl")
    before = {name: (run / name).read_bytes() for name in kept}
    damage(run)
    refused(call("evaluate", run), 2, f"{run}/checkpoints/3", "is damaged", "same bin/train")
    done = call("train", *argv, "--output.progress", "true")
    assert done.status == 0, done.err
    aside = run / "checkpoints" / "3.damaged"
    assert f"A damaged checkpoint is now {aside}; going on from the one before it." in done.out
    assert {name: (run / name).read_bytes() for name in kept} == before
    assert aside.is_dir()
    assert call("evaluate", run).status == 0


def test_a_damaged_checkpoint(run, trained):
    damage(run)
    before = snapshot(run)
    refused(call("evaluate", run), 2, f"{run}/checkpoints/2", "is damaged")
    assert snapshot(run) == before
    done = call("train", *trained.argv, "--output.directory", run, "--training.epochs", "3")
    refused(done, 2, f"{run}/checkpoints/2", "is damaged")
    assert read_arrays(run / "predictions.npz")
    assert before[run / "results.json"] == (run / "results.json").read_bytes()
    assert before[run / "metrics.jsonl"] == (run / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (("--evaluation.mask_seeds", "[5]"), ("--evaluation.mask_seeds", "--output FILE.json")),
        (("--evaluation.split", "valid"), ("--evaluation.split", "--output FILE.json")),
        (("--output", "x.png"), ("--output: found x.png, expected FILE.json",)),
        (("--output", "nowhere/x.json"), ("--output: found nowhere/x.json", "existing folder")),
        (("--data.path", "x.npz"), ("data.path", "data.source is synthetic")),
        (("--evaluation.seeds", "3"), ("--evaluation.seeds: there is no such option",)),
        (("--output", "x.json", "--evaluation.batch_size", "0"), ("batch_size: found 0",)),
        (("--output", "x.json", "--evaluation.mask_seeds", "[]"), ("different seeds",)),
        (("--evaluation.compat", "true"), ("--evaluation.compat", "--output FILE.json")),
        (("--output", "x.json", "--evaluation.bootstrap", "-1"), ("bootstrap: found -1",)),
        (("--output", "x.json", "--evaluation.metrics", "sims"), ("labels in [-1, 1]",)),
    ],
)
def test_mistaken_evaluations(run, argv, parts):
    before = snapshot(run)
    refused(call("evaluate", run, *argv), 2, *parts)
    assert snapshot(run) == before


def test_evaluation_of_a_split_that_is_not_there(run):
    done = call("evaluate", run, "--output", "x.json", "--evaluation.split", "tets")
    refused(done, 1, "no split 'tets'", "train, valid, test")


def test_preparing_what_cannot_be_prepared(tmp_path):
    path = write_npz(tmp_path, train_label=np.full(40, np.nan))
    refused(call("prepare", path, "--output", "x.h5"), 1, "40 of 40 labels are NaN")
    refused(call("prepare", "input/y.npz", "--output", "x.h5"), 1, "did you mean 'x.npz'")
    path = write_npz(tmp_path)
    refused(call("prepare", path, "--output", path), 1, f"{path} exists already")
    refused(call("prepare", path, "--output", "nowhere/x.h5"), 1, "nowhere/x.h5 cannot be written")
    refused(call("prepare", path), 2, "output", "prepare --help")
    refused(call("prepare", path, "x.h5"), 2, "x.h5", "prepare --help")
    argv = ("prepare", path, "--output", "x.h5")
    refused(call(*argv, "--formt", "arrays"), 2, "nearest is --format")
    refused(call(*argv, "--bad_values", "none"), 2, "zero", "frame", "column")
