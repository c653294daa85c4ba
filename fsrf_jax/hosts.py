"""Several processes that train one run together: how they find each other, and what they agree on.

Each does the same in the same order, on its own devices; the first, process 0, alone prints and
writes, but for checkpoints, which all write. What one of them alone knows (a signal, what lies in
the run folder) is told to the others here, by JAX's coordination service, which the first process
runs: it needs no device, waits as long as it takes, and ends who waits for a process that died.

A process alone is its own first, and waits for nobody.
"""

import itertools
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
from jax._src.distributed import global_state  # nothing public says it before JAX starts
from jax.experimental import multihost_utils

from fsrf_jax.errors import ConfigError, RunError
from fsrf_jax.reading.text import parse_json

HEARTBEAT = 30
"""Seconds after which a process that is not heard of has died, and the others end: more than a
machine under load is silent for, and little against what they would wait for in vain."""

_FOREVER = 1000 * 3600 * 24 * 7
"""Milliseconds. It is the heartbeat that ends waiting for nobody."""

_ROUNDS = itertools.count()


def join(coordinator: str, processes: int | None = None, process: int | None = None) -> None:
    """Find the other processes; before anything else uses JAX.

    Args:
        coordinator: HOST:PORT, at which the first process is found; or `auto`, as Slurm, Open MPI,
            GKE or a Cloud TPU have it in the environment.
        processes: how many there are.
        process: which of them this is, from 0.

    Raises:
        ConfigError: these do not fit each other, or `auto` finds nothing.
        RunError: the others are not there.
    """
    numbers = processes, process
    if coordinator == "auto":
        if numbers != (None, None):
            raise ConfigError(
                "--distributed auto: found --processes or --process as well, expected neither: "
                "they come from the environment."
            )
    elif not _is_address(coordinator):
        raise ConfigError(
            f"--distributed: found {coordinator!r}, expected auto, or HOST:PORT of process 0."
        )
    elif processes is None or process is None or not 0 <= process < processes:
        raise ConfigError(
            f"--distributed {coordinator}: found --processes {processes} --process {process}, "
            "expected the number of processes, and which of them this is, from 0."
        )
    # A SIGTERM is for `training.loop`; JAX's service would take it, and go on.
    jax.config.update("jax_enable_preemption_service", False)
    address = None if coordinator == "auto" else coordinator
    try:
        jax.distributed.initialize(address, *numbers, heartbeat_timeout_seconds=HEARTBEAT)
    except ValueError as error:
        raise ConfigError(
            f"--distributed auto: found no Slurm, Open MPI, GKE or Cloud TPU that JAX knows "
            f"({error}); give --distributed HOST:PORT --processes N --process I."
        ) from error
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(
            f"--distributed {coordinator}: the processes did not find each other ({reason}): "
            "expected all of them started by one command, and the port of process 0 to be free."
        ) from error


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def count() -> int:
    """How many processes there are."""
    return global_state.num_processes or 1


def is_first() -> bool:
    """Whether this is the process that prints and writes."""
    return global_state.process_id == 0


def gathered(value: Any) -> list[Any]:
    """What every process gives here, by their numbers; it waits for all of them.

    Args:
        value: anything that JSON can hold.
    """
    if count() == 1:
        return [value]
    client, number, mine = global_state.client, next(_ROUNDS), global_state.process_id
    assert client is not None
    client.key_value_set(f"fsrf_jax/{number}/{mine}", json.dumps(value))
    keys = [f"fsrf_jax/{number}/{process}" for process in range(count())]
    texts = [client.blocking_key_value_get(key, _FOREVER) for key in keys]
    if number:  # all have read those of the last round, or they would not be in this one
        client.key_value_delete(f"fsrf_jax/{number - 1}/{mine}")
    return [parse_json(text, "another process", RunError) for text in texts]


def of_first(value: Any) -> Any:
    """What the first process gives here; see `gathered`."""
    return gathered(value)[0]


def wait() -> None:
    """Wait until all processes are here."""
    gathered(None)


def connect() -> None:
    """Let the devices of all processes find each other; once JAX may start.

    On CPUs they give up after 30 seconds, and compiling the first program may take one process
    longer than the others: so they meet here, before it.
    """
    if count() > 1:
        wait()
        multihost_utils.sync_global_devices("fsrf_jax")


def check_alike(what: str, here: Mapping[str, Any]) -> None:
    """Nothing, if all processes give the same here.

    Args:
        what: it is, for the message.
        here: values by name, that JSON can hold.

    Raises:
        RunError: some differ; in every process.
    """
    all_of_them = gathered(dict(here))
    for process, there in enumerate(all_of_them):
        names = [name for name in there if there[name] != all_of_them[0].get(name)]
        if names:
            values = all_of_them[0].get(names[0]), there[names[0]]
            raise RunError(
                f"{what}: found {names[0]} {values[0]!r} in process 0 and {values[1]!r} in process "
                f"{process}, expected the same in all: start them by one command."
            )


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another process cannot be reached."""
    text = str(error)
    signs = "Gloo", "NCCL", "coordination service", "CoordinationService", "heartbeat"
    return count() > 1 and any(sign in text for sign in signs)


def leave(status: int) -> NoReturn:
    """End this process because of an error, so that the others end as well.

    JAX would wait at its end for the others, which wait for this process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
