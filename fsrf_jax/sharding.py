"""Several devices: members and rows are spread over them, everything else is whole on each.

A mesh has two axes. `population` spreads the members of a population, which train on their own;
`data` spreads the rows of a batch. The losses are written for the whole batch; `jit` with a spread
batch makes the collectives, so batch statistics see the global batch on any number of devices.
(`pmap`, and a local mean followed by `pmean`, would each give every device its own statistics.)

How many rows a step has, and with it every random number, is the same on any number of devices:
where the rows do not divide evenly, the compiler fills up the last device by itself. Devices may
belong to several processes, see `fsrf_jax.hosts`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")

ROW_MULTIPLE = 8
"""Batches are filled up to a multiple of this with rows of weight 0, on any number of devices: 1,
2, 4 and 8 then have equally many rows each."""


def training_mesh(members: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The devices that so many members train on, along the axes `population` and `data`.

    As many groups of devices train different members as divide both the members and the devices;
    the devices of a group share the rows of its members' batches. On 8 devices, 8 or 16 members
    are spread alone, 4 members have 2 devices each, 6 are three and three on 4 devices each, and
    one run, or 3, have their rows on all 8.

    Args:
        members: of the population.
        devices: by default all, of all processes.
    """
    devices = jax.devices() if devices is None else devices
    groups = math.gcd(members, len(devices))
    return jax.make_mesh(
        (groups, len(devices) // groups),
        ("population", "data"),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices,
    )


def data_mesh() -> Mesh:
    """The devices of this process along `data`: they predict, and train where it is alone."""
    return training_mesh(1, jax.local_devices())


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that stands whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """The tree on every device of the mesh."""
    return put(tree, replicated(mesh))


def put(tree: Tree, place: NamedSharding) -> Tree:
    """The tree under a sharding; where this has devices of other processes, they give the same."""
    if place.is_fully_addressable:
        return jax.device_put(tree, place)
    return jax.tree.map(partial(_put, place=place), tree)


def _put(x: Any, place: NamedSharding) -> jax.Array:
    if isinstance(x, jax.Array):
        if not x.is_fully_addressable:
            return x if x.sharding == place else _mover(place)(x)
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            data = _put(jax.random.key_data(x), place)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    # Not `device_put`, which would send every array to the other processes to compare them.
    array = np.asarray(x)
    return jax.make_array_from_callback(array.shape, place, lambda index: array[index])


@functools.cache
def _mover(place: NamedSharding) -> Callable[[jax.Array], jax.Array]:
    """What `device_put` does not do between devices of several processes."""
    return jax.jit(lambda x: x, out_shardings=place)


def own(tree: Tree) -> Tree:
    """What is whole on every device, as this process has it: usable without the other ones."""

    def mine(x: Any) -> Any:
        shared = isinstance(x, jax.Array) and not x.is_fully_addressable
        return x.addressable_data(0) if shared else x

    return jax.tree.map(mine, tree)


def split_rows(tree: Tree, mesh: Mesh | None) -> Tree:
    """Inside jit: spread the first axis of every array over the devices, where there is a mesh."""
    return _constrain(tree, mesh, PartitionSpec("data"))


def whole(tree: Tree, mesh: Mesh | None) -> Tree:
    """Inside jit: every array whole on every device, where there is a mesh."""
    return _constrain(tree, mesh, PartitionSpec())


def _constrain(tree: Tree, mesh: Mesh | None, spec: PartitionSpec) -> Tree:
    if mesh is None:
        return tree
    # Inside `shard_map` over members there is a mesh already, whose axis `population` is taken.
    around = jax.sharding.get_abstract_mesh()
    place = NamedSharding(mesh if around.empty else around, spec)
    return jax.lax.with_sharding_constraint(tree, place)


def padded_rows(n: int) -> int:
    """n rounded up to what a batch is filled up to."""
    return -(-n // ROW_MULTIPLE) * ROW_MULTIPLE


def even_rows(rows: int, mesh: Mesh) -> int:
    """So many rows rounded up, so that every device of a group is given equally many."""
    devices = mesh.shape["data"]
    return -(-rows // devices) * devices


def own_rows(rows: int, mesh: Mesh) -> np.ndarray:
    """The numbers, ascending, of those of `even_rows` that devices of this process have."""
    place = NamedSharding(mesh, PartitionSpec("data"))
    parts = place.addressable_devices_indices_map((rows,)).values()
    return np.unique(np.concatenate([np.arange(rows)[part] for part in parts if part]))


def put_rows(tree: Tree, mesh: Mesh, rows: int, axis: int = 0) -> Tree:
    """Arrays of the rows that `own_rows` gives, as parts of arrays of all rows, spread by `data`.

    Args:
        tree: of NumPy arrays with this process's rows.
        mesh: the devices.
        rows: how many all processes have together, see `even_rows`.
        axis: of the rows.
    """
    place = NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))
    if place.is_fully_addressable:
        return jax.device_put(tree, place)
    mine = own_rows(rows, mesh)

    def put_part(x: np.ndarray) -> jax.Array:
        def of_device(index: Any) -> np.ndarray:
            chosen = np.searchsorted(mine, np.arange(rows)[index[axis]])
            return np.take(x, chosen, axis)

        shape = (*x.shape[:axis], rows, *x.shape[axis + 1 :])
        return jax.make_array_from_callback(shape, place, of_device)

    return jax.tree.map(put_part, tree)
