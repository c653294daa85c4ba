"""Where samples are while a network trains on them, and why.

device: on the device, all of them; host: in memory, given to the device batch by batch; stream: in
a store, read and given to the device batch by batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax

from fsrf_jax.data import store
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.load import check_exists
from fsrf_jax.errors import DataError, OutOfMemory
from fsrf_jax.reading.limits import memory_at_hand, readable

Placement = Literal["auto", "device", "host", "stream"]

COPIES = 3
"""Of a data set in the memory of a machine that trains on its CPU: as read, normalised, and as the
program has it."""

WORKING = 2
"""A device has so many times the training and validation samples: the rest is for parameters,
codes and gradients."""


@dataclass(frozen=True)
class Placed:
    """Where the samples are.

    Attributes:
        kind: see the module.
        reason: one line for the user.
    """

    kind: Literal["device", "host", "stream"]
    reason: str


ON_DEVICE = Placed("device", "data.placement device")


def stays_in_file(
    asked: Placement, path: str | Path, modalities: tuple[str, ...], format: str
) -> bool:
    """Whether features stay in the file, a store: as asked, or because memory is short.

    Raises:
        DataError: that is asked for, and the file is no store whose samples can be read one by one.
    """
    if asked in ("device", "host"):
        return False
    path = Path(path)
    check_exists(path)
    if format not in ("auto", "store") or not store.is_store(path):
        if asked == "stream":
            raise DataError(
                f"data.placement stream: {path} is no store; convert it first, bin/prepare {path} "
                "--output STORE.h5, and give the store as data.path"
            )
        return False
    version, size = store.size(path, modalities)
    short = asked == "stream" or COPIES * size > memory_at_hand()
    if short and version < store.LAZY:
        raise DataError(
            f"{path} is a store of version {version}, whose samples cannot be read one by one"
            + ("" if asked == "stream" else f", and its {readable(size)} do not fit the memory")
            + f"; expected version {store.LAZY}: prepare it again with this program"
        )
    return short


def choose(asked: Placement, dataset: Dataset) -> Placed:
    """Where the samples of a data set are to be.

    Raises:
        OutOfMemory: by `auto`, they fit neither the device nor the memory.
    """
    splits = dataset.splits
    size = sum(_bytes(splits[name]) for name in ("train", "valid") if name in splits)
    device = _device_memory()
    free = memory_at_hand()
    at_hand = f"{readable(free)} of memory at hand"
    if device is not None:
        at_hand += f", {readable(device)} on the device"
    line = f"training and validation samples take {readable(size)}, {at_hand}"
    if not all(split.in_memory for split in splits.values()):
        return Placed("stream", f"data.placement stream, {_why(asked)}: {line}")
    if asked in ("device", "host"):
        return Placed(asked, f"data.placement {asked}, as asked: {line}")
    if size <= free and WORKING * size <= (free if device is None else device):
        return Placed("device", f"data.placement device, chosen: {line}")
    if size <= free:
        return Placed("host", f"data.placement host, chosen: {line}")
    raise OutOfMemory(
        f"data.placement auto: {line}: too little to normalise them; convert the data first by "
        "bin/prepare, and give the store as data.path with data.placement stream"
    )


def _why(asked: Placement) -> str:
    return "as asked" if asked == "stream" else "chosen"


def _bytes(split: Split) -> int:
    arrays: Iterable = (*split.features.values(), *split.valid.values(), *split.present.values())
    return sum(x.nbytes for x in arrays)


def _device_memory() -> int | None:
    """Free bytes of an accelerator; None of a CPU, whose memory is the machine's."""
    device = jax.local_devices()[0]
    found = device.memory_stats() if device.platform != "cpu" else None
    return found["bytes_limit"] - found["bytes_in_use"] if found else None
