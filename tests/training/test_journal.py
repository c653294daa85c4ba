import json
import random

import pytest
from command_case import read_lines

from fsrf_jax.errors import WriteError
from fsrf_jax.journal import read_journal
from fsrf_jax.training.journal import open_journal
from fsrf_jax.training.loop import EpochRecord


def record(epoch):
    return EpochRecord(epoch, {"task": 1 / epoch, "total": 2.0 * epoch}, 0.5 * epoch, 1)


def write(folder, done, epochs):
    with open_journal(folder, done, print) as report:
        for epoch in epochs:
            report(record(epoch))


def read(folder):
    return read_lines(folder / "metrics.jsonl")


def line(epoch):
    return {
        "epoch": epoch,
        "validation_error": 0.5 * epoch,
        "best_epoch": 1,
        "bad_steps": 0,
        "task": 1 / epoch,
        "total": 2.0 * epoch,
    }


def test_a_line_for_every_epoch(tmp_path):
    assert read_journal(tmp_path) == []
    write(tmp_path, 0, [1, 2, 3])
    assert read(tmp_path) == read_journal(tmp_path) == [line(1), line(2), line(3)]


@pytest.mark.parametrize(("done", "kept"), [(0, []), (2, [1, 2]), (9, [1, 2, 3])])
def test_later_lines_are_dropped(tmp_path, done, kept):
    write(tmp_path, 0, [1, 2, 3])
    write(tmp_path, done, [done + 1])
    assert read(tmp_path) == [line(epoch) for epoch in [*kept, done + 1]]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("rest", ['{"epoch": 3, "vali', '{"epo', "{}\n", "{", "3", "null\n"])
def test_a_line_cut_off_is_dropped(tmp_path, rest):
    write(tmp_path, 0, [1, 2])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(rest)
    assert read_journal(tmp_path) == [line(1), line(2)]
    write(tmp_path, 2, [3])
    assert read(tmp_path) == [line(1), line(2), line(3)]


def test_the_line_is_there_while_training_goes_on(tmp_path):
    with open_journal(tmp_path, 0, print) as report:
        report(record(1))
        assert read(tmp_path) == [line(1)]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([1, 2, 3, 4, 5], None),
        ([2, 1, 1, 5, 4, 3], None),
        ([1, 2, 4, 5], "lacks epoch 3"),
        ([1, 2, 3], "lacks epochs 4 to 5"),
        ([2, 4], "lacks epochs 1, 3, 5"),
        ([], "lacks epochs 1 to 5"),
        (None, "lacks epochs 1 to 5"),
    ],
)
def test_lines_that_are_lost_are_said_once_and_all_others_in_order(tmp_path, lines, words):
    path, said = tmp_path / "metrics.jsonl", []
    if lines is not None:
        path.write_text("".join(json.dumps(line(epoch)) + "\n" for epoch in [*lines, 6, 7]))
    with open_journal(tmp_path, 5, said.append) as report:
        report(record(6))
    assert said == ([] if words is None else [f"{path} {words}; training does not depend on it."])
    assert read(tmp_path) == [line(epoch) for epoch in [*sorted(set(lines or [])), 6]]


@pytest.mark.parametrize(
    "damaged", [b"\xff\n", b"[]\n", b'{"epoch": true}\n', b'{"epoch": 2, "task": "x"}\n', b"\0\n"]
)
def test_a_damaged_line_is_lost_alone(tmp_path, damaged):
    write(tmp_path, 0, [1, 2, 3])
    path = tmp_path / "metrics.jsonl"
    first, _, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damaged + third)
    assert read_journal(tmp_path) == [line(1), line(3)]


def test_a_digit_that_changed_is_a_line_lost_and_named(tmp_path):
    write(tmp_path, 0, [1, 2, 3])
    path, said = tmp_path / "metrics.jsonl", []
    path.write_text(path.read_text().replace('"total": 4.0', '"total": 5.0'))
    assert read_journal(tmp_path) == [line(1), line(3)]
    with open_journal(tmp_path, 3, said.append):
        pass
    assert said == [f"{path} lacks epoch 2; training does not depend on it."]


def test_no_flipped_bit_gives_another_number(tmp_path):
    write(tmp_path, 0, [1, 2, 3])
    path, rng = tmp_path / "metrics.jsonl", random.Random(0)
    whole, lost = path.read_bytes(), 0
    for place in rng.sample(range(len(whole)), 300):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        found = read_journal(tmp_path)
        assert all(one in (line(1), line(2), line(3)) for one in found), changed
        lost += len(found) < 3
    assert lost > 250  # the others are of spaces


def test_the_same_epochs_give_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, 0, [1, 2, 3])
    one, other = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("one", "other"))
    assert one == other
    assert [len(json.loads(text)["digest"]) for text in one.splitlines()] == [16, 16, 16]


def test_lines_of_before_have_no_digest_and_stay_as_they_are(tmp_path):
    path = tmp_path / "metrics.jsonl"
    before = "".join(json.dumps(line(epoch)) + "\n" for epoch in (1, 2))
    path.write_text(before)
    write(tmp_path, 2, [3])
    assert path.read_text().startswith(before)
    assert read_journal(tmp_path) == [line(1), line(2), line(3)]


def test_a_journal_that_cannot_be_written_is_one_message(tmp_path):
    with (
        pytest.raises(WriteError, match=r"metrics\.jsonl: cannot be written: No such file"),
        open_journal(tmp_path / "gone", 0, print) as report,
    ):
        report(record(1))


def test_a_journal_that_goes_away_meanwhile_is_not_made_anew(tmp_path):
    """Its folder was removed, and may be there again: the save under way makes it."""
    with open_journal(tmp_path, 0, print) as report:
        report(record(1))
        (tmp_path / "metrics.jsonl").unlink()
        with pytest.raises(WriteError, match=r"metrics\.jsonl: is gone, and maybe more"):
            report(record(2))
    assert list(tmp_path.iterdir()) == []
