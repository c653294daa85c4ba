import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_case as case

from fsrf_jax.training.state import make_optimizer


def sizes_of_updates(steps, warmup):
    """With a constant gradient Adam's update is the schedule."""
    optimizer = make_optimizer(weight_decay=0.0, warmup=warmup, clip_norm=1.0, steps=steps)
    parameters = {"a": jnp.zeros(3)}
    state, sizes = optimizer.init(parameters), []
    update = jax.jit(optimizer.update)
    for _ in range(steps):
        updates, state = update({"a": jnp.full(3, 0.1)}, state, parameters)
        sizes.append(-float(updates["a"][0]))
    return np.array(sizes)


def test_schedule():
    sizes = sizes_of_updates(20, 0.25)
    np.testing.assert_allclose(sizes[:6], np.arange(6) * 0.2, rtol=1e-4, atol=1e-7)
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(15) / 15))
    np.testing.assert_allclose(sizes[5:], cosine, rtol=1e-4, atol=1e-7)


def test_schedule_without_warmup():
    sizes = sizes_of_updates(4, 0.0)
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose(sizes, expected, rtol=1e-4)


@pytest.mark.parametrize(("steps", "warmup"), [(10, 1.0), (1, 0.9), (1, 1.0)])
def test_a_warmup_as_long_as_the_training(steps, warmup):
    sizes = sizes_of_updates(steps, warmup)
    np.testing.assert_allclose(
        sizes, np.arange(steps) / max(steps - 1, 1) if steps > 1 else 1.0, rtol=1e-4
    )


def make(**changed):
    settings = {"weight_decay": 0.0, "warmup": 0.0, "clip_norm": 2.0, "steps": 100}
    return make_optimizer(**(settings | changed))


def test_clipping_by_the_global_norm():
    """Adam hides a gradient's scale but not its change: clipped gradients are all alike."""
    optimizer = make()
    parameters = {"a": jnp.zeros(2), "b": jnp.zeros((1, 2))}
    direction = {"a": jnp.asarray([1.0, 0.5]), "b": jnp.asarray([[-1.0, 2.0]])}
    unit = jax.tree.map(lambda x: x / optax.tree.norm(direction), direction)

    def run(*norms):
        state = optimizer.init(parameters)
        for norm in norms:
            gradient = jax.tree.map(lambda x, norm=norm: norm * x, unit)
            updates, state = optimizer.update(gradient, state, parameters)
        return updates

    chex.assert_trees_all_close(run(2.0, 2.0), run(2.0, 300.0), rtol=1e-5)
    assert np.abs(run(2.0, 2.0)["a"] - run(2.0, 0.5)["a"]).max() > 1e-2


def test_weight_decay():
    optimizer = make(weight_decay=0.5)
    parameters = {"a": jnp.asarray([2.0, -4.0])}
    updates, _ = optimizer.update({"a": jnp.zeros(2)}, optimizer.init(parameters), parameters)
    np.testing.assert_allclose(updates["a"], [-1.0, 2.0], rtol=1e-5)


def test_initial_state():
    state = case.make_state()
    assert (state.step, state.best_epoch, state.best_score) == (0, 0, np.inf)
    assert jax.dtypes.issubdtype(state.key.dtype, jax.dtypes.prng_key)
    chex.assert_trees_all_equal(state.best_network, state.parameters["network"])
    assert set(state.parameters) == {"network", "auxiliary"}
    chex.assert_trees_all_equal(case.as_numpy(case.make_state()), case.as_numpy(state))
    other = case.make_state(1)
    head = "head"
    kernels = [s.parameters["network"][head]["kernel"] for s in (state, other)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0
    assert (jax.random.key_data(state.key) != jax.random.key_data(other.key)).any()
