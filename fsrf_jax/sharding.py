"""Several devices: the batch is sharded over all of them, everything else is replicated.

The losses are written for the whole batch; `jit` with a sharded batch makes the collectives, so
batch statistics see the global batch on any number of devices. (`pmap`, and a local mean followed
by `pmean`, would each give every device its own statistics.)
"""

import math
from typing import TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")

# Batches are filled up to a multiple of this with rows of weight 0, so that 1, 2, 4 and 8 devices
# run the same shapes and draw the same random numbers.
ROW_MULTIPLE = 8


def data_mesh() -> Mesh:
    """A mesh of all local devices along one axis, `data`."""
    devices = jax.local_devices()
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that stands whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """The tree on every device of the mesh."""
    return jax.device_put(tree, replicated(mesh))


def split_rows(tree: Tree, mesh: Mesh | None) -> Tree:
    """Inside jit: spread the first axis of every array over the devices, where there is a mesh."""
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec("data")))


def padded_rows(n: int, mesh: Mesh | None) -> int:
    """n rounded up so that rows divide evenly over the mesh."""
    multiple = math.lcm(ROW_MULTIPLE, mesh.size if mesh else 1)
    return -(-n // multiple) * multiple
