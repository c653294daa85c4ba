"""bin/ablate: variants trained as one program, resumed, never trained twice, and compared."""

import json
import os
import signal
from contextlib import contextmanager

import numpy as np
import pytest
from command_case import TINY, call, read_json, read_lines, refused

from fsrf_jax.experiments import ablation
from fsrf_jax.training.loop import train_epoch

VARIANTS = """
variants:
  full: {}
  no noise: {method.weights.noise: 0}
"""
NAMES = [f"{variant}/seed-{seed}" for variant in ("full", "no noise") for seed in (0, 1)]


def write(folder, text=VARIANTS):
    path = folder / "ablation.yaml"
    path.write_text(text)
    return path


def arguments(file, output, *more):
    settings = ("--ablation", file, "--seeds", "2", "--together", "2")
    return (*TINY, *settings, "--output.directory", output, *more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An ablation that was stopped in its first epoch, resumed, and finished."""
    folder = tmp_path_factory.mktemp("ablation")
    argv = arguments(write(folder), folder / "out")
    compiled = train_epoch._cache_size()
    open_journal = ablation.open_journal

    @contextmanager
    def stopping(*args):
        with open_journal(*args) as write_record:

            def write_and_stop(record):
                write_record(record)
                os.kill(os.getpid(), signal.SIGTERM)

            yield write_and_stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "open_journal", stopping)
        # A second signal acts at once, so only the first member sends one.
        patch.setattr(ablation, "_reporting", first_alone(ablation._reporting))
        stopped = call("ablate", *argv)
    assert stopped.status == 128 + signal.SIGTERM, stopped.err
    assert "after epoch 1; go on with --output.directory" in stopped.out
    assert train_epoch._cache_size() == compiled + 1
    done = call("ablate", *argv)
    assert done.status == 0, done.err
    # Four members in two parts, of one group: the one that is resumed, and a fresh one.
    assert train_epoch._cache_size() == compiled + 1
    return folder / "out", argv, done


def first_alone(reporting):
    @contextmanager
    def wrapped(*args):
        with reporting(*args) as report:
            yield lambda index, record: report(index, record) if index == 0 else None

    return wrapped


def test_every_member_is_a_run_folder(finished):
    out, _, _ = finished
    for name in NAMES:
        folder = out / "members" / name
        own = read_json(folder / "results.json")
        assert (own["epochs_trained"], own["method"]) == (2, "fsrf")
        assert call("evaluate", folder, "--output", out / "again.json").status == 0
        again, results = read_json(out / "again.json"), read_json(folder / "results.json")
        assert again["average"] == results["average"]
    lines = read_lines(out / "members" / NAMES[0] / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2]
    assert list((out / "parts").iterdir()) == []


def test_a_member_equals_the_same_run_alone(finished, trained):
    alone = read_json(trained.folder / "results.json")
    found = read_json(finished[0] / "members" / "full" / "seed-0" / "results.json")
    np.testing.assert_allclose(found["validation_error"], alone["validation_error"], rtol=1e-4)
    assert found["best_epoch"] == alone["best_epoch"]
    for entry, other in zip(found["conditions"], alone["conditions"], strict=True):
        assert entry["name"] == other["name"]
        np.testing.assert_allclose(entry["metrics"]["mae"], other["metrics"]["mae"], rtol=1e-3)


def test_the_table(finished):
    out, _, done = finished
    table = read_json(out / "ablation.json")
    assert (table["reference"], table["seeds"]) == ("full", [0, 1])
    cell = table["variants"]["no noise"]["average"]["mae"]
    scores = {
        variant: [
            read_json(out / f"members/{variant}/seed-{seed}/results.json")["average"]["metrics"]
            for seed in (0, 1)
        ]
        for variant in ("full", "no noise")
    }
    without, full = ([s["mae"] for s in scores[name]] for name in ("no noise", "full"))
    np.testing.assert_allclose(cell["mean"], np.mean(without))
    np.testing.assert_allclose(cell["std"], np.std(without, ddof=1))
    np.testing.assert_allclose(cell["difference"], np.mean(np.subtract(without, full)))
    assert "|no noise|" in (out / "ablation.md").read_text()
    assert (out / "ablation.png").read_bytes().startswith(b"\x89PNG")
    assert done.out.splitlines()[-1] == f"Ablation folder: {out}"


def test_nothing_is_trained_twice(finished):
    out, argv, _ = finished
    files = [path for path in (out / "members").rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert call("ablate", *argv).status == 0
    assert {path: path.stat().st_mtime_ns for path in files} == before
    refused(call("ablate", *argv, "--training.epochs", "3"), 2, "was trained for 2 epochs")
    refused(
        call("ablate", *argv, "--method.weights.redundancy", "4"), 2, "method.weights.redundancy"
    )


def test_probes_of_finished_members(finished):
    out, argv, _ = finished
    done = call("ablate", *argv, "--probes")
    assert done.status == 0, done.err
    assert [line for line in done.out.splitlines() if line.endswith(": probed")] == [
        f"{name}: probed" for name in NAMES
    ]
    table = read_json(out / "ablation.json")["probes"]
    assert table["known_latents"]
    found = [read_json(out / f"members/full/seed-{seed}/probes.json") for seed in (0, 1)]
    shares = [probes["mean"]["normalised"]["H"]["u"] for probes in found]
    cell = table["variants"]["full"]["H: u"]
    np.testing.assert_allclose(
        (cell["mean"], cell["std"]), (np.mean(shares), np.std(shares, ddof=1))
    )
    assert "**What the codes hold**" in (out / "ablation.md").read_text()
    # The second time they are read, and without --probes they are left out.
    assert ": probed" not in call("ablate", *argv, "--probes").out
    assert call("ablate", *argv).status == 0
    assert "probes" not in read_json(out / "ablation.json")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("[1", ("is not YAML",)),
        ("method.weights.noise: 0", ("expected one key `variants`",)),
        ("variants: {}", ("expected one key `variants`",)),
        ("variants: {a: 3}", ("variant 'a'", "found 3")),
        ("variants: {a/b: {}}", ("variant 'a/b'", "a name that can be a folder")),
        ("variants: {a: {data.fold: 1}}", ("variant 'a'", "data.fold must be the same for all")),
        (
            "variants: {a: {method.weights.nois: 1}}",
            ("variant 'a'", "nearest is --method.weights.noise"),
        ),
        (
            "variants: {a: {method.weights.noise: -1}}",
            ("variant 'a'", "method.weights.noise: found -1"),
        ),
    ],
)
def test_mistaken_files_are_refused(tmp_path, content, parts):
    file = write(tmp_path, content)
    refused(call("ablate", *arguments(file, tmp_path / "out")), 2, str(file), *parts)
    assert not (tmp_path / "out").exists()


def test_mistaken_options_are_refused(tmp_path):
    file, out = write(tmp_path), tmp_path / "out"
    refused(call("ablate", *TINY, "--ablation", tmp_path / "no.yaml"), 2, "found no file")
    refused(call("ablate", *arguments(file, out, "--seeds", "0")), 2, "--seeds: found 0")
    classes = json.dumps({"full": {}, "b": {"task.kind": "cross_entropy"}})
    mixed = write(tmp_path, f"variants: {classes}")
    refused(call("ablate", *arguments(mixed, out)), 2, "task.kind: found variants for")
