"""bin/rank: methods under one budget, chosen, trained and tested fold by fold, with claims."""

import json

import pytest
from command_case import TINY, call, read_json, refused

from fsrf_jax.experiments import ranking

SEARCH = """
candidates:
  fast: {optimizer.learning_rate: 0.01}
  slow: {optimizer.learning_rate: 0.00001}
methods:
  late_fusion:
    narrow: {model.width: 4, optimizer.learning_rate: 0.01}
    slow: {optimizer.learning_rate: 0.00001}
"""
METHODS = ("--methods", "task_only,late_fusion")
FOLDS = (
    # 80 samples, by four: every fold has 40 to train, and they share programs.
    *("--data.folds", "4", "--data.pooled", "[train,valid,test]"),
    *("--data.allow_pooled_test", "true"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranking")
    (folder / "search.yaml").write_text(SEARCH)
    argv = (
        *(*TINY, *METHODS, *FOLDS, "--folds", "0,2", "--seeds", "2"),
        *("--search", folder / "search.yaml", "--figures", "corr,mae"),
        *("--evaluation.bootstrap", "50", "--evaluation.mask_seeds", "[0]"),
        *("--output.directory", folder / "out"),
    )
    done = call("rank", *argv)
    assert done.status == 0, done.err
    return folder / "out", argv, done


def test_every_fold_chooses_on_its_validation_split_alone(finished):
    out, _, done = finished
    found = read_json(out / "ranking.json")
    assert [choice["fold"] for choice in found["choices"]] == [0, 2]
    for choice in found["choices"]:
        place = out / f"fold-{choice['fold']}"
        for method, names in (("task_only", ("fast", "slow")), ("late_fusion", ("narrow", "slow"))):
            errors = choice["validation_errors"][method]
            assert set(errors) == set(names)
            for name in names:
                trial = place / "search" / "members" / f"{method}, {name}" / "seed-0"
                results = read_json(trial / "results.json")
                assert results["split"] == "valid"
                assert errors[name] == results["validation_error"]
            chosen = choice["chosen"][method]
            assert errors[chosen] == min(errors.values())
            assert f"{method}: chose {chosen!r}, validation error {errors[chosen]:.4f}" in done.out
            for seed in (0, 1):
                member = place / "members" / method / f"seed-{seed}"
                results = read_json(member / "results.json")
                assert (results["split"], results["training_seed"]) == ("test", seed)
                assert (results["fold"]["number"], results["fold"]["of"]) == (choice["fold"], 4)
                assert results["fold"]["train"] == 40


def test_scores_are_means_over_folds_and_seeds(finished):
    out, _, _ = finished
    found = read_json(out / "ranking.json")
    assert found["reference"] == "task_only"
    for row in ("average", "all_conditions"):
        figures = []
        for fold in (0, 2):
            for seed in (0, 1):
                place = out / f"fold-{fold}/members/late_fusion/seed-{seed}/results.json"
                average = read_json(place)["average"]
                entry = average if row == "average" else average["all_conditions"]
                figures.append(entry["metrics"]["mae"])
        mean = sum(figures) / 4
        assert found["scores"]["late_fusion"][row]["mae"]["mean"] == pytest.approx(mean, abs=1e-9)


def test_a_sentence_for_every_claim(finished):
    out, _, done = finished
    found, text = read_json(out / "ranking.json"), (out / "ranking.md").read_text()
    rows = ["language+audio+vision", "average", "frame rates", "all_conditions"]
    keys = [(c["method"], c["row"], c["metric"]) for c in found["claims"]]
    assert ("late_fusion", "frame rates", "mae") in keys
    assert {key[1] for key in keys} == set(rows)
    for claim in found["claims"]:
        words = {"no difference shown": "is shown", "better": "better", "worse": "worse"}
        assert words[claim["verdict"]] in text
    budget = "2 epochs of 2 views of each sample, 16 samples in a step."
    assert f"Budget of every method: {budget}" in text
    assert "Every method chose one of 2 candidates by the same error, one seed each." in text
    assert "corrected resampled t-test" in text
    assert "best constant" in text
    assert f"Ranking folder: {out}" in done.out
    for floor in ("length", "ridge", "ridge per condition"):
        assert any(key[0] == floor for key in keys)
        folds = [read_json(out / f"fold-{k}/floors/{floor}/results.json") for k in (0, 2)]
        assert [results["fold"]["number"] for results in folds] == [0, 2]
        expected = sum(results["average"]["metrics"]["mae"] for results in folds) / 2
        mean = found["scores"][floor]["average"]["mae"]["mean"]
        assert mean == pytest.approx(expected, abs=1e-12)


def test_the_same_command_trains_nothing_twice(finished, monkeypatch):
    out, argv, _ = finished
    before = {path: path.read_bytes() for path in sorted(out.glob("ranking.*"))}
    assert len(before) == 2
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("results.json")}
    done = call("rank", *argv)
    assert done.status == 0, done.err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("results.json")} == stamps
    assert {path: path.read_bytes() for path in before} == before


def test_an_interrupted_ranking_goes_on(tmp_path, monkeypatch):
    argv = (*TINY, *METHODS, "--seeds", "1", "--evaluation.bootstrap", "0")
    argv = (*argv, "--evaluation.mask_seeds", "[0]", "--output.directory", tmp_path / "out")
    train_members = ranking.train_members

    def stopping(folder, members, together, say):
        train_members(folder, members[:1], together, say)
        raise ranking_interruption()

    monkeypatch.setattr(ranking, "train_members", stopping)
    stopped = call("rank", *argv)
    assert stopped.status == 130
    assert f"go on with --output.directory {tmp_path / 'out'}" in stopped.out
    monkeypatch.undo()
    first = tmp_path / "out" / "members" / "task_only" / "seed-0" / "results.json"
    stamp = first.stat().st_mtime_ns
    done = call("rank", *argv)
    assert done.status == 0, done.err
    assert first.stat().st_mtime_ns == stamp
    assert "Every method has the settings of its file." in done.out.replace("\n", " ")
    found = json.loads((tmp_path / "out" / "ranking.json").read_text())
    assert found["choices"][0]["fold"] is None
    assert found["claims"][0]["verdict"] == "no difference shown"  # no bootstrap, so no p


def test_methods_that_start_from_one_run_say_how_much_each_took(trained, tmp_path):
    argv = (*TINY, *METHODS, "--seeds", "1", "--evaluation.bootstrap", "0")
    argv = (*argv, "--evaluation.mask_seeds", "[0]", "--training.init_from", trained.folder)
    done = call("rank", *argv, "--output.directory", tmp_path / "out")
    assert done.status == 0, done.err
    found = read_json(tmp_path / "out" / "members" / "late_fusion" / "seed-0" / "init.json")
    assert 0 < (share := found["taken"] / found["parameters"]) < 1
    assert (
        f"Every method starts from what fits of {trained.folder}: of its parameters task_only "
        f"100%, late_fusion {share:.0%}."
    ) in (tmp_path / "out" / "ranking.md").read_text()


def ranking_interruption():
    from fsrf_jax.errors import InterruptedTraining

    return InterruptedTraining(2, 1)


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (("--methods", "fsrf"), ("--methods: found 'fsrf', expected two different names",)),
        (("--methods", "fsrf,fsrf"), ("--methods: found 'fsrf,fsrf'",)),
        (
            ("--methods", "fsrf,nobody"),
            ("--methods: found no file 'nobody'", "one of corrkd, fsrf"),
        ),
        ((*METHODS, "--seeds", "0"), ("--seeds: found 0, expected at least 1",)),
        ((*METHODS, "--folds", "0"), ("--folds: found 0, expected nothing: data.folds is 0",)),
        ((*METHODS, *FOLDS, "--folds", "4"), ("--folds: found 4, expected numbers from 0 to 3",)),
        (
            (*METHODS, "--method.complete_view", "true"),
            ("--method.complete_view: expected no option of one method",),
        ),
        ((*METHODS, "--search", "no.yaml"), ("--search: found no file no.yaml",)),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, argv, parts):
    out = tmp_path / "out"
    refused(call("rank", *TINY, *argv, "--output.directory", out), 2, *parts)
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[]", ("expected the keys `candidates` and `methods`",)),
        ("candidate: {a: {}}", ("expected the keys `candidates` and `methods`",)),
        ("methods: {fsrf: {a: {}}}", ("methods: found", "expected some of task_only, late_fusion")),
        ("methods: {task_only: {a: {}}}", ("found no candidates for late_fusion",)),
        ("candidates: {a: {data.fold: 1}}", ("variant 'a': data.fold must be the same for all",)),
        (
            "{candidates: {a: {}}, methods: {task_only: {a: {}, b: {}}}}",
            ("found task_only 2, late_fusion 1 candidates, expected as many for each method",),
        ),
        (
            "{candidates: {a: {}}, methods: {late_fusion: {a: {training.epochs: 9}}}}",
            ("late_fusion, a: training.epochs is 9, expected 2 as of task_only",),
        ),
        (
            "{candidates: {a: {}}, methods: {late_fusion: {a: {method.views: 3}}}}",
            ("late_fusion, a: views of a sample in a step is 3, expected 2 as of task_only",),
        ),
        (
            "{candidates: {a: {}}, methods: {late_fusion: {a: {training.init_from: runs/x}}}}",
            ("late_fusion, a: training.init_from is runs/x, expected None as of task_only",),
        ),
    ],
)
def test_search_files_that_do_not_fit(tmp_path, text, parts):
    (tmp_path / "search.yaml").write_text(text)
    argv = (*TINY, *METHODS, "--search", tmp_path / "search.yaml")
    refused(call("rank", *argv, "--output.directory", tmp_path / "out"), 2, *parts)
