"""Where the time of a training step of FSRF goes: parts of it as programs of their own.

They overlap, and compiled alone a part may be faster or slower than within the step: shares are a
map, not a sum.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fsrf_jax.methods.fsrf import Constraints, Factors, Fsrf, Network, distil
from fsrf_jax.methods.passes import mean_over_views, of_views, stack_views, task_loss
from fsrf_jax.missing import Missing, completeness, random_view
from fsrf_jax.models.encoder import Encoders
from fsrf_jax.training.optimizer import OptimizerOptions, make_optimizer
from fsrf_jax.training.step import take, train_step
from fsrf_jax.types import Step, View
from speed import ours
from speed.measure import Program, interleaved
from speed.shapes import shape_of

REPEATS = 5
KEY = jax.random.key(0)


def measure_pieces(numbers: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Seconds of each part, by name, in every round."""
    batch = numbers["batch"]
    arrays = shape_of(numbers["shape"]).draw(4 * batch)
    run = ours.make_run("fsrf", numbers["width"], arrays)
    data = take(run.data, jnp.arange(batch))
    programs = _step_pieces(run, data) | _loss_pieces(run, data)
    ready = {name: _program(function, *inputs) for name, (function, inputs) in programs.items()}
    # A busy core leaves short programs alone and makes long ones wait: on a CPU the time that this
    # process had of it is more even.
    on_cpu = jax.default_backend() == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    return {"seconds": interleaved(ready, rounds, clock)}


def _program(function: Callable[..., Any], *inputs: Any) -> Program:
    """Some calls of a function, compiled; the inputs are arguments, so that none is a constant."""
    compiled = jax.jit(function).lower(*inputs).compile()

    def program() -> None:
        for _ in range(REPEATS):
            jax.block_until_ready(compiled(*inputs))

    return program


def _step_pieces(run: ours.Run, data: Any) -> dict[str, tuple[Callable[..., Any], Any]]:
    """The step, and what is in it beside the loss and its gradient."""
    state, options = run.state, OptimizerOptions()
    optimizer = make_optimizer(options, 1000)

    def views(key: jax.Array, present: Any) -> Any:
        return [random_view(k, present, Missing()) for k in jax.random.split(key)]

    def update(gradient: Any, state: Any) -> Any:
        updates, after = optimizer.update(gradient, state.optimizer, state.parameters)
        return optax.apply_updates(state.parameters, updates), after, optax.tree.norm(gradient)

    def rows(data: Any, index_b: jax.Array) -> Any:
        return take(data, index_b)

    index = jnp.arange(len(data.labels))
    return {
        "the step": (partial(train_step, run.recipe), (state, data, run.hyper)),
        "taking the rows": (rows, (run.data, index)),
        "masks of both views": (views, (KEY, data.present)),
        "optimizer": (update, (state.parameters, state)),
    }


def _loss_pieces(run: ours.Run, data: Any) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Loss and gradient, with and without dropout, and by their parts, all without."""
    method, parameters = Fsrf(), run.state.parameters
    setting = run.recipe.setting
    still = replace(setting, model=replace(setting.model, dropout=0.0))
    dropping = replace(setting, model=replace(setting.model, dropout=0.1))
    views = [random_view(k, data.present, Missing()) for k in jax.random.split(KEY)]
    weights = method.term_weights(jnp.float32(0.5))

    def step(data: Any, views: Any) -> Step:
        return Step(data, views, jnp.float32(0.5), KEY)

    def loss(setting: Any, parameters: Any, data: Any, views: Any) -> jax.Array:
        terms = method.loss(setting, parameters, None, step(data, views))
        return terms["task"] + sum(weights[t] * terms[t] for t in weights)

    def network(setting: Any, inference: Any, data: Any, views: Any) -> Factors:
        return of_views(Network(method, setting), inference, step(data, views))

    def summed(function: Callable[..., Any], *inputs: Any) -> jax.Array:
        return sum(jnp.sum(x) for x in jax.tree.leaves(function(*inputs)))

    def encode(names: tuple[str, ...], encoders: Any, data: Any, views: Any) -> jax.Array:
        view = stack_views(data, views)
        chosen = View(*({m: part[m] for m in names} for part in view))
        module = Encoders(still.model)
        return module.apply({"params": encoders}, *chosen, train=True)[0].sum()

    def constrain(heads: Any, seen: Factors, data: Any) -> jax.Array:
        targets = method._targets(parameters["inference"], seen, data)
        apply = partial(Constraints(method, still).apply, {"params": heads}, batch=data)
        terms = mean_over_views(jax.vmap(apply)(seen, targets))
        return sum(weights[t] * value for t, value in terms.items())

    def distilled(seen: Factors, data: Any, views: Any) -> jax.Array:
        share_kb = jnp.stack([completeness(data.valid, view) for view in views])
        terms = distil(method, still, seen, share_kb, data.weights)
        return sum(weights[t] * value for t, value in terms.items())

    def task(seen: Factors, data: Any) -> jax.Array:
        return task_loss(still.task, seen.raw, data)

    given = data, views
    seen = jax.jit(partial(network, still))(parameters["inference"], *given)
    encoders = parameters["inference"]["encoders"]
    names = tuple(sorted(data.features))
    found: dict[str, tuple[Callable[..., Any], Any]] = {
        "loss, forward": (partial(loss, dropping), (parameters, *given)),
        "loss and gradient": (jax.grad(partial(loss, dropping)), (parameters, *given)),
        "the same without dropout": (jax.grad(partial(loss, still)), (parameters, *given)),
        "network, forward": (partial(network, still), (parameters["inference"], *given)),
        "network and gradient": (
            jax.grad(partial(summed, partial(network, still))),
            (parameters["inference"], *given),
        ),
        "encoders and gradient": (jax.grad(partial(encode, names)), (encoders, *given)),
    }
    for m in names:
        name = f"encoder of {m} and gradient"
        found[name] = jax.grad(partial(encode, (m,))), ({m: encoders[m]}, *given)
    return found | {
        "task and gradient": (jax.grad(task), (seen, data)),
        "DHF terms and gradient": (
            jax.grad(constrain, argnums=(0, 1)),
            (parameters["training"], seen, data),
        ),
        "DAS terms and gradient": (jax.grad(distilled), (seen, *given)),
    }
