"""Data and settings at the edge: training ends with finite numbers, or keeps a bad step."""

import numpy as np
import pytest
from command_case import TINY, call, read_arrays, read_json, refused, tiny_arrays

from fsrf_jax.journal import read_journal

ARGV = (
    *TINY,
    "--training.epochs",
    "6",
    "--training.bad_steps",
    "3",
    "--evaluation.bootstrap",
    "50",
)


def scaled(**factors):
    return {
        name: values * factors.get(name.split("_")[1], 1) for name, values in tiny_arrays().items()
    }


def constant(name, value):
    return {k: np.full_like(x, value) for k, x in tiny_arrays().items() if k.endswith(name)}


HOSTILE = {
    "one sample": (tiny_arrays(sizes=(1, 1, 1)), ()),
    "constant labels": ({**tiny_arrays(), **constant("label", 2)}, ()),
    "features of 1e6, of 1e-30 and of 5 alone": (
        {**scaled(language=1e6, audio=1e-30), **constant("vision", 5)},
        (),
    ),
    "labels of 1e6": (scaled(label=1e6), ()),
    "a learning rate of 1e3": (tiny_arrays(), ("--optimizer.learning_rate", "1e3")),
}


@pytest.mark.parametrize(
    "name",
    # Two of them by `-m slow`.
    [pytest.param(n, marks=[pytest.mark.slow] * n.startswith(("const", "feat"))) for n in HOSTILE],
)
def test_training_ends_finite_or_with_the_step_that_went_wrong(tmp_path, name):
    arrays, more = HOSTILE[name]
    np.savez(tmp_path / "x.npz", **arrays)
    folder, given = tmp_path / "run", ("--data.source", "file", "--data.path", tmp_path / "x.npz")
    done = call("train", *ARGV, *given, "--output.directory", folder, *more)
    if done.status:
        refused(done, 2, "3 steps", str(folder / "bad-step.npz"))
        assert (folder / "bad-step.npz").exists()
        return
    assert done.err == ""
    assert np.isfinite(read_arrays(folder / "predictions.npz")["predictions"]).all()
    assert np.isfinite(read_json(folder / "results.json")["validation_error"])
    journal = read_journal(folder)
    assert [line["epoch"] for line in journal] == [1, 2, 3, 4, 5, 6]
    clean = [line for line in journal if not line["bad_steps"]]
    assert all(np.isfinite(list(line.values())).all() for line in clean)
    assert clean, journal
