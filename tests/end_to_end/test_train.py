"""bin/train from the command to the run folder: what it writes, how it resumes, how it stops."""

import json
import re
import shutil
import signal
import time

import numpy as np
import pytest
from command_case import (
    METRICS,
    TERMS,
    TINY,
    call,
    disk_of,
    finish,
    read_arrays,
    read_json,
    read_lines,
    refused,
    start,
    tiny_arrays,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fsrf_jax import arguments
from fsrf_jax.config import Config
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.metrics.regression import regression_metrics
from fsrf_jax.options import split

SUBSETS = (
    *("language", "audio", "vision", "language+audio", "language+vision", "audio+vision"),
    "language+audio+vision",
)
WEIGHTS = {name: float(w) for name, w in split(Config().method.weights)[1].items()}
RATES = tuple(f"rate={rate / 10}" for rate in range(1, 11))
FILES = (
    *(".lock", "checkpoints", "config.yaml", "environment.json", "metrics.jsonl"),
    *("conditions.csv", "predictions.csv", "predictions.npz", "results.json"),
    *("results.md", "results.png", "shapes.json"),
    "tensorboard",
)
MANY = "40"


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the finished run, and the command that made it, for that copy."""
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    return folder, (*trained.argv, "--output.directory", folder)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What a run folder holds.


def test_the_run_folder_holds_what_is_promised(trained):
    assert sorted(path.name for path in trained.folder.iterdir()) == sorted(FILES)
    assert [path.name for path in (trained.folder / "checkpoints").iterdir()] == ["2"]


def test_the_config_is_resolved_and_read_back(trained):
    config = arguments.load(trained.folder / "config.yaml")
    argv = [*trained.argv, "--output.progress", "true"]
    given, _ = arguments.parse(arguments.make_parser("train", "", argv), argv)
    assert config == given


def test_results_have_the_keys_of_the_interface(trained):
    results = read_json(trained.folder / "results.json")
    assert {key: results[key] for key in ("protocol", "split", "mask_seeds", "training_seed")} == {
        "protocol": "corrkd",
        "split": "test",
        "mask_seeds": [0, 1, 2],
        "training_seed": 0,
    }
    assert (results["form"], results["method"]) == ("number", "fsrf")
    environment = read_json(trained.folder / "environment.json")
    assert results["data_fingerprint"] == environment["data_fingerprint"]
    assert results["average_rule"] == "mean over the 6 incomplete modality subsets"
    assert (results["n"], results["n_non0"]) == (24, 24)
    assert results["epochs_trained"] == 2
    assert tuple(entry["name"] for entry in results["conditions"]) == SUBSETS + RATES
    for entry in results["conditions"]:
        measured = {"metrics", "metrics_std", "metrics_per_mask_seed"}
        details = {"collapse", "recovery", "bootstrap", "missing", "missing_per_mask_seed"}
        bayes = {"bayes", "bayes_per_mask_seed"}
        assert set(entry) == {"name", *measured, "floor", "floors", *bayes, *details}
        assert len(entry["metrics_per_mask_seed"]) == len(entry["bayes_per_mask_seed"]) == 3
        assert tuple(entry["floors"]) == ("length", "ridge", "ridge per condition")
        tables = [entry["metrics"], entry["floor"], entry["bayes"], *entry["metrics_per_mask_seed"]]
        tables += entry["floors"].values()
        for table in tables:
            assert tuple(table) == METRICS
            assert all(value is None or type(value) is float for value in table.values())
            assert all(0 <= table[name] <= 1 for name in METRICS[2:])
    assert results["conditions"][0]["floor"]["corr"] is None
    keys = {"metrics", "floor", "floors", "bayes", "weights", "recovery", "bootstrap", "missing"}
    assert keys == set(results["average"]["all_conditions"])
    assert {*keys, "all_conditions"} == set(results["average"])
    assert (results["metrics"], results["tasks"], results["resamples"]) == ("mosi", [], 1000)


def test_averages_are_means_over_their_conditions(trained):
    results = read_json(trained.folder / "results.json")
    table = {entry["name"]: entry for entry in results["conditions"]}
    average = results["average"]
    for figures, names in (
        (average, SUBSETS[:6]),
        (average["all_conditions"], SUBSETS + RATES[:9]),
    ):
        for kind in ("metrics", "bayes"):
            for metric in ("mae", "acc2_non0", "f1_non0"):
                mean = np.mean([table[name][kind][metric] for name in names])
                assert figures[kind][metric] == pytest.approx(mean)


def test_anybody_can_compute_the_table_from_the_predictions(trained):
    results = read_json(trained.folder / "results.json")
    arrays = read_arrays(trained.folder / "predictions.npz")
    assert arrays["ids"].tolist() == [f"test/{i:05d}" for i in range(24)]
    assert arrays["mask_seeds"].tolist() == results["mask_seeds"]
    assert arrays["predictions"].shape == (17, 3, 24)
    for row, entry in enumerate(results["conditions"]):
        assert arrays["conditions"][row] == entry["name"]
        for seed, table in enumerate(entry["metrics_per_mask_seed"]):
            assert table == regression_metrics(arrays["predictions"][row, seed], arrays["labels"])
        assert entry["floor"] == FAMILIES["mosi"].floor(arrays["labels"])
        values = [table["mae"] for table in entry["metrics_per_mask_seed"]]
        assert entry["metrics"]["mae"] == pytest.approx(np.mean(values))
    by_seed = arrays["predictions"][SUBSETS.index("audio")]
    np.testing.assert_array_equal(by_seed, by_seed[:1].repeat(3, 0))
    by_seed = arrays["predictions"][len(SUBSETS) + RATES.index("rate=0.5")]
    assert (by_seed[0] != by_seed[1]).any()
    nothing = arrays["predictions"][-1]
    assert (nothing == nothing[0, 0]).all()


def test_metrics_have_a_line_an_epoch_with_every_raw_term(trained):
    lines = read_lines(trained.folder / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert set(line) == {
            *TERMS,
            *("epoch", "validation_error", "best_epoch", "bad_steps", "total", "gradient_norm"),
        }
        assert all(np.isfinite(value) for value in line.values())
        weighted = line["task"] + sum(WEIGHTS[name] * line[name] for name in TERMS[1:])
        assert line["total"] == pytest.approx(weighted, rel=1e-5)
    best = min(lines, key=lambda line: line["validation_error"])
    assert lines[-1]["best_epoch"] == best["epoch"]
    results = read_json(trained.folder / "results.json")
    assert results["validation_error"] == best["validation_error"]
    assert results["best_epoch"] == best["epoch"]


def test_tensorboard_shows_the_same(trained):
    events = EventAccumulator(str(trained.folder / "tensorboard")).Reload()
    lines = read_lines(trained.folder / "metrics.jsonl")
    tags = {f"training/{name}" for name in (*TERMS, "total", "gradient_norm")}
    assert set(events.Tags()["tensors"]) == tags | {"validation/error"}
    for tag, key in (("training/noise", "noise"), ("validation/error", "validation_error")):
        found = [(e.step, float(e.tensor_proto.float_val[0])) for e in events.Tensors(tag)]
        assert found == [(line["epoch"], pytest.approx(line[key])) for line in lines]


def test_what_is_printed(trained):
    lines = trained.out.splitlines()
    assert lines[0].split()[:2] == ["split", "n"]
    progress = [line for line in lines if line.startswith("epoch ")]
    shape = r"epoch {}/2  loss [\d.]+  validation error [\d.]+ \(best after epoch \d\){}"
    assert re.fullmatch(shape.format(1, ""), progress[0])
    assert re.fullmatch(shape.format(2, r"  \d+ s left"), progress[1])
    assert len(progress) == 2
    for name in (*SUBSETS, *RATES, "average", "Bayes", "floor"):
        assert name in trained.out
    assert lines[-1] == f"Run folder: {trained.folder}"


def test_the_table_and_plot_are_kept(trained):
    text = (trained.folder / "results.md").read_text()
    for name in SUBSETS + RATES:
        assert f"|{name}" in text
    assert (trained.folder / "results.png").read_bytes().startswith(b"\x89PNG")


# The same command again.


def test_a_finished_run_is_shown_again(copied):
    folder, argv = copied
    before = files(folder)
    written = (folder / "results.json").stat()
    done = call("train", *argv)
    assert (done.status, done.err) == (0, "")
    again = (folder / "results.json").stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert "language+audio+vision" in done.out
    assert "epoch " not in done.out.replace("after epoch", "").replace("Network of epoch", "")
    assert files(folder) == before


def test_lost_results_are_computed_again(copied):
    folder, argv = copied
    before = files(folder)
    for name in ("results.json", "predictions.npz"):
        (folder / name).unlink()
    assert call("train", *argv).status == 0
    for name in ("results.json", "metrics.jsonl"):
        assert (folder / name).read_bytes() == before[folder / name]


def test_more_epochs_continue(copied):
    folder, argv = copied
    first = (folder / "metrics.jsonl").read_text()
    done = call("train", *argv, "--training.epochs", MANY)
    assert done.status == 0, done.err
    text = (folder / "metrics.jsonl").read_text()
    assert text.startswith(first)
    assert [line["epoch"] for line in read_lines(folder / "metrics.jsonl")] == list(range(1, 41))
    assert read_json(folder / "results.json")["epochs_trained"] == 40
    assert arguments.load(folder / "config.yaml").training.epochs == 40


def test_the_same_config_gives_the_same_results(trained, tmp_path):
    done = call("train", *TINY, "--output.directory", tmp_path / "again")
    assert done.status == 0, done.err
    for name in ("results.json", "metrics.jsonl", "results.md"):
        assert (tmp_path / "again" / name).read_bytes() == (trained.folder / name).read_bytes()
    np.testing.assert_equal(
        read_arrays(tmp_path / "again" / "predictions.npz"),
        read_arrays(trained.folder / "predictions.npz"),
    )
    digests = "checkpoints/2/digests/data.json"
    assert read_json(tmp_path / "again" / digests) == read_json(trained.folder / digests)


def test_overwriting_keeps_the_old_folder(copied):
    folder, argv = copied
    before = {path.relative_to(folder): content for path, content in files(folder).items()}
    done = call("train", *argv, "--overwrite", "--training.seed", "1")
    assert done.status == 0, done.err
    (old,) = folder.parent.glob("run.old-*")
    assert f"The old run folder is now {old}." in done.out
    after = {path.relative_to(old): content for path, content in files(old).items()}
    assert after == before
    assert read_json(folder / "results.json")["training_seed"] == 1
    assert [line["epoch"] for line in read_lines(folder / "metrics.jsonl")] == [1, 2]
    assert (folder / "metrics.jsonl").read_bytes() != (old / "metrics.jsonl").read_bytes()


def test_the_default_folder_is_named_by_config_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small [bold].yaml").write_text("training: {seed: 0}\n")
    done = call("train", "--config", "small [bold].yaml", *TINY)
    assert done.status == 0, done.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"small \[bold\]-\d{8}-\d{6}", folder.name)
    assert done.out.splitlines()[-1] == f"Run folder: runs/{folder.name}"


# Signals and other processes.


def wait_for(condition, process, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < end, "the process does nothing"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = call("train", *TINY, "--training.epochs", MANY, "--output.directory", folder)
    assert done.status == 0, done.err
    return folder


@pytest.mark.parametrize(
    "signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(signum, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    argv = (*TINY, "--training.epochs", MANY, "--output.directory", folder)
    # Only the signal makes it save.
    process = start("train", *argv, "--output.checkpoint_every", "1000")
    try:
        wait_for((folder / "metrics.jsonl").exists, process)
        process.send_signal(signal.SIGSTOP)
        second = call("train", *argv)
        process.send_signal(signum)
        process.send_signal(signal.SIGCONT)
    finally:
        done = finish(process)
    refused(second, 2, f"{folder}: another process is training in this folder")
    assert done.status == 128 + signum
    epoch = len(read_lines(folder / "metrics.jsonl"))
    assert 1 <= epoch < 40
    name = signal.Signals(signum).name
    assert done.err == (
        f"stopped by {name} after epoch {epoch}; go on with --output.directory {folder}\n"
    )
    assert (folder / "checkpoints" / str(epoch)).is_dir()
    assert not (folder / "results.json").exists()

    resumed = finish(start("train", *argv))
    assert (resumed.status, resumed.err) == (0, "")
    for part in ("results.json", "metrics.jsonl"):
        assert (folder / part).read_bytes() == (uninterrupted / part).read_bytes()
    digests = "checkpoints/40/digests/data.json"
    assert "parameters" in (folder / digests).read_text()
    assert read_json(folder / digests) == read_json(uninterrupted / digests)
    np.testing.assert_equal(
        read_arrays(folder / "predictions.npz"), read_arrays(uninterrupted / "predictions.npz")
    )


def test_a_killed_run_goes_on_from_its_last_checkpoint(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    argv = (*TINY, "--training.epochs", MANY, "--output.directory", folder)
    process = start("train", *argv)
    try:
        wait_for(lambda: list(folder.glob("checkpoints/[0-9]*")), process)
    finally:
        process.kill()
        finish(process)
    assert call("train", *argv).status == 0
    for part in ("results.json", "metrics.jsonl"):
        assert (folder / part).read_bytes() == (uninterrupted / part).read_bytes()


def test_early_stopping_ends_a_run_for_good(uninterrupted, tmp_path):
    lines = (uninterrupted / "metrics.jsonl").read_text().splitlines(keepends=True)
    stops = (n for n, line in enumerate(lines, 1) if json.loads(line)["best_epoch"] < n)
    expected = "".join(lines[: next(stops, 40)])
    argv = (*TINY, "--training.epochs", MANY, "--training.patience", "1")
    for _ in range(2):
        assert call("train", *argv, "--output.directory", tmp_path / "run").status == 0
        assert (tmp_path / "run" / "metrics.jsonl").read_text() == expected


# Data from a file.


def test_a_modality_may_be_absent_for_good_in_training(tmp_path):
    """As in ICT-MMMO: language stands only in the splits that are dealt into folds."""
    np.savez(tmp_path / "x.npz", **tiny_arrays((40, 10, 20), train_language=None))
    folder = tmp_path / "run"
    argv = (*TINY, "--data.source", "file", "--data.path", tmp_path / "x.npz")
    argv = (
        *argv,
        "--data.folds",
        "5",
        "--data.allow_pooled_test",
        "true",
        "--data.label_shift",
        "-0.5",
        "--output.progress",
        "true",
    )
    done = call("train", *argv, "--output.directory", folder)
    assert done.status == 0, done.err
    assert "train: 40 of 40 samples have no language" in done.out
    assert "fold 0 of 5 over valid, test (seed 0): train 58, valid 6, test 6" in done.out
    results = read_json(folder / "results.json")
    assert results["n"] == 6
    assert "bayes" not in results["conditions"][0]
    names = [entry["name"] for entry in results["conditions"]]
    assert "audio+vision" in names
    arrays = read_arrays(folder / "predictions.npz")
    original = tiny_arrays((40, 10, 20))
    label = {f"{s}/{i}": y for s in ("valid", "test") for i, y in enumerate(original[f"{s}_label"])}
    expected = [label[name] - 0.5 for name in arrays["ids"]]
    np.testing.assert_allclose(arrays["labels"], expected, rtol=1e-6)
    assert np.isfinite(arrays["predictions"]).all()

    # Evaluated with the data elsewhere, it gives the same, but for the name of the file.
    moved = (tmp_path / "x.npz").rename(tmp_path / "y.npz")
    before = (folder / "results.json").read_bytes()
    refused(call("evaluate", folder), 1, "x.npz does not exist", "'y.npz'")
    assert call("evaluate", folder, "--data.path", moved).status == 0
    found = read_json(folder / "results.json")
    assert found["run"]["config"]["data"].pop("path") == "y.npz"
    assert results["run"]["config"]["data"].pop("path") == "x.npz"
    assert found == results
    before = (folder / "results.json").read_bytes()
    # Other data do not take the place of the run's own results.
    np.savez(
        tmp_path / "z.npz",
        **{
            **tiny_arrays((40, 10, 20), train_language=None),
            "test_label": original["test_label"] + 1,
        },
    )
    done = call("evaluate", folder, "--data.path", tmp_path / "z.npz")
    refused(done, 2, "the run began with other data", "--output FILE.json")
    assert (folder / "results.json").read_bytes() == before
    output = tmp_path / "other.json"
    done = call("evaluate", folder, "--data.path", tmp_path / "z.npz", "--output", output)
    assert done.status == 0, done.err
    assert read_json(output)["conditions"][0]["metrics"] != results["conditions"][0]["metrics"]


def test_a_loss_that_overflows_ends_with_advice(tmp_path):
    argv = (*TINY, "--output.directory", tmp_path / "run", "--method.weights.noise", "3e38")
    # Six steps are fewer than training.bad_steps, but all that there are.
    last = " became inf in epoch 2, step 3, the last of 6 steps in a row"
    for _ in range(2):
        refused(call("train", *argv), 2, last, "learning_rate", "bin/train --replay")
        assert not (tmp_path / "run" / "results.json").exists()
    assert (tmp_path / "run" / "bad-step.npz").is_file()


# What goes wrong on a disk.


def test_a_disk_that_is_full_and_a_journal_that_lost_a_line(copied):
    folder, argv = copied
    argv = (*argv, "--training.epochs", "3", "--output.progress", "true")
    journal = folder / "metrics.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[1])
    with disk_of(12_000):
        done = call("train", *argv)
    refused(done, 1, f"{folder / 'checkpoints' / '3'}: cannot save the checkpoint: ", "too large")
    refused(done, 1, "The same command goes on from epoch 2, whose checkpoint is whole.\n")
    assert len(done.err.splitlines()) == 1
    done = call("train", *argv)
    assert (done.status, done.err) == (0, "")
    assert f"{journal} lacks epoch 1; training does not depend on it." in done.out.splitlines()
    assert [record["epoch"] for record in read_lines(journal)] == [2, 3]
    assert read_json(folder / "results.json")["epochs_trained"] == 3


def test_results_that_are_damaged_are_refused_and_made_again(copied):
    folder, argv = copied
    path, arrays = folder / "results.json", folder / "predictions.npz"
    whole = path.read_bytes()
    place = whole.index(b'"mae": 0.') + len(b'"mae": 0.')
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    remedy = "evaluate the run again with bin/evaluate."
    refused(call("report", folder), 2, f"{path}: is damaged: it does not have the digest", remedy)
    done = call("train", *argv)
    assert (done.status, done.err, path.read_bytes()) == (0, "", whole)
    found = read_arrays(arrays)
    found["predictions"][3, 1, 7] += 1
    np.savez(arrays, **found)
    refused(call("report", folder), 2, f"{arrays}: does not belong to results.json: found pred")
