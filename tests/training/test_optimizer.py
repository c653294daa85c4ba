import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsrf_jax.options import merge, split
from fsrf_jax.training.optimizer import (
    OptimizerOptions,
    make_optimizer,
    moving_average,
    share_of_peak,
)


def make(steps=100, **changed):
    settings = {"learning_rate": 1.0, "weight_decay": 0.0, "warmup": 0.0, "clip_norm": 2.0}
    return make_optimizer(OptimizerOptions(**(settings | changed)), steps)


def sizes_of_updates(steps, warmup, **changed):
    """With a constant gradient Adam's update is the schedule."""
    optimizer = make(steps, warmup=warmup, clip_norm=1.0, **changed)
    parameters = {"a": jnp.zeros(3)}
    state, sizes = optimizer.init(parameters), []
    update = jax.jit(optimizer.update)
    for _ in range(steps):
        updates, state = update({"a": jnp.full(3, 0.1)}, state, parameters)
        sizes.append(-float(updates["a"][0]))
    return np.array(sizes)


@pytest.mark.parametrize("rate", [1.0, 3e-3])
def test_schedule(rate):
    sizes = sizes_of_updates(20, 0.25, learning_rate=rate) / rate
    np.testing.assert_allclose(sizes[:6], np.arange(6) * 0.2, rtol=1e-4, atol=1e-7)
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(15) / 15))
    np.testing.assert_allclose(sizes[5:], cosine, rtol=1e-4, atol=1e-7)


def test_schedule_without_warmup():
    sizes = sizes_of_updates(4, 0.0)
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose(sizes, expected, rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100, 4321])
@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.1, 0.25, 0.5, 0.99, 1.0])
def test_the_schedule_is_that_of_optax(steps, warmup):
    """Whose steps are constants of the program; here they are arguments of it."""
    rising = min(round(warmup * steps), steps - 1)
    reference = optax.warmup_cosine_decay_schedule(0.0, 1.0, rising, steps)
    count = jnp.asarray(
        sorted({*range(min(steps, 50) + 1), rising, rising + 1, steps - 1, steps + 3})
    )
    found = jax.jit(share_of_peak)(count, jnp.float32(warmup), jnp.float32(steps))
    np.testing.assert_allclose(found, jax.vmap(reference)(count), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("steps", "warmup"), [(10, 1.0), (1, 0.9), (1, 1.0)])
def test_a_warmup_as_long_as_the_training(steps, warmup):
    sizes = sizes_of_updates(steps, warmup)
    np.testing.assert_allclose(
        sizes, np.arange(steps) / max(steps - 1, 1) if steps > 1 else 1.0, rtol=1e-4
    )


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


def test_arrays_in_place_of_numbers_make_the_same_updates():
    """All numbers of the options are arguments of one program."""
    parameters = {"a": jnp.asarray([2.0, -4.0])}
    gradients = [{"a": jnp.asarray(g, jnp.float32)} for g in ([1, -2], [30, 1], [0.1, 0.2])]
    traced = []

    def run(static, hyper):
        traced.append(static)
        optimizer = make_optimizer(merge(static, hyper), 10)
        state, found = optimizer.init(parameters), []
        for gradient in gradients:
            updates, state = optimizer.update(gradient, state, parameters)
            found.append(updates["a"])
        return jnp.stack(found)

    compiled = jax.jit(run, static_argnums=0)
    results = []
    for changed in (
        {},
        {"learning_rate": 0.3},
        {"weight_decay": 0.2},
        {"clip_norm": 0.5},
        {"warmup": 0.4},
    ):
        options = OptimizerOptions(**({"learning_rate": 1.0, "warmup": 0.0} | changed))
        results.append(np.asarray(compiled(*split(options))))
        optimizer = make_optimizer(options, 10)
        state = optimizer.init(parameters)
        for gradient, found in zip(gradients, results[-1], strict=True):
            updates, state = optimizer.update(gradient, state, parameters)
            np.testing.assert_allclose(found, updates["a"], rtol=1e-5)
    assert len(traced) == 1
    for other in results[1:]:
        assert np.abs(other - results[0]).max() > 1e-3


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.999])
def test_moving_average_against_its_weights(decay):
    """Of x_1 .. x_n, from x_0: the weight of each by hand, in float64."""
    x = np.random.default_rng(0).normal(size=(41, 3))
    options = OptimizerOptions(average=decay)
    average = {"a": jnp.asarray(x[0], jnp.float32)}
    for n in range(1, 41):
        average = moving_average(options, jnp.int32(n), average, {"a": jnp.asarray(x[n])})
        decays = [min(decay, k / (k + 9)) for k in range(1, n + 1)]
        weights = [(1 - d) * np.prod(decays[k + 1 :]) for k, d in enumerate(decays)]
        assert np.isclose(sum(weights) + np.prod(decays), 1)
        expected = np.prod(decays) * x[0] + np.asarray(weights) @ x[1 : n + 1]
        np.testing.assert_allclose(average["a"], expected, rtol=1e-5, atol=1e-6)
    if decay == 0:  # none at all, to the last bit
        np.testing.assert_array_equal(average["a"], x[40].astype(np.float32))
