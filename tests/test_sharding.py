import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from fsrf_jax import sharding

MESH = sharding.data_mesh()


def test_mesh():
    assert MESH.axis_names == ("data",)
    assert MESH.axis_types == (AxisType.Auto,)
    assert MESH.size == jax.local_device_count()
    assert sharding.data_mesh() == MESH


@pytest.mark.parametrize(("n", "rows"), [(1, 8), (8, 8), (9, 16), (60, 64)])
def test_padded_rows(n, rows):
    assert sharding.padded_rows(n, MESH) == rows
    assert sharding.padded_rows(n, None) == rows


def test_padded_rows_on_a_number_of_devices_that_does_not_divide_8():
    class Mesh:
        size = 3

    assert sharding.padded_rows(8, Mesh()) == 24
    assert sharding.padded_rows(25, Mesh()) == 48


def test_replicate_and_split_rows():
    tree = {"a": np.arange(16.0).reshape(8, 2)}
    whole = sharding.replicate(tree, MESH)
    assert whole["a"].sharding.is_fully_replicated
    split = jax.jit(lambda tree: sharding.split_rows(tree, MESH))(whole)
    np.testing.assert_array_equal(split["a"], tree["a"])
    assert sharding.split_rows(tree, None) is tree
