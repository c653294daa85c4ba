"""SIGKILL at any moment: what goes on afterwards ends as if nothing had happened."""

import random
from functools import partial

import pytest
from command_case import call, finish, refused, start
from trials import RUN, copied, killed, number_of, same

KILLS = number_of("FSRF_KILLS", 50)
SMALL = ("--seeds", "2", "--evaluation.bootstrap", "200")

pytestmark = pytest.mark.slow


def moments(folder):
    """What a kill waits for: the start, a save under way, its commit, a line, the results."""
    checkpoints = folder / "checkpoints"

    def lines():
        journal = folder / "metrics.jsonl"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    begun = lines()
    there = set(checkpoints.glob("[0-9]*"))
    return {
        "lock": (folder / ".lock").exists,
        "saving": lambda: any(checkpoints.glob("*.orbax-checkpoint-tmp")),
        "saved": lambda: bool(set(checkpoints.glob("[0-9]*")) - there),
        "line": lambda: lines() > begun,
        "results": lambda: any(folder.glob(".results.json.*.part")),
        "predictions": (folder / "predictions.npz").exists,
    }


def test_training(undisturbed, tmp_path):
    """Chains of kills, until the run ends; then the next chain."""
    rng, kills, ends, seen = random.Random(0), 0, 0, {}
    while kills < KILLS:
        folder = tmp_path / f"run-{ends}"
        argv = (*RUN, "--output.directory", folder, "--output.checkpoint_every", "1")
        for _ in range(rng.randint(2, 6)):
            name, moment = rng.choice(sorted(moments(folder).items()))
            done = killed("train", argv, moment, rng.choice([0, 0.001, 0.01, 0.1, 1]))
            if done is None:
                kills += 1
                seen[name] = seen.get(name, 0) + 1
                continue
            assert (done.status, done.err) == (0, "")
            break
        done = call("train", *argv)
        assert (done.status, done.err) == (0, "")
        same(folder, undisturbed)
        ends += 1
    print(f"\n{kills} kills of training in {ends} runs ({seen}), 0 differences")


def test_evaluation(undisturbed, tmp_path):
    folder = copied(undisturbed, tmp_path / "run")
    rng, kills = random.Random(0), 0
    for _ in range(KILLS // 8):
        part = rng.choice([".results.json.*.part", ".predictions.npz.*.part", "results.json"])
        moment = partial(there_is, folder, part)
        kills += killed("evaluate", (folder,), moment, rng.choice([0, 0.001, 0.01, 3])) is None
        done = call("evaluate", folder)
        assert (done.status, done.err) == (0, "")
        same(folder, undisturbed)
    print(f"\n{kills} kills of an evaluation, 0 differences")


def there_is(folder, pattern):
    return folder.is_dir() and any(folder.glob(pattern))


def test_ablation(tmp_path):
    variants = tmp_path / "variants.yaml"
    variants.write_text("variants:\n  all: {}\n  no DHF: {method.weights.homogeneous: 0}\n")
    argv = ("--ablation", variants, *RUN, *SMALL, "--output.directory")
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    done = call("ablate", *argv, whole)
    assert done.status == 0, done.err
    rng, kills = random.Random(0), 0
    while kills < KILLS // 10:
        moment = partial(there_is, folder, "members/*/*/metrics.jsonl")
        done = killed("ablate", (*argv, folder), moment, rng.uniform(0, 6))
        if done is not None:
            assert (done.status, done.err) == (0, "")
            break
        kills += 1
    done = call("ablate", *argv, folder)
    assert (done.status, done.err) == (0, "")
    for name in ("ablation.json", "ablation.md"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    print(f"\n{kills} kills of an ablation, 0 differences")


def test_two_processes_in_one_folder(undisturbed, tmp_path):
    for trial in range(5):
        folder = tmp_path / f"run-{trial}"
        argv = (*RUN, "--output.directory", folder)
        both = [start("train", *argv) for _ in range(2)]
        ended = sorted((finish(process) for process in both), key=lambda done: done.status)
        if ended[1].status:
            refused(ended[1], 2, "another process is training in this folder")
        assert ended[0].status == 0, ended[0].err
        same(folder, undisturbed)
    print("\n5 pairs of processes in one folder, 0 differences")
