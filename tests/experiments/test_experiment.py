"""What training, evaluation and reports share: a config and its data as one run."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from command_case import TINY, read_arrays, read_json

from fsrf_jax import arguments
from fsrf_jax.data import normalise
from fsrf_jax.errors import ConfigError, DataError, RunError, UserError
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.experiments.experiment import (
    SELECTION_SEED,
    Experiment,
    make_recipe,
    open_experiment,
    teacher_config,
)
from fsrf_jax.options import merge
from fsrf_jax.source import Shapes, open_source
from fsrf_jax.training import checkpoints, loop
from fsrf_jax.training.state import is_complete
from fsrf_jax.training.validation import make_validation


@pytest.fixture(scope="module")
def run(trained):
    config = arguments.load(trained.folder / "config.yaml")
    protocol = resolve(config.evaluation.protocol, config.data.modalities)
    return Experiment.make(config, open_source(config.data), protocol)


def restore(run, folder, members=1):
    with checkpoints.open_manager(folder, read_only=True) as manager:
        return run.restore(manager, members)


def parse(*argv):
    argv = (*TINY, *argv)
    return arguments.parse(arguments.make_parser("train", "", argv), argv)[0]


def again(run, *argv):
    """The run of a config that differs in some options, on the same data."""
    return Experiment.make(parse(*argv), run.source, run.protocol)


def test_the_normaliser_travels_with_the_checkpoint(run, trained):
    expected = normalise.fit(run.source.split("train"), run.config.data.clip)
    states, normaliser = restore(run, trained.folder / "checkpoints")
    np.testing.assert_equal(normaliser.to_tree(), expected.to_tree())
    assert normaliser.clip == expected.clip
    assert states.step.tolist() == [2 * run.recipe.steps_per_epoch] == [6]
    assert loop.epochs_done(run.recipe, states) == 2
    assert is_complete(merge(run.recipe, run.hyper), states).tolist() == [True]


def test_a_restored_state_is_on_all_devices(run, trained):
    states, _ = restore(run, trained.folder / "checkpoints")
    for leaf in jax.tree.leaves(states):
        assert leaf.sharding.is_fully_replicated
        assert len(leaf.devices()) == run.mesh.size


def test_the_first_state_depends_on_the_seed_alone(run):
    first, second = run.initial_states([5]), run.initial_states([5])
    for former, latter in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert (former == latter).all()
    assert first.step.tolist() == [0]
    other = run.initial_states([6])
    assert (jax.random.key_data(first.key) != jax.random.key_data(other.key)).any()
    pairs = zip(*map(jax.tree.leaves, (first.best, other.best)), strict=True)
    assert any((former != latter).any() for former, latter in pairs)


def test_the_states_of_several_seeds_are_those_of_each(run):
    several = run.initial_states([5, 6])
    assert several.step.shape == (2,)
    for index, seed in enumerate((5, 6)):
        alone, found = loop.member(run.initial_states([seed]), 0), loop.member(several, index)
        assert (alone.key == found.key).all()
        for former, latter in zip(*map(jax.tree.leaves, (alone.best, found.best)), strict=True):
            np.testing.assert_allclose(former, latter, rtol=1e-6, atol=1e-7)


def test_states_of_several_members_are_restored(run, tmp_path):
    states = run.initial_states([5, 6])
    normaliser = normalise.fit(run.source.split("train"), run.config.data.clip)
    with checkpoints.open_manager(tmp_path) as manager:
        arrays = {"state": states, "preparation": normaliser.to_tree()}
        checkpoints.save(manager, 0, arrays)
    found, _ = restore(run, tmp_path, members=2)
    for former, latter in zip(*map(jax.tree.leaves, (states, found)), strict=True):
        assert former.shape == latter.shape
        assert (former == latter).all()
    with pytest.raises(RunError, match="cannot restore"):
        restore(run, tmp_path)


def test_without_a_checkpoint_nothing_is_restored(run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(RunError, match="found no checkpoint"):
        restore(run, tmp_path / "checkpoints")


def test_runs_that_differ_in_numbers_have_one_recipe(run):
    argv = ("--method.weights.noise", "3", "--model.dropout", "0.5", "--training.seed", "4")
    argv += ("--optimizer.learning_rate", "0.5", "--optimizer.weight_decay", "0.5")
    same, other = again(run, *argv), again(run, "--method.noise.kind", "uniform")
    assert same.recipe == run.recipe
    assert hash(same.recipe) == hash(run.recipe)
    assert other.recipe != run.recipe
    assert set(same.hyper) == set(run.hyper)
    changed = {name for name in run.hyper if same.hyper[name] != run.hyper[name]}
    assert changed == {
        *("method.weights.noise", "model.dropout"),
        *("optimizer.learning_rate", "optimizer.weight_decay"),
    }
    assert float(same.hyper["method.weights.noise"]) == 3.0


def test_a_recipe_counts_the_steps():
    config = parse("--training.patience", "3")
    recipe = make_recipe(config, Shapes(33, {}, {}, 1, (), {}))
    assert (recipe.steps_per_epoch, recipe.epochs, recipe.patience) == (3, 2, 3)
    assert recipe.steps == 6
    assert make_recipe(config, Shapes(32, {}, {}, 1, (), {})).steps_per_epoch == 2
    assert (
        make_recipe(
            parse("--task.kind", "cross_entropy"), Shapes(32, {}, {}, 5, (), {})
        ).task.outputs
        == 5
    )


def test_results_of_a_restored_run_are_those_it_has(run, trained):
    states, normaliser = restore(run, trained.folder / "checkpoints")
    evaluation, results = run.evaluate(trained.folder, loop.member(states, 0), normaliser)
    expected = read_json(trained.folder / "results.json")
    assert results["method"] == expected["method"] == "fsrf"
    assert results["data_fingerprint"] == run.source.fingerprint
    for key in ("epochs_trained", "best_epoch", "validation_error", "masks_digest", "average"):
        assert results[key] == expected[key]
    arrays = read_arrays(trained.folder / "predictions.npz")
    assert evaluation.masks_digest == results["masks_digest"]
    assert arrays["predictions"].shape == (17, 3, 24)


def test_an_encoder_gives_the_codes_of_all_samples(run, trained):
    states, normaliser = restore(run, trained.folder / "checkpoints")
    samples = run.source.split("test")
    codes = run.encoder(loop.member(states, 0), normaliser, samples)(samples.valid)
    assert codes.modalities == ("audio", "language", "vision")
    assert codes.fused.shape == (24, 8)
    assert codes.homogeneous.shape == codes.noise.shape == (3, 24, 8)


def test_there_is_no_recovery_of_a_code_that_a_method_has_not(run, trained, monkeypatch):
    states, normaliser = restore(run, trained.folder / "checkpoints")
    monkeypatch.setattr(
        Experiment, "encoder", lambda *_: lambda observed: SimpleNamespace(fused=None)
    )
    with pytest.raises(UserError, match=r"^The method fsrf has no fused code\.$"):
        run.recovery(loop.member(states, 0), normaliser)


def test_opening_a_run_opens_protocol_and_data(run):
    found = open_experiment(run.config)
    assert found.recipe == run.recipe
    assert found.protocol.name == "corrkd"
    assert found.source.fingerprint == run.source.fingerprint


def test_mistakes_show_when_a_run_is_opened(run):
    def changed(**kwargs):
        evaluation = dataclasses.replace(run.config.evaluation, **kwargs)
        return dataclasses.replace(run.config, evaluation=evaluation)

    with pytest.raises(DataError, match="no split 'tets'"):
        open_experiment(changed(split="tets"))
    with pytest.raises(ConfigError, match=r"evaluation\.protocol: found 'lnnl'"):
        open_experiment(changed(protocol="lnnl"))
    with pytest.raises(ConfigError, match=r"labels in \[-1, 1\]"):
        open_experiment(changed(metrics="sims"))


def test_the_best_epoch_is_chosen_by_the_mean_over_the_protocols_conditions(run, trained):
    """The recorded error is that of an evaluation of the validation split, with a seed apart."""
    found = read_json(trained.folder / "results.json")
    assert found["selection"] == "protocol"
    settings = dataclasses.replace(
        run.config.evaluation, split="valid", mask_seeds=(SELECTION_SEED,), bootstrap=0
    )
    config = dataclasses.replace(run.config, evaluation=settings)
    other = dataclasses.replace(run, config=config)
    _, results = other.evaluate(trained.folder, *run.load(trained.folder))
    errors = [c["metrics"]["mae"] for c in results["conditions"] if c["name"] != "rate=1.0"]
    assert len(errors) == 16
    np.testing.assert_allclose(found["validation_error"], np.mean(errors), rtol=1e-5)


def test_or_by_the_training_missingness(run):
    options = ("--training.selection", "missingness", "--training.validation_draws", "2")
    other = again(run, *options)
    samples = other.source.split("valid")
    masks = other.validation_masks(samples)
    expected = make_validation(samples, other.recipe.missing, 2).observed
    assert len(masks) == 2
    for m, mask in expected.items():
        np.testing.assert_array_equal([drawn[m] for drawn in masks], mask)


def test_a_teacher_is_chosen_by_what_it_is_trained_on(tmp_path):
    teacher = teacher_config(parse("--method.name", "corrkd"), tmp_path)
    assert teacher.training.selection == "missingness"
