import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsrf_jax.errors import RunError
from fsrf_jax.training import checkpoints


def example(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "state": {
            "kernel": jnp.asarray(rng.normal(size=(30, 40)), jnp.float32),
            "step": jnp.int32(seed),
            "key": jax.random.key(seed),
        },
        "preparation": {"mean": rng.normal(size=7).astype(np.float32)},
    }


def as_numpy(tree):
    """With keys as their data, so that trees can be compared."""

    def convert(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf)

    return jax.tree.map(convert, tree)


def target_of(arrays):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
        ),
        arrays,
    )


def save(folder, *epochs):
    with checkpoints.open_manager(folder) as manager:
        for epoch in epochs:
            checkpoints.save(manager, epoch, example(epoch))


def restore(folder, target=None):
    with checkpoints.open_manager(folder, read_only=True) as manager:
        return checkpoints.restore(manager, target_of(example()) if target is None else target)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    save(folder, 1, 2, 5)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoints")


def test_round_trip(saved):
    restored = restore(saved)
    chex.assert_trees_all_equal(as_numpy(restored), as_numpy(example(5)))
    assert restored["state"]["key"].dtype == example()["state"]["key"].dtype
    assert restored["state"]["step"].dtype == np.int32


def test_the_last_two_are_kept(saved):
    assert sorted(p.name for p in saved.iterdir() if p.name.isdigit()) == ["2", "5"]


def test_arrays_are_accepted_as_target(saved):
    chex.assert_trees_all_equal(as_numpy(restore(saved, example())), as_numpy(example(5)))


def test_saving_an_epoch_again_is_harmless(copied):
    with checkpoints.open_manager(copied) as manager:
        checkpoints.save(manager, 5, example(77))
    chex.assert_trees_all_equal(as_numpy(restore(copied)), as_numpy(example(5)))


def files_of(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def damage_every_file(saved, scratch):
    """Flip one byte of a copy, at some places of every file, and restore it."""
    expected = as_numpy(example(5))
    found = 0
    for number, path in enumerate(files_of(saved / "5")):
        size = path.stat().st_size
        for place in {size // 3, size // 2, size - 2} if size > 2 else set():
            folder = shutil.copytree(saved, scratch / f"{number}-{place}")
            content = bytearray(path.read_bytes())
            content[place] ^= 0x10
            (folder / path.relative_to(saved)).write_bytes(content)
            try:
                restored = restore(folder)
            except RunError as error:
                found += str(folder / "5") in str(error) and "Move the folder" in str(error)
            else:
                chex.assert_trees_all_equal(as_numpy(restored), expected)
    print(found)


def test_damaged_files(saved, tmp_path):
    """A flipped byte is found, or it stood where nothing is read: never are other numbers given.

    In a process of its own, since Orbax leaves broken coroutines behind when it fails.
    """
    name = Path(__file__).stem
    program = f"import sys, {name}; {name}.damage_every_file(*map({name}.Path, sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, saved, tmp_path],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 3


def test_other_bits_than_the_digest_says(copied):
    """What Orbax reads without complaint."""
    (digests,) = [p for p in files_of(copied / "5" / "digests") if "kernel" in p.read_text()]
    content = json.loads(digests.read_text())
    (leaf,) = [name for name in content if "kernel" in name]
    digests.write_text(json.dumps(content | {leaf: "0" * 64}))
    with pytest.raises(
        RunError, match=r"damaged: \['state'\]\['kernel'\].*Move the folder .*5 away"
    ):
        restore(copied)


@pytest.mark.parametrize("item", ["arrays", "digests"])
def test_a_checkpoint_without_a_part(copied, item):
    shutil.rmtree(copied / "5" / item)
    with pytest.raises(RunError, match=r"5: "):
        restore(copied)


def test_an_earlier_checkpoint_after_the_damaged_one_is_moved_away(copied):
    shutil.rmtree(copied / "5")
    chex.assert_trees_all_equal(as_numpy(restore(copied)), as_numpy(example(2)))


def test_no_checkpoint(tmp_path):
    with pytest.raises(RunError, match="found no checkpoints; train the run first"):
        restore(tmp_path / "nothing")
    with (
        checkpoints.open_manager(tmp_path / "empty") as manager,
        pytest.raises(RunError, match="found no checkpoint; train the run first"),
    ):
        checkpoints.restore(manager, example())


def changed(path, leaf):
    target = target_of(example())
    target[path[0]][path[1]] = leaf
    return target


WRONG = {
    "shape": (("state", "kernel"), (30, 41), jnp.float32),
    "type": (("state", "kernel"), (30, 40), jnp.int32),
    "another leaf": (("state", "new"), (3,), jnp.float32),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_another_target(saved, name):
    path, shape, dtype = WRONG[name]
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    leaf = jax.ShapeDtypeStruct(shape, dtype, sharding=place)
    with pytest.raises(RunError, match="5: "):
        restore(saved, changed(path, leaf))


def test_temporary_folders_are_cleaned(copied):
    left = copied / "6.orbax-checkpoint-tmp"
    (left / "arrays").mkdir(parents=True)
    with checkpoints.open_manager(copied, read_only=True) as manager:
        assert checkpoints.latest(manager) == 5
    assert left.exists()
    with checkpoints.open_manager(copied) as manager:
        assert checkpoints.latest(manager) == 5
        checkpoints.save(manager, 6, example(6))
    assert sorted(p.name for p in copied.iterdir()) == ["5", "6"]
    chex.assert_trees_all_equal(as_numpy(restore(copied)), as_numpy(example(6)))


def test_an_error_without_a_message(saved, monkeypatch):
    with checkpoints.open_manager(saved, read_only=True) as manager:

        def fail(*args, **settings):
            raise AssertionError

        monkeypatch.setattr(manager, "restore", fail)
        with pytest.raises(RunError, match="cannot restore the checkpoint: AssertionError"):
            checkpoints.restore(manager, example())


def test_digests_see_bits_shape_and_type():
    def digest(leaf):
        (value,) = checkpoints.digests([leaf]).values()
        return value

    zeros = np.zeros(4, np.float32)
    others = [-zeros, zeros.reshape(2, 2), zeros.astype(np.int32), zeros[:3]]
    assert len({digest(leaf) for leaf in [zeros, *others]}) == 5
    assert digest(zeros) == digest(jnp.zeros(4))
    assert digest(jax.random.key(0)) != digest(jax.random.key(1))
    assert set(checkpoints.digests(example())) == {
        "['preparation']['mean']",
        "['state']['kernel']",
        "['state']['key']",
        "['state']['step']",
    }
