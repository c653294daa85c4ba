"""Damaged checkpoints of members of an ablation: the numbers that it gave before, or a message."""

import os
import shutil
import signal
from contextlib import contextmanager

import pytest
from command_case import TINY, call, flip, refused

from fsrf_jax.experiments import ablation

pytestmark = pytest.mark.slow

EPOCHS = 3
KEPT = ("results.json", "metrics.jsonl", "predictions.csv")
SEEDS = ("seed-0", "seed-1")


def bytes_of(out):
    return {(s, k): (out / "members" / "full" / s / k).read_bytes() for s in SEEDS for k in KEPT}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """An ablation of two members, stopped after its second epoch, and how it is gone on with."""
    folder = tmp_path_factory.mktemp("begun")
    variants = folder / "ablation.yaml"
    variants.write_text("variants:\n  full: {}\n")
    settings = ("--ablation", variants, "--seeds", "2", "--together", "2")
    more = ("--training.epochs", str(EPOCHS), "--output.checkpoint_every", "1")
    argv = (*TINY, *more, *settings, "--output.directory")
    open_journal = ablation.open_journal

    @contextmanager
    def stopping(*args):
        with open_journal(*args) as write_record:

            def write_and_stop(record):
                write_record(record)
                if record.epoch == 2 and "seed-0" in str(args[0]):
                    os.kill(os.getpid(), signal.SIGTERM)

            yield write_and_stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "open_journal", stopping)
        assert call("ablate", *argv, folder / "out").status == 128 + signal.SIGTERM
    return folder / "out", argv


@pytest.fixture(scope="module")
def whole(begun, tmp_path_factory):
    """The same, gone on with undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    shutil.copytree(begun[0], out)
    done = call("ablate", *begun[1], out)
    assert done.status == 0, done.err
    return out


def checkpoints_of_part(out):
    (part,) = (out / "parts").iterdir()
    return {int(p.name): p for p in (part / "checkpoints").iterdir()}


def test_members_go_on_from_the_checkpoint_before_a_damaged_one(begun, whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(begun[0], out)
    found = checkpoints_of_part(out)
    assert sorted(found) == [1, 2]
    flip(found[2])
    done = call("ablate", *begun[1], out)
    assert (done.status, done.err) == (0, "")
    aside = found[2].with_name("2.damaged")
    said = f"A damaged checkpoint is now {aside}; going on from the one before it."
    assert done.out.count(said) == 1
    assert bytes_of(out) == bytes_of(whole)


def test_members_all_of_whose_checkpoints_are_damaged(begun, whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(begun[0], out)
    found = checkpoints_of_part(out)
    for checkpoint in found.values():
        flip(checkpoint)
    part = found[2].parents[1]
    refused(call("ablate", *begun[1], out), 2, "all checkpoints", f"remove {part}, and the same")
    assert checkpoints_of_part(out) == found
    shutil.rmtree(part)
    assert call("ablate", *begun[1], out).status == 0
    assert bytes_of(out) == bytes_of(whole)


def test_a_finished_member_whose_results_and_checkpoint_are_damaged_is_trained_again(
    begun, whole, tmp_path
):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    member = out / "members" / "full" / "seed-1"
    flip(member / "checkpoints" / str(EPOCHS))
    refused(call("ablate", *begun[1], out, "--probes"), 2, "is damaged", "Remove its results.json")
    (member / "results.json").unlink()
    done = call("ablate", *begun[1], out)
    assert (done.status, done.err) == (0, "")
    aside = member / "checkpoints" / f"{EPOCHS}.damaged"
    assert f"full/seed-1: a damaged checkpoint is now {aside}; it is trained again." in done.out
    assert call("evaluate", member, "--output", tmp_path / "again.json").status == 0
    # It was trained alone now: the other program rounds otherwise, in the last digits.
    assert bytes_of(out)["seed-0", "results.json"] == bytes_of(whole)["seed-0", "results.json"]
