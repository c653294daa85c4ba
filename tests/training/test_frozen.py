"""Groups of parameters that do not move; that of all methods is tested in tests/methods."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_case as case

from fsrf_jax.methods import LateFusion
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import split
from fsrf_jax.training.frozen import describe, frozen_leaves, named_leaves
from fsrf_jax.training.optimizer import OptimizerOptions, make_optimizer
from fsrf_jax.training.step import train_step

TREE = {
    "inference": {
        "encoders": {"language": {"kernel": np.zeros((30, 40)), "bias": np.zeros(40)}},
        "head": {"kernel": np.zeros((40, 1))},
    },
    "training": {"decoder": np.zeros(7), "head": np.zeros(3)},
}


def held(*names):
    return {name for name, still in named_leaves(frozen_leaves(TREE, names)).items() if still}


def test_a_name_is_a_group_inside_both_parts_or_in_one():
    language = {"inference.encoders.language.kernel", "inference.encoders.language.bias"}
    assert held() == set()
    assert held("encoders") == held("encoders.language") == held("inference.encoders") == language
    assert held("encoders.language.bias") == {"inference.encoders.language.bias"}
    assert held("head") == {"inference.head.kernel", "training.head"}
    assert held("training.head") == {"training.head"}
    assert held("training") == {"training.decoder", "training.head"}
    assert held("encoders", "decoder") == {*language, "training.decoder"}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("encoder_language", "; did you mean 'encoders.language'?"),
        ("hed", "; did you mean 'head'?"),
        ("language", "; did you mean 'encoders.language'?"),
        ("enc", "."),
        ("", "."),
    ],
)
def test_a_name_that_there_is_not(name, near):
    with pytest.raises(ValueError, match=r"^freeze") as caught:
        frozen_leaves(TREE, ["head", name])
    assert str(caught.value) == (
        f"freeze: found {name!r}, expected groups of parameters, which are encoders, head, decoder,"
        f" or parts of them, as encoders.language{near}"
    )


def test_everything_cannot_be_frozen():
    with pytest.raises(ValueError, match=r"^freeze: found \['inference', 'training'\], which is"):
        frozen_leaves(TREE, ["inference", "training"])


def test_how_many_in_words():
    assert describe(TREE, ["encoders", "training.head"]) == (
        "frozen: 1,243 of 1,290 parameters: encoders, training.head"
    )


def test_the_optimizer_passes_over_what_is_frozen():
    """No weight decay, no state, and no part in the norm by which all others are clipped."""
    options = OptimizerOptions(1.0, weight_decay=0.5, warmup=0.0, clip_norm=1.0)
    parameters = {"a": jnp.asarray([2.0, -4.0]), "b": jnp.ones(3)}
    gradients = [{"a": jnp.asarray(g, jnp.float32)} for g in ([0.1, -0.2], [30, 1], [0.1, 0.2])]
    alone = make_optimizer(options, 10)
    masked = make_optimizer(options, 10, {"a": False, "b": True})
    assert jax.tree.structure(
        make_optimizer(options, 10, {"a": False, "b": False}).init(parameters)
    ) == jax.tree.structure(alone.init(parameters))
    own, state = alone.init({"a": parameters["a"]}), masked.init(parameters)
    assert sum(x.size for x in jax.tree.leaves(state)) == sum(x.size for x in jax.tree.leaves(own))
    for gradient in gradients:
        expected, own = alone.update(gradient, own, {"a": parameters["a"]})
        found, state = masked.update(gradient | {"b": jnp.full(3, 100.0)}, state, parameters)
        np.testing.assert_array_equal(found["a"], expected["a"])


MODEL = ModelOptions(width=8, heads=2, encoder_layers=0, dropout=0.0)


def one_step(freeze, clip_norm):
    """The parameters before and after a step, and its terms."""
    options = OptimizerOptions(1e-2, weight_decay=0.1, warmup=0.0, clip_norm=clip_norm)
    recipe, hyper = split(
        case.make_recipe(LateFusion(), model=MODEL, optimizer=options, freeze=freeze)
    )
    state = case.make_state(recipe=recipe)
    after, terms = jax.jit(train_step, static_argnums=0)(recipe, state, case.make_batch(), hyper)
    return case.as_numpy((state.parameters, after.parameters, terms))


def test_all_others_move_as_they_would_without_it():
    before, free, terms = one_step((), 1e6)
    _, found, held_terms = one_step(("encoders.audio",), 1e6)
    still = frozen_leaves(before, ("encoders.audio",))
    for (name, old), new, expected, keep in zip(
        named_leaves(before).items(), *map(jax.tree.leaves, (found, free, still)), strict=True
    ):
        if keep:
            np.testing.assert_array_equal(new, old, err_msg=name)
            assert (expected != old).any(), name
        else:
            np.testing.assert_allclose(new, expected, rtol=1e-5, atol=1e-6, err_msg=name)
    assert held_terms["task"] == terms["task"]
    assert 0 < held_terms["gradient_norm"] < 0.99 * terms["gradient_norm"]


def test_minus_zero_stays_minus_zero():
    recipe, hyper = split(case.make_recipe(LateFusion(), model=MODEL, freeze=("encoders",)))
    state = case.make_state(recipe=recipe)
    encoders = jax.tree.map(
        lambda x: jnp.full_like(x, -0.0), state.parameters["inference"]["encoders"]
    )
    inference = {**state.parameters["inference"], "encoders": encoders}
    state = state.replace(
        parameters={**state.parameters, "inference": inference}, average=inference
    )
    after, _ = jax.jit(train_step, static_argnums=0)(recipe, state, case.make_batch(), hyper)
    for tree in (after.parameters["inference"], after.average):
        assert all(np.signbit(x).all() for x in jax.tree.leaves(tree["encoders"]))
