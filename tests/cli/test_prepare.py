"""The command `prepare` itself; training from a store is tested in tests/end_to_end."""

import numpy as np
from command_case import call, tiny_arrays

from fsrf_jax.data.load import load


def test_a_store_holds_what_was_read(tmp_path):
    np.savez(tmp_path / "x.npz", **tiny_arrays())
    argv = (tmp_path / "x.npz", tmp_path / "x.h5", "--modalities", "[audio,vision]")
    assert call("prepare", *argv, "--format", "arrays").status == 0
    expected, found = (load(tmp_path / f"x.{kind}", ("audio", "vision")) for kind in ("npz", "h5"))
    assert found.notes == expected.notes
    for name, split in expected.splits.items():
        np.testing.assert_equal(vars(found.splits[name]), vars(split))


def test_a_long_path_is_printed_whole(tmp_path):
    np.savez(tmp_path / "x.npz", **tiny_arrays())
    folder = tmp_path / ("a long name " * 8) / "[bold]"
    folder.mkdir(parents=True)
    done = call("prepare", tmp_path / "x.npz", folder / "x.h5")
    assert done.out.splitlines()[-1] == f"Written: {folder / 'x.h5'}"
