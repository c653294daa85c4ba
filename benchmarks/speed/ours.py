"""Our programs: training, predicting and a large matrix product, compiled for given shapes."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from fsrf_jax.inference import predict_rows
from fsrf_jax.losses.task import Task
from fsrf_jax.methods import METHODS
from fsrf_jax.missing import Missing
from fsrf_jax.models import chunks
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import Hyper, split
from fsrf_jax.training.optimizer import OptimizerOptions
from fsrf_jax.training.state import Recipe, TrainState, init_state
from fsrf_jax.training.step import run_epoch, take, train_step
from fsrf_jax.training.validation import Validation
from fsrf_jax.types import Batch
from speed.measure import Program
from speed.shapes import Arrays, index_of


class Run(NamedTuple):
    """A run before its first step."""

    recipe: Recipe  # the static part
    hyper: Hyper
    teacher: Any
    state: TrainState
    data: Batch


def make_run(method: str, width: int, arrays: Arrays, steps: int = 1000) -> Run:
    """A run of a method, or of a file in configs/methods; all but the width is at its default."""
    model = ModelOptions(width=width)
    if method in METHODS:
        made = METHODS[method]()
    else:
        from fsrf_jax import arguments  # it needs a package that GPU machines may lack

        made = arguments.load(f"methods/{method}").method
    recipe = Recipe(made, Task(), model, Missing(), OptimizerOptions(), steps, epochs=1)
    data = jax.tree.map(jnp.asarray, batch_of(arrays))
    example = jax.tree.map(lambda x: x[:1], data)
    static, hyper = split(recipe)
    wanted = made.teacher_method()
    teacher = None
    if wanted is not None:
        learnt = split(wanted.method)[0]
        init = jax.jit(lambda: learnt.init(static.setting, example, jax.random.key(1)))
        teacher = init()["inference"]
    state = jax.jit(partial(init_state, static))(example, jax.random.key(0))
    return Run(static, hyper, teacher, state, data)


def batch_of(arrays: Arrays) -> Batch:
    """Samples as the training takes them."""
    features, present, labels, weights = arrays
    return Batch(features, present, present, labels, weights)


@jax.jit(static_argnames="recipe", donate_argnames="state")
def some_steps(
    recipe: Recipe, state: TrainState, data: Batch, hyper: Hyper, teacher: Any, index: jax.Array
) -> tuple[TrainState, jax.Array]:
    """The steps of an epoch, as `run_epoch` takes them; `index` [steps, b] are the samples."""

    def body(state: TrainState, index_b: jax.Array) -> tuple[TrainState, jax.Array]:
        state, terms = train_step(recipe, state, take(data, index_b), hyper, teacher)
        return state, terms["total"]

    return jax.lax.scan(body, state, index)


def training(run: Run, batch: int, steps: int) -> tuple[Program, float]:
    """A program of some steps, and the floating-point operations of one of them."""
    index = jnp.asarray(index_of(len(run.data.labels), batch, steps))
    arguments = run.data, run.hyper, run.teacher, index
    compiled = some_steps.lower(run.recipe, run.state, *arguments).compile()
    rows = take(run.data, index[0])
    flops = _flops(partial(train_step, run.recipe), run.state, rows, run.hyper, run.teacher)
    state = jax.tree.map(jnp.copy, run.state)

    def program() -> None:
        nonlocal state
        state, totals = jax.block_until_ready(compiled(state, *arguments))
        assert jnp.isfinite(totals[-1])

    return program, flops


def predicting(run: Run, batch: int, batches: int) -> tuple[Program, float]:
    """A program that predicts some batches, and the operations of one of them."""
    method, setting = run.recipe.method, run.recipe.setting
    data = jax.tree.map(lambda x: x[: batch * batches], run.data)

    def predict(inference: Any, data: Batch) -> jax.Array:
        return predict_rows(method, setting, None, inference, data, data.present, batch)

    inference = run.state.parameters["inference"]
    compiled = jax.jit(predict).lower(inference, data).compile()
    flops = _flops(predict, inference, take(data, jnp.arange(batch)))

    def program() -> None:
        jax.block_until_ready(compiled(inference, data))

    return program, flops


def epochs(run: Run, batch: int, valid: Arrays) -> Program:
    """A program of one whole epoch with its validation, as a run has it."""
    steps = -(-len(run.data.labels) // batch)
    recipe = dataclasses.replace(run.recipe, steps_per_epoch=steps)
    hyper = run.hyper | {"epochs": jnp.float32(1000)}
    rows = jax.tree.map(jnp.asarray, batch_of(valid))
    observed = jax.tree.map(lambda mask: jnp.stack([mask] * 2), rows.present)
    validation = Validation(rows, observed)
    epoch = jax.jit(partial(run_epoch, recipe, None))
    state = run.state

    def program() -> None:
        nonlocal state
        given = state, run.data, validation, hyper, run.teacher
        state, _, _ = jax.block_until_ready(epoch(*given))

    return program


def matrix_product(n: int) -> tuple[Program, float]:
    """A product of two float32 matrices [n, n], and its operations."""
    x = jax.random.normal(jax.random.key(0), (n, n))
    product: Callable[[jax.Array], jax.Array] = jax.jit(lambda x: x @ x)

    def program() -> None:
        jax.block_until_ready(product(x))

    return program, 2.0 * n**3


def _flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Operations of a function with all rows at a time: XLA counts the body of a loop once."""

    def anew(*arguments: Any) -> Any:  # else what was traced before would be counted
        return function(*arguments)

    with mock.patch.object(chunks, "BUDGET", math.inf):
        analysis = jax.jit(anew).lower(*arguments).cost_analysis()
    return float((analysis or {}).get("flops", 0.0))
