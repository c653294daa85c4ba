import json
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from fsrf_jax import arguments, sealed
from fsrf_jax.config import Config
from fsrf_jax.errors import RunError, WriteError
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.source import Shapes

SHAPES = Shapes(32, {"audio": 5}, {"audio": 3}, 1, (), {})


def config(*argv):
    return arguments.parse(arguments.make_parser("train", ""), argv)[0]


@pytest.fixture
def folder(tmp_path):
    """The folder of a run with the default config that has begun."""
    with run_folder.opened(tmp_path / "run", Config(), "abc", SHAPES):
        pass
    return tmp_path / "run"


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_folder_is_as_given_or_named_by_config_and_time():
    assert run_folder.choose(config("--output.directory", "x/y"), "demo") == Path("x/y")
    assert re.fullmatch(r"runs/demo-\d{8}-\d{6}", str(run_folder.choose(Config(), "demo")))


def test_an_opened_folder_holds_config_and_environment(folder):
    assert sorted(content(folder)) == [".lock", "config.yaml", "environment.json", "shapes.json"]
    assert arguments.load(folder / "config.yaml") == Config()
    run_folder.check_data(folder, "abc", "")
    environment = (folder / "environment.json").read_text()
    for key in ("command", "time", "python", "versions", "devices", "data_fingerprint"):
        assert f'"{key}"' in environment


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--training.epochs", "99"),
        ("--output.progress", "false", "--output.checkpoint_every", "9"),
        ("--output.directory", "elsewhere"),
        ("--data.licence", "CC BY 4.0"),
    ],
)
def test_paths_licence_verbosity_and_epochs_may_differ(folder, argv):
    run_folder.check_same(folder, config(*argv))


def test_the_path_of_the_data_may_differ(tmp_path):
    argv = ("--data.source", "file", "--data.path")
    with run_folder.opened(tmp_path / "run", config(*argv, "a.npz"), "abc", SHAPES):
        pass
    run_folder.check_same(tmp_path / "run", config(*argv, "b.npz"))


def test_all_else_must_be_the_same_and_is_named(folder):
    before = content(folder)
    with pytest.raises(RunError) as caught:
        run_folder.check_same(
            folder, config("--training.seed", "7", "--model.width", "8", "--training.epochs", "9")
        )
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{folder}: belongs to a run with another config:"
    assert lines[1:-1] == [
        "  model.width: 40 there, 8 here",
        "  training.seed: 0 there, 7 here",
    ]
    assert "--overwrite (in Python overwrite=True)" in lines[-1]
    assert "--output.directory (in Python folder=...)" in lines[-1]
    assert content(folder) == before


def test_a_new_or_empty_folder_belongs_to_nobody(tmp_path):
    run_folder.check_same(tmp_path / "new", Config())
    (tmp_path / ".lock").touch()
    run_folder.check_same(tmp_path, Config())


@pytest.mark.parametrize("place", ["checkpoints", "parts/0123/checkpoints"])
def test_a_save_cut_off_alone_belongs_to_nobody_and_a_whole_one_to_somebody(tmp_path, place):
    """What is left where a folder was removed while it trained."""
    (tmp_path / place / "4.orbax-checkpoint-tmp" / "arrays").mkdir(parents=True)
    (tmp_path / place / "4.orbax-checkpoint-tmp" / "arrays" / "x").touch()
    run_folder.check_same(tmp_path, Config())
    run_folder.check_several(tmp_path)
    run_folder.check_own(tmp_path)
    (tmp_path / place / "3").mkdir()
    for check in (partial(run_folder.check_same, config=Config()), run_folder.check_several):
        with pytest.raises(RunError, match=f"holds .*{place[:5]}"):
            check(tmp_path)


def test_what_is_no_run_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"holds .*thesis\.tex.* but no config"):
        run_folder.check_same(tmp_path, Config())
    with pytest.raises(RunError, match="is a file, expected a run folder"):
        run_folder.check_same(tmp_path / "thesis.tex", Config())


def test_the_data_must_be_those_it_began_with(folder):
    before = content(folder)
    with (
        pytest.raises(RunError, match=r"other data \(fingerprint abc, now xyz\).*--overwrite"),
        run_folder.opened(folder, Config(), "xyz", SHAPES),
    ):
        pass
    assert content(folder) == before


@pytest.mark.parametrize(("left", "says"), [("3", True), ("4.orbax-checkpoint-tmp", False)])
def test_what_is_left_of_a_folder_that_was_removed_says_which_run_it_is(tmp_path, left, says):
    folder = tmp_path / "run"

    def remove():
        shutil.rmtree(folder)
        (folder / "checkpoints" / left).mkdir(parents=True)  # as a save under way does
        raise WriteError("the journal is gone")

    with pytest.raises(WriteError), run_folder.opened(folder, Config(), "abc", SHAPES):
        remove()
    made = {"config.yaml", "environment.json", "shapes.json"} if says else set()
    assert {path.name for path in folder.iterdir()} == {"checkpoints"} | made
    run_folder.check_same(folder, Config())


def test_one_process_at_a_time(folder):
    with run_folder.opened(folder, Config(), "abc", SHAPES):
        with (
            pytest.raises(RunError, match="another process is training in this folder"),
            run_folder.opened(folder, Config(), "abc", SHAPES),
        ):
            pass
        with pytest.raises(RunError, match="another process is training in this folder"):
            run_folder.set_aside(folder)
        assert folder.exists()
    with run_folder.opened(folder, Config(), "abc", SHAPES):
        pass


def test_setting_aside_keeps_everything(folder, tmp_path):
    before = content(folder)
    old = run_folder.set_aside(folder)
    assert not folder.exists()
    assert old.parent == tmp_path
    assert re.fullmatch(r"run\.old-\d{8}-\d{6}", old.name)
    assert content(old) == before
    assert run_folder.set_aside(folder) is None


def make_run(folder, text="x"):
    folder.mkdir(parents=True)
    for name in ("config.yaml", "environment.json"):
        (folder / name).write_text("{}")
    (folder / "x").write_text(text)
    return folder


def test_setting_aside_twice_in_a_second_keeps_both(tmp_path):
    for text in ("first", "second", "third"):
        make_run(tmp_path / "run", text)
        run_folder.set_aside(tmp_path / "run")
    found = {path.read_text() for path in tmp_path.glob("run.old-*/x")}
    assert found == {"first", "second", "third"}


def tree(folder):
    return sorted((str(p), p.is_file() and p.read_bytes()) for p in folder.rglob("*"))


def test_what_is_no_run_is_not_renamed(tmp_path, monkeypatch):
    home = make_run(tmp_path / "home")
    make_run(home / "work" / "run")
    (home / "notes").mkdir()
    (home / "notes" / "mine.txt").write_text("mine")
    (home / "config.txt").write_text("mine")
    (home / "link").symlink_to(home / "work" / "run")
    (home / "dangling").symlink_to(home / "nothing")
    (home / "only").mkdir()
    (home / "only" / "config.yaml").write_text("mine: 1")  # some other program's
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.chdir(home / "work")
    before = tree(tmp_path)
    for given, part in (
        (home, "is the home folder"),
        (Path(), "is the home folder, or that of the command"),
        (Path(".."), "is the home folder, or that of the command"),
        (Path("/"), "is the home folder, or that of the command"),
        (home / "notes", "is no run .* it holds mine.txt"),
        (home / "only", "is no run .* it holds config.yaml"),
        (home / "config.txt", "is a file"),
        (home / "link", "is a link to"),
        (home / "dangling", "is a link to"),
    ):
        with pytest.raises(RunError, match=f"{part}.*so it is not renamed; choose another folder"):
            run_folder.set_aside(given)
    assert tree(tmp_path) == before
    assert run_folder.set_aside(Path("run")).name.startswith("run.old-")


def test_an_empty_folder_is_used_as_it_is(tmp_path):
    (tmp_path / "run").mkdir()
    assert run_folder.set_aside(tmp_path / "run") is None
    assert (tmp_path / "run").is_dir()


def test_several_runs_go_into_a_folder_of_their_own(tmp_path):
    for name in ("members", "fold-3"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / "notes.txt").write_text("mine")
        run_folder.check_several(tmp_path / name)
    (tmp_path / "empty").mkdir()
    run_folder.check_several(tmp_path / "empty")
    run_folder.check_several(tmp_path / "new")
    other = make_run(tmp_path / "other")
    with pytest.raises(RunError, match=r"holds config.yaml, environment.json, x, which is nothing"):
        run_folder.check_several(other)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="is no folder"):
        run_folder.check_several(tmp_path / "file")


# What is damaged.

FILES = ("config.yaml", "environment.json", "shapes.json")


def damage(path, how):
    whole = path.read_bytes()
    digit = max(whole.rindex(b"0"), whole.rindex(b"3"))
    changed = {
        "gone": None,
        "half": whole[: len(whole) // 2],
        "flipped": whole[:digit] + bytes([whole[digit] ^ 1]) + whole[digit + 1 :],
        "null": b"null",
    }[how]
    path.unlink() if changed is None else path.write_bytes(changed)


@pytest.mark.parametrize("how", ["gone", "flipped", "null"])
@pytest.mark.parametrize("name", FILES)
def test_one_damaged_file_is_written_anew(folder, name, how):
    before = content(folder)
    damage(folder / name, how)
    lines = []
    run_folder.check_same(folder, Config())
    with run_folder.opened(folder, Config(), "abc", SHAPES, lines.append):
        pass
    assert lines == [f"{folder / name} was damaged or gone: it is written anew."]
    after = content(folder)
    if name == "environment.json":  # it was not this program that trained
        found = json.loads(after.pop(name))
        assert found == {key: found[key] for key in ("data_fingerprint", "config_digest", "digest")}
        assert found["data_fingerprint"] == "abc"
        del before[name]
    assert after == before
    with run_folder.opened(folder, Config(), "abc", SHAPES, lines.append):
        pass
    assert len(lines) == 1


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_does_not_hide_another_run(folder, name):
    damage(folder / name, "flipped")
    before = content(folder)
    with pytest.raises(RunError, match=r"belongs to a run with another|give the same settings"):
        run_folder.check_same(folder, config("--training.seed", "7"))
    with (
        pytest.raises(RunError, match=r"other data \(fingerprint abc, now xyz\)"),
        run_folder.opened(folder, Config(), "xyz", SHAPES),
    ):
        pass
    assert content(folder) == before


def test_two_damaged_files_are_one_message(folder):
    damage(folder / "environment.json", "half")
    damage(folder / "shapes.json", "half")
    with (
        pytest.raises(RunError, match=r"environment\.json: is damaged: is not JSON"),
        run_folder.opened(folder, Config(), "abc", SHAPES),
    ):
        pass
    damage(folder / "config.yaml", "half")
    with pytest.raises(RunError, match=r"config\.yaml: is damaged, and environment\.json does not"):
        run_folder.check_same(folder, Config())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("samples", None),
        ("samples", True),
        ("frames", []),
        ("frames", {"vision": 5}),
        ("features", {"audio": "3"}),
        ("classes", None),
        ("classes", [1]),
        ("class_counts", [["1"]]),
        ("vocabulary", {"vision": 3}),
        ("version", 2),
    ],
)
def test_shapes_of_other_types_are_refused(folder, key, value):
    path = folder / "shapes.json"
    assert run_folder.read_shapes(folder) == SHAPES
    sealed.write(path, {**json.loads(path.read_text()), key: value})
    with pytest.raises(RunError, match=r"shapes\.json: is damaged: .*writes it anew"):
        run_folder.read_shapes(folder)
