"""From the config to what the training loop takes."""

import dataclasses

import jax
import numpy as np
import pytest
import training_case as case

from fsrf_jax.config import Config
from fsrf_jax.experiments.experiment import make_recipe
from fsrf_jax.losses.distillation import DistillationOptions
from fsrf_jax.losses.heterogeneous import HeterogeneousOptions
from fsrf_jax.losses.noise import NoiseOptions
from fsrf_jax.losses.reconstruction import ReconstructionOptions
from fsrf_jax.losses.task import Task, TaskOptions
from fsrf_jax.methods import Fsrf
from fsrf_jax.methods.fsrf import Weights
from fsrf_jax.missing import Missing
from fsrf_jax.options import split
from fsrf_jax.source import Shapes
from fsrf_jax.training.state import init_states


def shapes_with(samples, outputs):
    return Shapes(samples, {}, {}, outputs, (), {})


def changed(config, section, **values):
    part = dataclasses.replace(getattr(config, section), **values)
    return dataclasses.replace(config, **{section: part})


def shapes_of(recipe):
    """Shapes of all parameters of the recipe."""
    keys = jax.random.split(jax.random.key(0), 1)
    static, _ = split(recipe)
    example = case.make_batch(2)
    if recipe.task.form == "binary":
        example = example.replace(labels=np.zeros((2, recipe.task.outputs), np.float32))
    states = jax.eval_shape(lambda: init_states(static, example, keys))
    return jax.tree.map(lambda leaf: leaf.shape[1:], states.parameters)


def output_widths(head):
    """Width of the last layer of a head, whatever its name."""
    return {shape[-1] for shape in jax.tree.leaves(head, is_leaf=lambda x: isinstance(x, tuple))}


def test_recipe():
    config = changed(Config(), "training", batch_size=8, epochs=5, patience=2)
    config = changed(config, "model", width=16, heads=2, mask_aware=False)
    recipe = make_recipe(config, shapes_with(17, 1))
    assert (recipe.steps_per_epoch, recipe.epochs, recipe.patience) == (3, 5, 2)
    assert recipe.steps == 15
    assert make_recipe(config, shapes_with(16, 1)).steps_per_epoch == 2
    assert recipe.model == config.model
    assert recipe.method == config.method
    assert recipe.missing == config.missing
    assert recipe.optimizer == config.optimizer
    assert recipe.task == Task("l1", 1)
    decoders = shapes_of(recipe)["training"]
    assert {name for name in decoders if name.startswith("decoder_")} == {
        "decoder_audio",
        "decoder_language",
    }
    for m, width in case.FEATURES.items():
        assert width in output_widths(decoders[f"decoder_{m}"])


@pytest.mark.parametrize(
    ("kind", "form", "outputs", "width"),
    [
        ("huber", "number", 1, 1),
        ("gaussian", "number", 1, 2),
        ("cross_entropy", "class", 5, 5),
        ("binary_cross_entropy", "binary", 5, 5),
    ],
)
def test_heads_follow_the_task(kind, form, outputs, width):
    recipe = make_recipe(
        dataclasses.replace(Config(), task=TaskOptions(kind)), shapes_with(17, outputs)
    )
    assert (recipe.task.form, recipe.task.outputs, recipe.task.head_width) == (form, outputs, width)
    shapes = shapes_of(recipe)
    assert shapes["inference"]["head"]["kernel"][-1] == width
    for name in ("adversary", "heterogeneous"):
        assert width in output_widths(shapes["training"][name])


def test_heads_follow_the_terms():
    config = changed(
        Config(),
        "method",
        heterogeneous=HeterogeneousOptions("modality"),
        noise=NoiseOptions("bottleneck"),
        reconstruction=ReconstructionOptions("view", crossed=True),
        complete_view=True,
    )
    recipe = make_recipe(config, shapes_with(17, 1))
    assert recipe.method.complete_view
    usual, shapes = shapes_of(make_recipe(Config(), shapes_with(17, 1))), shapes_of(recipe)
    assert set(shapes["training"]) == {"modality", "decoder_audio", "decoder_language"}
    for m in case.FEATURES:
        assert config.model.width in output_widths(shapes["training"][f"decoder_{m}"])
        former = usual["training"][f"decoder_{m}"]
        assert jax.tree.leaves(former) != jax.tree.leaves(shapes["training"][f"decoder_{m}"])
    assert shapes["inference"]["factorizer"] != usual["inference"]["factorizer"]


def test_missingness():
    config = changed(Config(), "missing", subset_weights={"language": 1.0, "audio+vision": 2.0})
    config = changed(config, "missing", max_rate=0.4, shared_rate=True, pattern="block")
    assert make_recipe(config, shapes_with(17, 1)).missing == Missing(
        max_rate=0.4,
        shared_rate=True,
        pattern="block",
        subset_weights={"audio+vision": 2.0, "language": 1.0},
    )


def test_missingness_of_the_other_protocols():
    config = changed(Config(), "missing", modality_rate=0.0, whole_share=0.5)
    assert make_recipe(config, shapes_with(17, 1)).missing == Missing(
        modality_rate=0.0, whole_share=0.5
    )


def test_every_term_gets_its_own_weight():
    names = {f.name for f in dataclasses.fields(Weights)} - {"feature_distillation"}
    given = {name: number + 0.5 for number, name in enumerate(sorted(names))}
    weights = Weights(feature_distillation={"cmd": 9.0}, **given)
    _, hyper = split(make_recipe(changed(Config(), "method", weights=weights), shapes_with(17, 1)))
    start = "method.weights."
    found = {k.removeprefix(start): v for k, v in hyper.items() if k.startswith(start)}
    assert found == given | {"feature_distillation.cmd": 9}
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(hyper))


def test_numbers_that_are_arrays():
    config = changed(Config(), "optimizer", learning_rate=0.5, weight_decay=0.125, warmup=0.25)
    config = changed(config, "training", epochs=7, patience=2)
    config = changed(config, "method", distillation=DistillationOptions(temperature=3.0))
    _, hyper = split(make_recipe(changed(config, "model", dropout=0.25), shapes_with(17, 1)))
    assert hyper["optimizer.learning_rate"] == 0.5
    assert hyper["optimizer.weight_decay"] == 0.125
    assert hyper["optimizer.warmup"] == 0.25
    assert (hyper["epochs"], hyper["patience"]) == (7, 2)
    assert hyper["method.distillation.temperature"] == 3
    assert hyper["model.dropout"] == 0.25


def test_recipes_that_differ_in_numbers_are_one():
    config = changed(Config(), "optimizer", learning_rate=0.5, weight_decay=0.125)
    config = changed(config, "model", dropout=0.25)
    config = changed(config, "training", epochs=7, patience=2)
    other = dataclasses.replace(config, method=Fsrf(weights=Weights(noise=7.0)))
    recipes = [split(make_recipe(c, shapes_with(17, 1)))[0] for c in (Config(), config, other)]
    assert len(set(recipes)) == 1
