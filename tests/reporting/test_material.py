"""What a report is made from: which runs are one method, and what is refused."""

import dataclasses
import json

import pytest
from report_case import config_with, evaluation_of, labels_with, material_of

from fsrf_jax import sealed
from fsrf_jax.arguments import to_yaml
from fsrf_jax.config import Config
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.results import VERSION
from fsrf_jax.evaluation.runs import save_predictions
from fsrf_jax.evaluation.summary import summarise
from fsrf_jax.reporting.material import group, read_run

LABELS = labels_with(6, 5, 1)
EVALUATION = evaluation_of(LABELS)


def run(name, seed, config=None):
    return material_of(EVALUATION, name, seed, config or config_with(seed=seed))


def grouped(*runs):
    return {m.name: [r.name for r in m.runs] for m in group(runs)}


def test_runs_that_differ_in_the_seed_alone_are_one_method():
    elsewhere = config_with(seed=2)
    data = dataclasses.replace(elsewhere.data, source="file", path="a.pkl")
    licensed = dataclasses.replace(elsewhere.data, licence="CC BY 4.0")
    elsewhere = dataclasses.replace(elsewhere, data=licensed)
    output = dataclasses.replace(elsewhere.output, directory="there", progress=False)
    moved = dataclasses.replace(elsewhere, output=output)
    runs = run("full-0", 0), run("other-0", 0, config_with(seed=0, epochs=3)), run("full-1", 1)
    assert grouped(*runs, run("full-2", 2, moved)) == {
        "full": ["full-0", "full-1", "full-2"],
        "other-0": ["other-0"],
    }
    # Other data are another method; another place of the same file is not.
    filed = [dataclasses.replace(config_with(seed=s), data=data) for s in (0, 1)]
    filed[1] = dataclasses.replace(filed[1], data=dataclasses.replace(data, path="b.pkl"))
    assert grouped(run("a-0", 0), run("b-0", 0, filed[0]), run("b-1", 1, filed[1])) == {
        "a-0": ["a-0"],
        "b": ["b-0", "b-1"],
    }


def test_a_copy_is_a_method_of_its_own():
    assert grouped(run("a", 0), run("a", 0), run("a", 1)) == {
        "a (1)": ["a", "a"],
        "a (2)": ["a"],
    }


def test_results_without_a_config_stand_alone():
    runs = [material_of(EVALUATION, name, seed) for name, seed in (("x", None), ("y", 1))]
    assert grouped(*runs) == {"x": ["x"], "y": ["y"]}
    assert [m.words for m in group(runs)] == [
        "predictions of another program",
        "training seed 1",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("full-seed-0", "full"), ("full_0", "full"), ("seed-0", "seed-0"), ("k2 seed 10", "k2")],
)
def test_a_method_is_called_by_what_its_runs_share(name, expected):
    other = name.rstrip("0123456789") + "7"
    assert list(grouped(run(name, 0), run(other, 7))) == [expected]


@pytest.fixture
def folder(tmp_path):
    sealed.write(tmp_path / "results.json", summarise(EVALUATION, "test", 4, "abc"))
    save_predictions(tmp_path / "predictions.npz", EVALUATION)
    (tmp_path / "config.yaml").write_text(to_yaml(Config()))
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "task": 2.0}\n{"epoch": 2, "ta')
    return tmp_path


def test_a_run_folder_is_read(folder):
    found = read_run(folder)
    assert (found.name, found.seed, found.config) == (folder.name, 4, Config())
    assert found.journal == [{"epoch": 1, "task": 2.0}]  # the last line was cut off
    assert (found.environment, found.probes, found.recovery) == (None, None, None)
    (folder / "results.json").rename(folder / "other.json")
    (folder / "predictions.npz").rename(folder / "other.predictions.npz")
    assert (read_run(folder / "other.json").name, read_run(folder / "other.json").config) == (
        "other",
        None,
    )


@pytest.mark.parametrize(("found", "named"), [(None, 1), (2, 2), (3, 3), (str(VERSION), VERSION)])
def test_results_of_another_version_are_refused(folder, found, named):
    """Those of before there were versions are of the first."""
    path = folder / "results.json"
    results = json.loads(path.read_text())
    del results["version"]
    sealed.write(path, results if found is None else {**results, "version": found})
    message = (
        rf"results\.json: holds results of version {named}, expected {VERSION}: "
        "evaluate the run again"
    )
    with pytest.raises(RunError, match=message):
        read_run(folder)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_damaged_results_are_refused(folder, text):
    (folder / "results.json").write_text(text)
    with pytest.raises(RunError, match=r"results\.json: is damaged"):
        read_run(folder)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_files_are_refused(folder, text):
    (folder / "probes.json").write_text(text)
    with pytest.raises(RunError, match=r"probes\.json: is damaged"):
        read_run(folder)
