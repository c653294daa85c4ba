import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from fsrf_jax import sharding

MESH = sharding.data_mesh()


def test_mesh():
    assert MESH.axis_names == ("population", "data")
    assert MESH.axis_types == (AxisType.Auto, AxisType.Auto)
    assert MESH.size == jax.local_device_count()
    assert sharding.data_mesh() == MESH == sharding.training_mesh()


@pytest.mark.parametrize(
    ("members", "devices", "shape"),
    [
        *((1, 8, (1, 8)), (8, 8, (8, 1)), (16, 8, (8, 1)), (4, 8, (4, 2)), (6, 8, (2, 4))),
        *((3, 8, (1, 8)), (6, 4, (2, 2)), (5, 1, (1, 1)), (3, 6, (3, 2))),
    ],
)
def test_members_and_rows_share_the_devices(monkeypatch, members, devices, shape):
    made = []
    monkeypatch.setattr(jax, "make_mesh", lambda shape, *_, **__: made.append(shape))
    sharding.training_mesh(members, [None] * devices)
    assert made == [shape]


@pytest.mark.parametrize(("n", "rows"), [(1, 8), (8, 8), (9, 16), (60, 64)])
def test_padded_rows(n, rows):
    assert sharding.padded_rows(n) == rows


def test_replicate_and_split_rows():
    tree = {"a": np.arange(16.0).reshape(8, 2)}
    whole = sharding.replicate(tree, MESH)
    assert whole["a"].sharding.is_fully_replicated
    split = jax.jit(lambda tree: sharding.split_rows(tree, MESH))(whole)
    np.testing.assert_array_equal(split["a"], tree["a"])
    assert sharding.split_rows(tree, None) is tree
