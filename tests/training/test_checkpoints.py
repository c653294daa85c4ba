import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_case import disk_of, with_flags

from fsrf_jax.errors import RunError, WriteError
from fsrf_jax.training import checkpoints
from fsrf_jax.training.quiet import quiet


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
    """A copy, with keys as their data, so that trees can be compared."""

    def copy(x):
        key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(x) if key else x)

    return jax.tree.map(copy, tree)


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
                found += str(folder / "5") in str(error) and "is damaged: " in str(error)
            else:
                chex.assert_trees_all_equal(as_numpy(restored), expected)
    print(found)


def in_a_child(function, *arguments, devices=1):
    """Run a function of this module in a process of its own; its exit status and output.

    Nothing may stand on stderr: no warning (an error here), and no complaint at the exit.
    """
    name = Path(__file__).stem
    program = f"import sys, {name} as here; here.{function.__name__}(*map(here.Path, sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
            "XLA_FLAGS": with_flags(f"--xla_force_host_platform_device_count={devices}"),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_damaged_files(saved, tmp_path):
    """A flipped byte is found, or it stood where nothing is read: never are other numbers given."""
    status, output = in_a_child(damage_every_file, saved, tmp_path)
    assert status == 0
    assert int(output) > 3


def change_digests(folder, change):
    (file,) = [p for p in files_of(folder / "5" / "digests") if "kernel" in p.read_text()]
    content = json.loads(file.read_text())
    assert set(content) == {*checkpoints.digests(example()), checkpoints.FORMAT, checkpoints.WHOLE}
    file.write_text(json.dumps(change(content)))


def test_other_bits_than_the_digest_says(copied):
    """What Orbax reads without complaint."""
    leaf = "['state']['kernel']"

    def other(content):
        changed = content | {leaf: "float32[30,40] " + "0" * 64}
        del changed[checkpoints.WHOLE]
        return changed | {checkpoints.WHOLE: checkpoints._digest_of_all(changed, 5)}

    change_digests(copied, other)
    with pytest.raises(RunError, match=r"5: the checkpoint is damaged: \['state'\]\['kernel'\]"):
        restore(copied)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: {},
        lambda content: None,
        lambda content: dict.fromkeys(content, 1),
        lambda content: {name: content[name] for name in content if "kernel" not in name},
        lambda content: content | {"['state']['new']": "float32[3] " + "0" * 64},
    ],
    ids=["none", "null", "numbers", "a leaf without a digest", "a digest without a leaf"],
)
def test_digests_of_other_leaves(copied, change):
    change_digests(copied, change)
    with pytest.raises(RunError, match=r"5: the checkpoint is damaged.*goes on from there, and"):
        restore(copied)


def test_one_copied_from_another_epoch_is_not_the_newest(copied):
    shutil.copytree(copied / "2", copied / "7")
    with pytest.raises(RunError, match=r"7: .*damaged: its digests are not those of this epoch"):
        restore(copied)


def test_a_later_format(copied):
    def later(content):
        content[checkpoints.FORMAT] = "2"
        del content[checkpoints.WHOLE]
        return content | {checkpoints.WHOLE: checkpoints._digest_of_all(content, 5)}

    change_digests(copied, later)
    for read_only in (True, False):
        with (
            checkpoints.open_manager(copied, read_only=read_only) as manager,
            pytest.raises(RunError, match=r"5: the checkpoint is whole, but of format 2, and .* 1"),
        ):
            checkpoints.restore(manager, example())
    assert sorted(p.name for p in copied.iterdir()) == ["2", "5"]


def test_without_a_format_it_is_the_first(copied):
    def first(content):
        del content[checkpoints.FORMAT], content[checkpoints.WHOLE]
        return content | {checkpoints.WHOLE: checkpoints._digest_of_all(content, 5)}

    change_digests(copied, first)
    chex.assert_trees_all_equal(as_numpy(restore(copied)), as_numpy(example(5)))


def test_reading_passes_over_what_is_damaged_only_if_asked(copied):
    change_digests(copied, lambda content: {})
    before = sorted(copied.rglob("*"))
    with (
        checkpoints.open_manager(copied, read_only=True) as manager,
        pytest.raises(checkpoints.DamagedCheckpoint, match=r"5: .*--checkpoint last_whole"),
    ):
        checkpoints.restore(manager, example())
    with checkpoints.open_manager(copied, read_only=True, which="last_whole") as manager:
        found = checkpoints.restore(manager, example())
        chex.assert_trees_all_equal(as_numpy(found), as_numpy(example(2)))
        assert manager.passed_over == [copied / "5"]
    assert sorted(copied.rglob("*")) == before


def test_training_goes_on_from_the_newest_whole_one(copied):
    shutil.copytree(copied / "2", copied / "7")
    change_digests(copied, lambda content: {})
    with checkpoints.open_manager(copied) as manager:
        found = checkpoints.restore(manager, example())
        assert manager.passed_over == [copied / "7.damaged", copied / "5.damaged"]
        assert checkpoints.latest(manager) == 2
        chex.assert_trees_all_equal(as_numpy(found), as_numpy(example(2)))
        checkpoints.save(manager, 5, example(50))
    chex.assert_trees_all_equal(as_numpy(restore(copied)), as_numpy(example(50)))
    assert sorted(p.name for p in copied.iterdir()) == ["2", "5", "5.damaged", "7.damaged"]


def test_where_none_is_whole_nothing_is_renamed(copied):
    for epoch in ("2", "5"):
        shutil.rmtree(copied / epoch / "digests")
    before = sorted(copied.rglob("*"))
    with (
        pytest.raises(RunError, match=r"5: the checkpoint is damaged"),
        checkpoints.open_manager(copied) as manager,
    ):
        checkpoints.restore(manager, example())
    assert sorted(copied.rglob("*")) == before


def test_what_is_whole_but_of_another_network_is_no_damage(copied):
    wide = example(5)
    wide["state"]["kernel"] = jnp.zeros((3, 4))
    other = dict(example(5), new=jnp.zeros(3))
    for target in (wide, other):
        for read_only in (True, False):
            with (
                checkpoints.open_manager(copied, read_only=read_only) as manager,
                pytest.raises(RunError, match=r"is whole: .* Its network is another one") as found,
            ):
                checkpoints.restore(manager, target)
            assert not isinstance(found.value, checkpoints.DamagedCheckpoint)
    assert not list(copied.glob("*.damaged"))


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
    assert not (tmp_path / "nothing").exists()
    with (
        checkpoints.open_manager(tmp_path / "empty") as manager,
        pytest.raises(RunError, match="found no checkpoint; train the run first"),
    ):
        checkpoints.restore(manager, example())
    with checkpoints.open_manager(tmp_path / "empty", read_only=True) as manager:
        assert checkpoints.latest(manager) is None


def changed(path, leaf):
    target = target_of(example())
    target[path[0]][path[1]] = leaf
    return target


WRONG = {
    "shape": (("state", "kernel"), (30, 41), jnp.float32, r"float32\[30,41\].*float32\[30,40\]"),
    "type": (("state", "kernel"), (30, 40), jnp.int32, r"int32\[30,40\].*float32\[30,40\]"),
    "narrower type": (("state", "kernel"), (30, 40), jnp.bfloat16, "bfloat16.*float32"),
    "type, equal numbers": (("state", "step"), (), jnp.float32, r"float32\[\].*int32\[\]"),
    "no key": (("state", "key"), (2,), jnp.uint32, r"uint32\[2\].*key<fry>\[\]"),
    "another leaf": (("state", "new"), (3,), jnp.float32, r"\['new'\].*nothing of that name"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_another_target(saved, name):
    path, shape, dtype, message = WRONG[name]
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    leaf = jax.ShapeDtypeStruct(shape, dtype, sharding=place)
    with pytest.raises(RunError, match="5: .*" + message):
        restore(saved, changed(path, leaf))


def test_a_target_with_a_leaf_less(saved):
    target = target_of(example())
    del target["preparation"]
    with pytest.raises(RunError, match=r"5: .*\['mean'\] to be absent and found float32\[7\]"):
        restore(saved, target)


def test_another_key_type(saved):
    target = changed(("state", "key"), jax.random.key(0, impl="rbg"))
    with pytest.raises(RunError, match=r"5: .*key<rbg>\[\] and found key<fry>\[\]"):
        restore(saved, target)


def test_arrays_may_be_donated_and_overwritten_after_save(tmp_path):
    arrays = {"donated": jnp.zeros((300, 1000)), "overwritten": np.zeros(300_000, np.float32)}
    with checkpoints.open_manager(tmp_path) as manager:
        checkpoints.save(manager, 1, arrays)
        jax.jit(lambda x: x + 1, donate_argnums=0)(arrays["donated"])
        arrays["overwritten"] += 1
        checkpoints.wait(manager)
    target = {"donated": jnp.ones((300, 1000)), "overwritten": arrays["overwritten"]}
    restored = restore(tmp_path, target)
    assert not np.any(restored["donated"])
    assert not np.any(restored["overwritten"])


def save_on_other_devices(folder):
    """Restore onto a mesh, and save from there; leave with an exception while saving."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def place(x):
        axis = "data" if x.ndim and x.shape[-1] % 8 == 0 else None
        spec = jax.sharding.PartitionSpec(*[None] * (x.ndim - 1), axis) if x.ndim else ()
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))

    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place(x)), example()
    )
    with checkpoints.open_manager(folder) as manager:
        restored = checkpoints.restore(manager, target)
        kernel = restored["state"]["kernel"]
        assert {shard.data.shape for shard in kernel.addressable_shards} == {(30, 5)}
        chex.assert_trees_all_equal(as_numpy(restored), as_numpy(example(5)))
        for epoch in (6, 7):
            arrays = example(epoch)
            arrays["state"] = jax.device_put(arrays["state"], jax.tree.map(place, arrays["state"]))
            checkpoints.save(manager, epoch, arrays)
        sys.exit(7)


def test_other_devices_and_an_exit_while_saving(copied):
    assert in_a_child(save_on_other_devices, copied, devices=8) == (7, "")
    assert sorted(p.name for p in copied.iterdir()) == ["6", "7"]
    chex.assert_trees_all_equal(as_numpy(restore(copied)), as_numpy(example(7)))


def be_killed_while_saving(folder):
    with checkpoints.open_manager(folder) as manager:
        checkpoints.save(manager, 6, example(6))
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_while_saving(copied):
    assert in_a_child(be_killed_while_saving, copied) == (-signal.SIGKILL, "")
    with checkpoints.open_manager(copied) as manager:
        epoch = checkpoints.latest(manager)
        restored = checkpoints.restore(manager, target_of(example()))
        checkpoints.save(manager, 7, example(7))
    assert epoch in (5, 6)
    chex.assert_trees_all_equal(as_numpy(restored), as_numpy(example(epoch)))
    assert sorted(p.name for p in copied.iterdir()) == [str(epoch), "7"]


def test_a_save_that_fails(copied, capfd, caplog, monkeypatch):
    """No room: a limit on the size of a file. Threads print nothing."""
    arrays = {"noise": np.random.default_rng(0).normal(size=100_000)}
    monkeypatch.setattr(logging.getLogger("absl"), "propagate", True)
    with checkpoints.open_manager(copied) as manager:
        message = r"6: cannot save the checkpoint: .*too large.* from epoch 5"
        with disk_of(100_000):
            checkpoints.save(manager, 6, arrays)
            time.sleep(0.5)  # as an epoch would take, in which the threads fail
            with pytest.raises(WriteError, match=message):
                checkpoints.wait(manager)
        assert checkpoints.latest(manager) == 5
        checkpoints.save(manager, 6, example(6))
    assert (*capfd.readouterr(), caplog.records) == ("", "", [])
    assert sorted(p.name for p in copied.iterdir() if p.name.isdigit()) == ["5", "6"]
    chex.assert_trees_all_equal(as_numpy(restore(copied)), as_numpy(example(6)))


def test_reading_while_another_trains(tmp_path):
    with checkpoints.open_manager(tmp_path) as writer:
        for epoch in (8, 9, 10, 11, 12):
            checkpoints.save(writer, epoch, example(epoch))
            with checkpoints.open_manager(tmp_path, read_only=True) as reader:
                newest = checkpoints.latest(reader)
                if newest is not None:
                    restored = checkpoints.restore(reader, target_of(example()))
                    assert newest <= int(restored["state"]["step"]) <= epoch
    assert sorted(p.name for p in tmp_path.iterdir()) == ["11", "12"]


def test_a_checkpoint_that_another_process_replaces_while_it_is_read(copied, monkeypatch):
    real = checkpoints._restore

    def fail_once(place, target):
        if place.name == "5":
            save(copied, 6, 7)
            assert not place.exists()
        return real(place, target)

    monkeypatch.setattr(checkpoints, "_restore", fail_once)
    chex.assert_trees_all_equal(as_numpy(restore(copied)), as_numpy(example(7)))


def test_read_only_writes_nothing(copied):
    def everything():
        return [(p, p.stat().st_mtime_ns) for p in sorted([copied, *copied.rglob("*")])]

    before = everything()
    with checkpoints.open_manager(copied, read_only=True) as manager:
        checkpoints.restore(manager, target_of(example()))
        with pytest.raises(ValueError, match="read_only"):
            checkpoints.save(manager, 6, example(6))
    assert everything() == before


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
    def fail(*args, **settings):
        raise AssertionError

    monkeypatch.setattr(checkpoints.ocp, "load_checkpointables", fail)
    with pytest.raises(RunError, match="it cannot be restored: AssertionError"):
        restore(saved)


def test_digests_see_bits_shape_and_type():
    def digest(leaf):
        (value,) = checkpoints.digests([leaf]).values()
        return value

    zeros = np.zeros(4, np.float32)
    others = [-zeros, zeros.reshape(2, 2), zeros.astype(np.int32), zeros[:3]]
    assert len({digest(leaf) for leaf in [zeros, *others]}) == 5
    assert digest(zeros) == digest(jnp.zeros(4))
    assert digest(jax.random.key(0)) != digest(jax.random.key(1))
    assert digest(jax.random.key(0)) != digest(jax.random.key_data(jax.random.key(0)))
    assert set(checkpoints.digests(example())) == {
        "['preparation']['mean']",
        "['state']['kernel']",
        "['state']['key']",
        "['state']['step']",
    }


def test_two_threads_that_restore_leave_the_hooks_of_the_process():
    """The second begins before the first ends, and ends after it."""
    before = sys.excepthook, sys.unraisablehook
    inside, leave = threading.Event(), threading.Event()

    def first():
        with quiet():
            inside.set()
            leave.wait(10)

    def second():
        with quiet():
            pass

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    inside.wait(10)
    threads[1].start()
    time.sleep(0.1)
    leave.set()
    for thread in threads:
        thread.join(10)
    assert (sys.excepthook, sys.unraisablehook) == before


def test_a_folder_that_goes_away_is_one_message(copied, capfd):
    message = r"checkpoints/6: cannot save the checkpoint: .*The folder is gone"

    def save_without_a_folder():
        with checkpoints.open_manager(copied) as manager:
            shutil.rmtree(copied)
            manager.saving = 6, mock.Mock()

    with pytest.raises(WriteError, match=message):
        save_without_a_folder()
    assert capfd.readouterr() == ("", "")


def test_another_file_that_cannot_be_written_says_what_there_is_to_go_on_from(copied):
    message = r"^x: cannot be written. The same command goes on from epoch 6, whose checkpoint is"

    def fail():
        with checkpoints.open_manager(copied) as manager:
            checkpoints.save(manager, 6, example(6))
            raise WriteError("x: cannot be written.")

    with pytest.raises(WriteError, match=message):
        fail()


@pytest.mark.parametrize("name", ["a\udcff", "a\0"])
def test_a_path_that_is_no_text_is_refused(tmp_path, name):
    for read_only in (False, True):
        with (
            pytest.raises(RunError, match="found a path that is no text in UTF-8"),
            checkpoints.open_manager(tmp_path / name, read_only=read_only),
        ):
            pass
    assert not list(tmp_path.iterdir())


def test_what_threads_still_report_to_a_loop_that_is_closed_is_left_out(tmp_path):
    """Of a failed save: TensorStore prints what such a call raises, past all hooks."""
    loop = asyncio.new_event_loop()
    loop.close()

    def plain(loop, callback):
        loop._check_closed()

    # A save that failed before in this process has left its own.
    with mock.patch.object(asyncio.BaseEventLoop, "call_soon_threadsafe", plain):
        with checkpoints.open_manager(tmp_path / "checkpoints"):
            assert loop.call_soon_threadsafe(print) is None
        with pytest.raises(RuntimeError, match="closed"):
            loop.call_soon_threadsafe(print)
