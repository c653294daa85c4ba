import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_case as case

from fsrf_jax.options import merge, split
from fsrf_jax.training.state import init_state, init_states, is_complete


def test_initial_state():
    state = case.make_state()
    assert (state.step, state.best_epoch, state.best_score) == (0, 0, np.inf)
    assert jax.dtypes.issubdtype(state.key.dtype, jax.dtypes.prng_key)
    chex.assert_trees_all_equal(state.best, state.parameters["inference"])
    assert set(state.parameters) == {"inference", "training"}
    chex.assert_trees_all_equal(case.as_numpy(case.make_state()), case.as_numpy(state))
    other = case.make_state(1)
    kernels = [s.parameters["inference"]["head"]["kernel"] for s in (state, other)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0
    assert (jax.random.key_data(state.key) != jax.random.key_data(other.key)).any()
    assert not case.weak(state)


def test_members_begin_as_they_would_alone():
    states = case.make_states(3, 0, 3)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(states)} == {3}
    for index, seed in enumerate((3, 0, 3)):
        found = jax.tree.map(lambda leaf, i=index: leaf[i], states)
        alone = jax.jit(init_state, static_argnums=0)(
            case.RECIPE, case.make_batch(1), jax.random.key(seed)
        )
        chex.assert_trees_all_close(case.as_numpy(found), case.as_numpy(alone), rtol=1e-6)


def test_the_rows_of_the_example_do_not_matter():
    keys = jax.random.key(0)[None]
    few, many = (init_states(case.RECIPE, case.make_batch(n), keys) for n in (1, 5))
    chex.assert_trees_all_equal(case.as_numpy(few), case.as_numpy(many))


@pytest.mark.parametrize(
    ("done", "best", "epochs", "patience", "complete"),
    [
        (0, 0, 6, 0, False),
        (6, 6, 6, 0, True),
        (7, 1, 6, 0, True),
        (5, 1, 6, 0, False),
        (5, 1, 6, 5, False),
        (5, 1, 6, 4, True),
        (5, 5, 6, 1, False),
        (0, 0, 0, 0, True),
    ],
)
def test_is_complete(done, best, epochs, patience, complete):
    recipe = merge(*split(case.make_recipe(epochs=epochs, patience=patience)))
    state = case.make_state().replace(step=jnp.int32(done * case.STEPS), best_epoch=jnp.int32(best))
    assert is_complete(recipe, state) == complete


@pytest.mark.parametrize(
    ("patience", "complete"), [(0, [False, True, False]), (2, [False, True, True])]
)
def test_which_members_are_complete(patience, complete):
    recipe = merge(*split(case.make_recipe(epochs=5, patience=patience)))
    states = case.make_states(0, 1, 1)
    states = states.replace(
        step=case.STEPS * jnp.asarray([1, 5, 4]), best_epoch=jnp.asarray([0, 5, 2])
    )
    assert is_complete(recipe, states).tolist() == complete


def test_equal_recipes_are_one_and_others_are_not():
    """By value, so that recipes built apart share their programs."""
    recipe, _ = split(case.make_recipe())
    again, _ = split(case.make_recipe())
    assert recipe is not again
    assert recipe == again
    assert hash(recipe) == hash(again)
    for changed, same in (
        ({"epochs": 41}, True),
        ({"patience": 1}, True),
        ({"steps_per_epoch": 4}, False),
    ):
        other, _ = split(case.make_recipe(**changed))
        assert (other == recipe) is same
    assert merge(*split(case.make_recipe())).steps == case.EPOCHS * case.STEPS
    with pytest.raises(TypeError):  # the static part does not know how long it trains
        is_complete(recipe, case.make_state())
    assert (recipe.setting.task, recipe.setting.model) == (recipe.task, recipe.model)
