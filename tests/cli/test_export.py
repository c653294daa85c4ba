"""The command `export` itself; what it writes is tested in tests/experiments and end to end."""

import shutil

from command_case import call, refused

import fsrf_jax


def test_the_files_are_listed_and_an_export_is_made_anew(trained, tmp_path):
    names = ["config.yaml", "example.py", "manifest.json", "model.stablehlo", "weights.safetensors"]
    for source, target in ((trained.folder, "one"), (tmp_path / "one", "two")):
        done = call("export", source, "--output", tmp_path / target)
        assert (done.status, done.err) == (0, "")
        written = [line.rpartition(" (")[0] for line in done.out.splitlines()]
        assert written == [f"Written: {tmp_path / target / name}" for name in names]
    assert fsrf_jax.load(tmp_path / "two").config.method.name == "fsrf"
    refused(call("evaluate", tmp_path / "two"), 2, "is an export, which has no data")


def test_what_is_refused_with_one_message(trained, tmp_path):
    new = tmp_path / "new"
    (tmp_path / "empty").mkdir()
    done = call("export", tmp_path / "empty", "--output", new)
    refused(done, 2, "found no config.yaml, expected a run folder made by train")
    done = call("export", trained.folder, "--output", tmp_path)
    refused(done, 2, f"{tmp_path}: exists already; remove it, or choose another name")
    done = call("export", trained.folder, "--output", new / "below")
    refused(done, 2, "there is no folder to make it in")
    refused(call("export", trained.folder), 2, "output", "see export --help")
    refused(call("export", "--output", new), 2, "run", "see export --help")
    assert not new.exists()


def test_a_run_without_a_checkpoint(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    for left in (tmp_path / "run" / "checkpoints").iterdir():
        shutil.rmtree(left)
    done = call("export", tmp_path / "run", "--output", tmp_path / "new")
    refused(done, 2, "found no checkpoint; train the run first")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    done = call("export", tmp_path / "run", "--output", tmp_path / "new")
    refused(done, 2, "found no checkpoints; train the run first")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
