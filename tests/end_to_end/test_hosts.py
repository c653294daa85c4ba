"""Two processes train one run, are stopped, killed and refused; any number of them goes on."""

import signal

import pytest
from command_case import call, read_json, refused
from hosts_case import RUN, WITHIN, alike, at, ended, lines, started, started_by_slurm

from fsrf_jax import hosts


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run of one process."""
    folder = tmp_path_factory.mktemp("one") / "run"
    done = call("train", *RUN, "--output.directory", folder)
    assert done.status == 0, done.err
    return folder


def test_two_processes_train_what_one_does_and_stop_together(undisturbed, tmp_path):
    """Found by Slurm's variables; a SIGTERM that one process alone gets ends both, and both go on.

    Every process gives its devices their own rows.
    """
    folder = tmp_path / "run"
    argv = (*RUN, "--data.placement", "host", "--output.directory", folder)
    both = started_by_slurm(*argv, "--output.checkpoint_every", "100")
    at(lambda: lines(folder) >= 2, both)
    both[1].send_signal(signal.SIGTERM)
    first, second = ended(both)
    assert (first.status, second.status) == (143, 143), (first.err, second.err)
    assert "stopped by SIGTERM after epoch" in first.err
    assert "stopped" not in second.err
    stopped = lines(folder)
    assert 2 <= stopped < 8
    assert (folder / "checkpoints" / str(stopped)).is_dir()
    assert not (folder / "results.json").exists()

    first, second = ended(started_by_slurm(*argv, "--output.progress", "true"))
    assert (first.status, second.status) == (0, 0), (first.err, second.err)
    assert "Run folder:" in first.out
    # What is left are words of JAX's own.
    assert [line for line in second.out.splitlines() if line and "[Gloo]" not in line] == []
    alike(folder, undisturbed)
    made = read_json(folder / "environment.json")
    assert (made["processes"], len(made["devices"])) == (2, 2)
    names = {path.name for path in undisturbed.iterdir()}
    assert {path.name for path in folder.iterdir()} == names


@pytest.mark.parametrize("dies", [0, 1])
def test_a_killed_process_ends_the_other_and_one_process_goes_on(undisturbed, tmp_path, dies):
    folder = tmp_path / "run"
    argv = (*RUN, "--output.checkpoint_every", "1", "--output.directory", folder)
    both = started(*argv)
    at(lambda: lines(folder) >= 3, both)
    both[dies].kill()
    other = ended([both[1 - dies]], hosts.HEARTBEAT + WITHIN)[0]
    ended(both)
    assert other.status not in (0, None), other
    assert lines(folder) < 8
    done = call("train", *argv)
    assert (done.status, done.err) == (0, "")
    alike(folder, undisturbed)
    assert read_json(folder / "environment.json")["processes"] == 1


def test_what_the_first_process_refuses_ends_the_others(undisturbed):
    """It alone looks into the folder."""
    first, second = ended(started(*RUN, "--training.seed", "1", "--output.directory", undisturbed))
    refused(first, 2, "belongs to a run with another config", "training.seed")
    assert second.status not in (0, None)
