"""What the results say of a run: names but no places, and all that repeats it."""

import dataclasses
import json

import numpy as np
from ablation_case import parse
from card_case import ENVIRONMENT, card_results, split_of

from fsrf_jax import arguments
from fsrf_jax.data.dataset import Dataset
from fsrf_jax.evaluation.results import RunRecord
from fsrf_jax.experiments.environment import own_program
from fsrf_jax.experiments.record import run_record, without_places
from fsrf_jax.source import Source


def test_the_config_of_a_record_is_loaded_as_it_was_but_for_the_output(tmp_path):
    changes = {
        "training.seed": 4,
        "missing.subset_weights": {"language+audio": 2.0},
        "data.licence": "CC BY 4.0",
        "output.checkpoint_every": 3,
    }
    run = card_results(tmp_path, changes=changes)["run"]
    expected = arguments.load({**changes, "output.checkpoint_every": 5})
    assert set(run) == RunRecord.__required_keys__
    assert "output" not in run["config"]
    assert arguments.load(run["config"]) == expected
    assert run["changed"] == ["data.licence", "missing.subset_weights", "training.seed"]
    assert (run["views"], run["complete_view"]) == (2, False)


def test_options_of_a_method_are_compared_with_those_of_that_method(tmp_path):
    run = card_results(tmp_path, changes={"method.name": "late_fusion", "method.views": 3})["run"]
    assert run["changed"] == ["method.name", "method.views"]
    assert run["views"] == 3


def test_who_trained_and_who_evaluates(tmp_path):
    run = card_results(tmp_path)["run"]
    trained = {key: ENVIRONMENT[key] for key in ("commit", "python", "versions")}
    assert run["trained_by"] == trained
    assert run["evaluated_by"] == own_program()
    assert run["trained_on"] == {"fingerprint": "abc", "samples": 40}


def test_splits_have_their_samples_groups_and_labels(tmp_path):
    labels = split_of().labels
    assert card_results(tmp_path, groups=5)["run"]["splits"] == {
        name: {
            "samples": n,
            "groups": 5,
            "labels": [float(labels[:n].min()), float(labels[:n].max())],
        }
        for name, n in (("train", 40), ("valid", 16), ("test", 60))
    }
    classes = split_of("class").labels[:40]
    found = card_results(tmp_path, "class")["run"]["splits"]["train"]
    counts = [[int((classes == c).sum()) for c in range(3)]]
    assert found == {"samples": 40, "groups": None, "counts": counts}
    tasks = split_of("binary").labels
    found = card_results(tmp_path, "binary")["run"]["splits"]["test"]
    assert found["counts"] == [[60 - int(yes), int(yes)] for yes in tasks.sum(axis=0)]


def test_a_split_without_samples_has_no_record(tmp_path):
    split = split_of()
    splits = {"train": split, "valid": split.head(0), "test": split}
    source = Source(Dataset(splits), None, "number", 1, ())
    config = arguments.load({})
    run = run_record(config, "corrkd", source, source.shapes, tmp_path)
    assert list(run["splits"]) == ["train", "test"]
    assert (run["trained_by"], run["trained_on"]["fingerprint"]) == (None, None)
    assert run["features"] == {"language": 32, "audio": 16, "vision": 20}
    assert run["tokens"] == {}


def test_no_place_of_this_machine_is_recorded():
    config = parse("--data.source", "file", "--data.path", "/home/me/secret/mosi.pkl")
    assert without_places(config, "corrkd").data.path == "mosi.pkl"
    folder = parse("--data.source", "file", "--data.path", "/home/me/data/")
    assert without_places(folder, "corrkd").data.path == "data"
    teacher = parse("--method.name", "corrkd", "--method.teacher", "/home/me/runs/taught")
    assert without_places(teacher, "corrkd").method.teacher == "taught"
    own = parse("--evaluation.protocol", "/home/me/noisy.yaml")
    assert without_places(own, "noisy").evaluation.protocol == "noisy"
    # A file of masks may have decided the protocol.
    assert without_places(own, "lnln").evaluation.protocol == "lnln"
    assert without_places(parse(), "corrkd").data == parse().data


def test_a_record_is_json(tmp_path):
    split = split_of()
    half = dataclasses.replace(split, labels=split.labels.astype(np.float32) / 2)
    source = Source(Dataset({"train": half}), None, "number", 1, ())
    run = run_record(arguments.load({}), "corrkd", source, source.shapes, tmp_path)
    assert json.loads(json.dumps(run)) == run
