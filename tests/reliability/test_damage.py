"""Damage to any file of a checkpoint: the numbers that it gave before, or a message."""

import shutil

import numpy as np
import pytest
from command_case import call, read_arrays
from trials import RUN, copied, killed, newest_checkpoint, same

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
    """Training goes on to the end that it would have had; evaluation gives no other numbers."""
    begun = tmp_path / "begun"
    argv = (*RUN, "--output.checkpoint_every", "1")
    third = begun / "checkpoints" / "3"
    assert killed("train", (*argv, "--output.directory", begun), third.exists, 0) is None
    place = newest_checkpoint(begun)
    before = str(int(place.name) - 1)
    assert call("evaluate", begun, "--output", begun / "other.json").status == 0
    expected = read_arrays(begun / "other.predictions.npz")
    files = sorted(path.relative_to(place) for path in place.rglob("*") if path.is_file())
    trials = {"same numbers": 0, "refused": 0, "gone on from the one before": 0}
    for file in files:
        for kind, damage in KINDS.items():
            folder = copied(begun, tmp_path / "trial")
            checkpoint = newest_checkpoint(folder)
            earlier = folder / "checkpoints" / before / file
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
