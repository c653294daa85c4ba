"""The table of benchmarks/run, and how it goes on after an interruption."""

import json
import os

import pytest
from speed import main, measure, starts, table
from speed.cells import Cell, full_cells, quick_cells
from speed.shapes import SHAPES, index_of, shape_of

SETUP = {
    "device": "Some(R) CPU @ 2",
    "cpu": True,
    "versions": {"jax": "1"},
    "python": "3",
    "threads": 1,
}
NUMBERS = {"shape": "mosi", "width": 40, "batch": 32, "compiled": False}
FOUND = {
    "seconds": {"ours": [1.0, 2.0, 4.0], "eager": [2.0, 8.0, 12.0]},
    "samples": 64,
    "peak_share": [0.1, 0.3, 0.2],
}


@pytest.fixture
def asked(monkeypatch):
    """Questions to processes, which are answered at once."""
    questions = []

    def answer(question, minutes):
        if question["kind"] == "describe":
            return dict(SETUP)
        questions.append(Cell(question["kind"], question["numbers"]).name)
        if question["numbers"].get("batch") == 256:
            return {"failed": "ended by signal 9"}
        return dict(FOUND)

    monkeypatch.setattr(main, "ask", answer)
    monkeypatch.setattr(main, "full_cells", lambda: [Cell("training", NUMBERS), BIG])
    return questions


BIG = Cell("training", NUMBERS | {"batch": 256})


def test_ratio_is_the_median_within_rounds():
    seconds = FOUND["seconds"]
    assert table.ratio(seconds["eager"], seconds["ours"]) == "3.00 (2.00 to 4.00)"


def test_row_of_a_cpu_has_no_absolute_number(asked, tmp_path):
    assert main.main(["--output", str(tmp_path / "made.md")]) == 0
    text = (tmp_path / "made.md").read_text("utf-8")
    assert "|training|mosi|40|32|3.00 (2.00 to 4.00)||20 %|" in text
    assert "samples/s" not in text
    assert "PyTorch is not installed: ours alone." in text
    assert "training shape=mosi width=40 batch=256 compiled=False: ended by signal 9" in text


def test_row_of_a_gpu_has_samples_a_second():
    setup = SETUP | {"cpu": False, "date": "", "quick": False, "rounds": 3}
    text = table.table(setup, {"a": FOUND | {"kind": "training", "numbers": NUMBERS}})
    assert "|training|mosi|40|32|3.00 (2.00 to 4.00)||20 %|32|8|" in text


def test_goes_on_with_what_is_not_finished(asked, tmp_path):
    argv = ["--output", str(tmp_path / "made.md")]
    main.main(argv)
    assert len(asked) == 2
    main.main(argv)
    assert asked[2:] == [BIG.name]  # it had failed


def test_refuses_to_mix_machines(asked, tmp_path):
    argv = ["--output", str(tmp_path / "made.md")]
    main.main(argv)
    with pytest.raises(SystemExit, match="other threads, rounds: name another"):
        main.main([*argv, "--threads", "2", "--rounds", "1"])


def test_folder_gets_a_file_by_date_and_device(asked, tmp_path):
    main.main(["--output", str(tmp_path)])
    (made,) = tmp_path.glob("*.json")
    date = json.loads(made.read_text("utf-8"))["setup"]["date"]
    assert made.name == f"{date}-some-r-cpu-2-speed.json"


def test_programs_take_turns():
    order = []
    programs = {name: lambda n=name: order.append(n) for name in "ab"}
    seconds = measure.interleaved(programs, 2)
    assert order == ["a", "b"] * 3
    assert [len(s) for s in seconds.values()] == [2, 2]
    ticks = iter([0, 1, 5, 8])
    given = measure.interleaved(dict(list(programs.items())[:1]), 2, lambda: next(ticks))
    assert given == {"a": [1, 3]}


def test_the_version_that_is_asked_for_is_measured(tmp_path, monkeypatch):
    """Whatever the current folder is."""
    for name in ("asked", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "version.py").write_text(f"NAME = {name!r}")
    monkeypatch.chdir(tmp_path / "here")
    code = (
        "import json, os, version\n"
        "print(json.dumps({'name': version.NAME, 'cores': sorted(os.sched_getaffinity(0))}))"
    )
    core = max(os.sched_getaffinity(0))
    found = starts._timed(code, [], [str(tmp_path / "asked")], {}, [core])
    assert (found["name"], found["cores"]) == ("asked", [core])
    assert 0 < found["whole"] < 600


def test_cells_are_different():
    for cells in (quick_cells(), full_cells()):
        names = [cell.name for cell in cells]
        assert len(set(names)) == len(names)


def test_shapes():
    made = SHAPES["mosei"].draw(3)
    assert made.features["audio"].shape == (3, 500, 74)
    assert made.features["language"].shape == (3, 50, 768)
    assert not made.features["audio"][~made.present["audio"]].any()
    length_n = made.present["audio"].sum(axis=1)
    assert ((length_n >= 250) & (length_n <= 500)).all()
    assert dict(shape_of("t7").frames) == {"language": 7, "audio": 7, "vision": 7}
    index = index_of(9, 4, 5)
    assert index.shape == (5, 4)
    assert index.max() <= 8


def test_times_by_samples_and_by_frames():
    setup = SETUP | {"date": "", "quick": False, "rounds": 2}
    epochs = {"kind": "samples", "numbers": {}, "seconds": {"256": [1, 2], "512": [2, 5]}}
    steps = {"kind": "frames", "numbers": {}, "seconds": {"125": [1, 2], "500": [4, 8]}}
    text = table.table(setup, {"a": epochs, "b": steps})
    assert "|512|2.25 (2.00 to 2.50)|1.12 (1.00 to 1.25)|" in text
    assert "|125|0.25 (0.25 to 0.25)|\n|500|1.00 (1.00 to 1.00)|" in text
