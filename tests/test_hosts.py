"""A process alone, and what is refused; tests/end_to_end/test_hosts.py has two processes."""

import jax
import pytest
from command_case import call, finish, refused, start

from fsrf_jax import hosts
from fsrf_jax.errors import ConfigError, RunError


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


class Service:
    """What `gathered` uses of JAX's coordination service, without waiting."""

    def __init__(self):
        self.values = {}

    def key_value_set(self, key, value):
        assert key not in self.values
        self.values[key] = value

    def blocking_key_value_get(self, key, timeout):
        assert timeout > 1000 * 3600
        return self.values[key]

    def key_value_delete(self, key):
        del self.values[key]


def test_what_each_gives_is_gathered_by_number_and_forgotten(monkeypatch):
    """Process 1 of 2: what process 0 gives is there already."""
    service = Service()
    monkeypatch.setattr(hosts.global_state, "client", service)
    monkeypatch.setattr(hosts.global_state, "num_processes", 2)
    monkeypatch.setattr(hosts.global_state, "process_id", 1)
    monkeypatch.setattr(hosts, "_ROUNDS", iter(range(3)))
    assert (hosts.count(), hosts.is_first()) == (2, False)
    for number, value in enumerate((7, {"a": [None, "b"]}, "c")):
        service.values[f"fsrf_jax/{number}/0"] = f"[{number}]"
        assert hosts.gathered(value) == [[number], value]
    # Its own of the last round stays until all have been in the next one.
    own = [key for key in service.values if key.endswith("/1")]
    assert own == ["fsrf_jax/2/1"]


def test_how_the_processes_find_each_other(monkeypatch):
    asked, updates = [], []

    def initialize(*args, **kwargs):
        asked.append((*args, kwargs))

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setattr(jax.config, "update", lambda *update: updates.append(update))
    hosts.join("auto")
    hosts.join("host:1234", 3, 2)
    within = {"heartbeat_timeout_seconds": hosts.HEARTBEAT}
    assert asked == [(None, None, None, within), ("host:1234", 3, 2, within)]
    assert updates == [("jax_enable_preemption_service", False)] * 2


@pytest.mark.parametrize(
    ("problem", "error", "part"),
    [
        (ValueError("no cluster"), ConfigError, r"found no Slurm.*\(no cluster\); give"),
        (RuntimeError("\nDEADLINE\nmore"), RunError, r"find each other \(DEADLINE\): expected"),
    ],
)
def test_processes_that_do_not_find_each_other(monkeypatch, problem, error, part):
    def initialize(*args, **kwargs):
        raise problem

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setattr(jax.config, "update", lambda *update: None)
    with pytest.raises(error, match=part):
        hosts.join("auto")
