"""What `train` and `evaluate` share."""

import jax
import numpy as np
import pytest

from fsrf_jax.cli import arguments
from fsrf_jax.cli.run import Run
from fsrf_jax.data import normalise
from fsrf_jax.errors import RunError
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.source import open_source
from fsrf_jax.training import checkpoints


@pytest.fixture(scope="module")
def run(trained):
    config = arguments.load(trained.folder / "config.yaml")
    protocol = resolve(config.evaluation.protocol, config.data.modalities)
    return Run.make(config, open_source(config.data), protocol)


def restore(run, folder):
    shapes = normalise.fit(run.source.split("train"), run.config.data.clip)
    with checkpoints.open_manager(folder, read_only=True) as manager:
        return run.restore(manager, shapes)


def test_the_normaliser_travels_with_the_checkpoint(run, trained):
    expected = normalise.fit(run.source.split("train"), run.config.data.clip)
    state, normaliser = restore(run, trained.folder / "checkpoints")
    np.testing.assert_equal(normaliser.to_tree(), expected.to_tree())
    assert normaliser.clip == expected.clip
    assert int(state.step) == 2 * run.method.steps_per_epoch == 6


def test_a_restored_state_is_on_all_devices(run, trained):
    state, _ = restore(run, trained.folder / "checkpoints")
    for leaf in jax.tree.leaves(state):
        assert leaf.sharding.is_fully_replicated
        assert len(leaf.devices()) == run.mesh.size


def test_the_first_state_depends_on_the_seed_alone(run):
    first, second = run.initial_state()(), run.initial_state()()
    for former, latter in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert (former == latter).all()
    assert int(first.step) == 0


def test_without_a_checkpoint_nothing_is_restored(run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(RunError, match="found no checkpoint"):
        restore(run, tmp_path / "checkpoints")
