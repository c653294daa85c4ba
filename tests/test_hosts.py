"""A process alone, and what is refused; tests/end_to_end/test_hosts.py has two processes."""

import pytest
from command_case import call, finish, refused, start

from fsrf_jax import hosts
from fsrf_jax.errors import RunError


def test_a_process_alone_is_the_first_and_waits_for_nobody():
    assert hosts.count() == 1
    assert hosts.is_first()
    assert hosts.gathered([1, "x"]) == [[1, "x"]]
    assert hosts.of_first(None) is None
    hosts.wait()
    hosts.connect()
    hosts.check_alike("the config", {"a": 1})


def test_what_differs_is_named(monkeypatch):
    others = [{"a": 1, "b": [2]}, {"a": 1, "b": [2]}, {"a": 1, "b": [3]}]
    monkeypatch.setattr(hosts, "gathered", lambda value: others)
    with pytest.raises(RunError, match=r"the data: found b \[2\] in process 0 and \[3\] in .* 2"):
        hosts.check_alike("the data", others[0])
    others.pop()
    hosts.check_alike("the data", others[0])


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--distributed", "host"], "found 'host', expected auto, or HOST:PORT"),
        (["--distributed", "host:0"], "found 'host:0', expected auto, or HOST:PORT"),
        (["--distributed", "host:1234"], "found --processes None --process None"),
        (["--distributed", "host:1", "--processes", "2", "--process", "2"], "--process 2, expect"),
        (["--distributed", "auto", "--processes", "2"], "expected neither"),
        (["--processes", "2"], "found no --distributed HOST:PORT"),
    ],
)
def test_options_that_do_not_fit_are_refused(argv, part):
    """Before anything is read."""
    refused(call("train", "--data.source", "file", "--data.path", "none", *argv), 2, part)


def test_auto_needs_a_cluster():
    """In a process of its own: JAX has started in this one."""
    done = finish(start("train", "--distributed", "auto"))
    refused(done, 2, "found no Slurm, Open MPI, GKE or Cloud TPU that JAX knows", "HOST:PORT")


def test_another_process_is_lost_only_where_there_is_one(monkeypatch):
    error = ValueError("UNKNOWN: Gloo AllReduce failed: Connection closed by peer")
    assert not hosts.is_lost(error)
    monkeypatch.setattr(hosts, "count", lambda: 2)
    assert hosts.is_lost(error)
    assert not hosts.is_lost(ValueError("found 3"))
