"""Damage to any file of a checkpoint: the same numbers as without it, or a message; never others."""

import shutil

import numpy as np
import pytest
from command_case import call, read_arrays
from trials import RUN, copied, newest_checkpoint, same

pytestmark = pytest.mark.slow


def flip(path, earlier):
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 16
    path.write_bytes(content)


def of_the_one_before(path, earlier):
    if earlier.is_file():
        shutil.copy(earlier, path)


KINDS = {
    "empty": lambda path, earlier: path.write_bytes(b""),
    "half": lambda path, earlier: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": flip,
    "longer": lambda path, earlier: path.write_bytes(path.read_bytes() + b"\0" * 64),
    "gone": lambda path, earlier: path.unlink(),
    "of the one before": of_the_one_before,
}


def test_every_file_of_a_checkpoint(undisturbed, tmp_path):
    """Damaged before the last epoch: training goes on to the same end, evaluation gives no other."""
    begun = tmp_path / "begun"
    argv = (*RUN, "--output.checkpoint_every", "1")
    for epochs in ("28", "29"):
        more = ("--training.epochs", epochs, "--output.directory", begun)
        assert call("train", *argv, *more).status == 0
    expected = read_arrays(begun / "predictions.npz")
    place = newest_checkpoint(begun)
    files = sorted(path.relative_to(place) for path in place.rglob("*") if path.is_file())
    trials = {"same numbers": 0, "refused": 0, "gone on from the one before": 0}
    for file in files:
        for kind, damage in KINDS.items():
            folder = copied(begun, tmp_path / "trial")
            checkpoint = newest_checkpoint(folder)
            earlier = folder / "checkpoints" / "28" / file
            damage(checkpoint / file, earlier)
            done = call("evaluate", folder, "--output", folder / "other.json")
            if done.status == 0:
                trials["same numbers"] += 1
                found = read_arrays(folder / "other.predictions.npz")
                np.testing.assert_equal(found, expected, err_msg=f"{file}: {kind}")
            else:
                trials["refused"] += 1
                assert "checkpoint is damaged" in done.err, (file, kind, done.err)
                assert done.err.count("\n") == 1, done.err
            done = call("train", *argv, "--output.directory", folder)
            assert (done.status, done.err) == (0, ""), (file, kind)
            trials["gone on from the one before"] += any((folder / "checkpoints").glob("*.damaged"))
            same(folder, undisturbed)
    print(f"\n{len(files) * len(KINDS)} damages to {len(files)} files: {trials}, 0 other numbers")
