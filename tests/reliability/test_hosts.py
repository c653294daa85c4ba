"""SIGKILL of one of several processes: the others end, and any number of processes goes on."""

import random
import time

import pytest
from command_case import call, start
from hosts_case import RUN, WITHIN, alike, ended, started
from test_kills import moments
from trials import number_of

from fsrf_jax import hosts

KILLS = number_of("FSRF_HOST_KILLS", 10)
LONG = (*RUN, "--training.epochs", "30", "--output.checkpoint_every", "1")

pytestmark = pytest.mark.slow


def chosen(rng, folder):
    """What a kill waits for: nothing before the processes have found each other."""
    recorded, before = folder / "environment.json", None
    if recorded.exists():
        before = recorded.stat().st_mtime_ns

    def begun():
        return recorded.exists() and recorded.stat().st_mtime_ns != before

    name, moment = rng.choice(sorted(moments(folder).items()))
    return name, lambda: begun() and moment()


def in_processes(count, argv):
    return [start("train", *argv)] if count == 1 else started(*argv, processes=count)


def test_kills_of_one_of_several_processes(tmp_path):
    """Chains of kills, until the run ends; then the next chain."""
    undisturbed = tmp_path / "undisturbed"
    assert call("train", *LONG, "--output.directory", undisturbed).status == 0
    rng, kills, ends, seen, longest = random.Random(0), 0, 0, {}, 0.0
    while kills < KILLS:
        folder = tmp_path / f"run-{ends}"
        argv = (*LONG, "--output.directory", folder)
        for _ in range(rng.randint(1, 4)):
            count = rng.choice([2, 2, 3])
            name, moment = chosen(rng, folder)
            dies, delay = rng.randrange(count), rng.choice([0, 0.01, 0.1, 1])
            processes = in_processes(count, argv)
            while processes[0].poll() is None and not moment():
                time.sleep(0.001)
            time.sleep(delay)
            if all(process.poll() is None for process in processes):
                processes[dies].kill()
                begun = time.monotonic()
                others = [process for i, process in enumerate(processes) if i != dies]
                # One that dies when all is written is too late to be missed.
                written = (folder / "results.json").exists()
                for done in ended(others, hosts.HEARTBEAT + WITHIN):
                    assert done.status != 0 or written, done
                longest = max(longest, time.monotonic() - begun)
                kills += 1
                seen[name, dies] = seen.get((name, dies), 0) + 1
            ended(processes)
        last = ended(in_processes(rng.choice([1, 2, 3]), argv))
        assert [done.status for done in last] == [0] * len(last), last
        alike(folder, undisturbed)
        ends += 1
    print(
        f"\n{kills} kills of one of several processes in {ends} runs ({seen}), the others ended "
        f"within {longest:.0f} s, 0 differences"
    )
