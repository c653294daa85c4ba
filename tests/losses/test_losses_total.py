import dataclasses
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest

from fsrf_jax.errors import ConfigError
from fsrf_jax.losses import LossOptions, total_loss
from fsrf_jax.types import LossWeights

BATCH = reference.example_batch()
OPTIONS = LossOptions()
NAMES = [field.name for field in dataclasses.fields(LossWeights)]


@jax.jit
def value_and_gradients(outputs, batch, weights):
    return jax.value_and_grad(total_loss, has_aux=True)(outputs, batch, weights, OPTIONS)


@partial(jax.jit, static_argnames="options")
def terms_of(outputs, options=OPTIONS):
    return total_loss(outputs, BATCH, reference.example_weights(), options)[1]


def gradients(weights):
    """Of the total with respect to the outputs, as one flat vector."""
    leaves = jax.tree.leaves(value_and_gradients(reference.example_outputs(), BATCH, weights)[1])
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def test_total_is_the_weighted_sum_of_the_raw_terms():
    weights = reference.example_weights()
    (total, terms), _ = value_and_gradients(reference.example_outputs(), BATCH, weights)
    assert set(terms) == {"task", "total", *NAMES}
    expected = terms["task"] + sum(getattr(weights, name) * terms[name] for name in NAMES)
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert terms["total"] == total
    assert all(terms[name] > 0 for name in NAMES)


def test_raw_terms_do_not_depend_on_the_weights():
    outputs = reference.example_outputs()
    (_, some), _ = value_and_gradients(outputs, BATCH, reference.example_weights())
    (_, none), _ = value_and_gradients(outputs, BATCH, reference.example_weights(0))
    del some["total"], none["total"]
    chex.assert_trees_all_equal(some, none)


def test_task_is_the_mean_over_views():
    outputs = reference.example_outputs()
    (_, terms), _ = value_and_gradients(outputs, BATCH, reference.example_weights())
    errors = np.abs(np.asarray(outputs.prediction) - np.asarray(BATCH.labels))
    expected = np.average(errors, axis=1, weights=BATCH.weights).mean()
    np.testing.assert_allclose(terms["task"], expected, rtol=1e-6)


def test_views_without_a_term_are_left_out_of_its_mean():
    """Audio alone in view 0, everything in view 1: pairs of modalities exist in view 1 only."""
    outputs = reference.example_outputs(available=dict.fromkeys(reference.MODALITIES, 1))
    view_1 = jax.tree.map(lambda x: x[1:], outputs)
    available = dict(outputs.codes.available)
    for m in ("language", "vision"):
        available[m] = available[m].at[0].set(0)
    outputs = outputs.replace(codes=outputs.codes.replace(available=available))
    (_, terms), _ = value_and_gradients(outputs, BATCH, reference.example_weights())
    alone = terms_of(view_1)
    np.testing.assert_allclose(terms["homogeneous"], alone["homogeneous"], rtol=1e-5)
    assert alone["feature_distillation"] == alone["prediction_distillation"] == 0


def test_three_views_are_distilled_in_every_pair():
    outputs = reference.example_outputs(k=3)
    y = np.asarray(outputs.prediction)
    squares = [np.square(y[i] - y[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    terms = terms_of(outputs)
    expected = np.average(squares, axis=1, weights=BATCH.weights).mean()
    np.testing.assert_allclose(terms["prediction_distillation"], expected, rtol=1e-5)


def test_without_weights_only_the_task_is_learnt():
    outputs = reference.example_outputs()
    _, gradient = value_and_gradients(outputs, BATCH, reference.example_weights(0))
    prediction, labels, weights = map(np.asarray, (outputs.prediction, BATCH.labels, BATCH.weights))
    slope = np.sign(prediction - labels) * weights / weights.sum() / 2
    np.testing.assert_allclose(gradient.prediction, slope, rtol=1e-5)
    others = (gradient.auxiliary, gradient.codes)
    chex.assert_trees_all_equal(others, jax.tree.map(jnp.zeros_like, others))


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_of_zero_takes_the_gradient_of_its_term_away(name):
    weights, none = reference.example_weights(), reference.example_weights(0)
    alone = gradients(dataclasses.replace(none, **{name: jnp.float32(1)})) - gradients(none)
    assert np.abs(alone).sum() > 0
    without = gradients(dataclasses.replace(weights, **{name: jnp.float32(0)}))
    expected = without + getattr(weights, name) * alone
    np.testing.assert_allclose(gradients(weights), expected, rtol=1e-4, atol=1e-6)


def test_changing_a_weight_does_not_trace_again():
    chex.clear_trace_counter()
    loss = jax.jit(chex.assert_max_traces(total_loss, n=1), static_argnames="options")
    outputs = reference.example_outputs()
    for value in (0.0, 0.5, 3.0):
        # An equal but separate object: options are hashed by value.
        loss(outputs, BATCH, reference.example_weights(value), options=LossOptions())


def test_a_grid_of_weights_is_one_vmap():
    outputs = reference.example_outputs()
    members = [reference.example_weights(value) for value in (0.0, 0.5)]
    grid = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    loss = jax.jit(jax.vmap(total_loss, in_axes=(None, None, 0, None)), static_argnums=3)
    totals, _ = loss(outputs, BATCH, grid, OPTIONS)
    for total, weights in zip(totals, members, strict=True):
        alone = value_and_gradients(outputs, BATCH, weights)[0][0]
        np.testing.assert_allclose(total, alone, rtol=1e-6)


@pytest.mark.parametrize("available", [0, 1])
def test_batch_without_weight(available):
    outputs = reference.example_outputs(available=dict.fromkeys(reference.MODALITIES, available))
    empty = BATCH.replace(weights=jnp.zeros_like(BATCH.weights))
    (_, terms), gradient = value_and_gradients(outputs, empty, reference.example_weights())
    assert all(value == 0 for value in terms.values())
    chex.assert_trees_all_equal(gradient, jax.tree.map(jnp.zeros_like, gradient))


@pytest.mark.parametrize("present", [(), ("audio",), ("language", "vision")])
def test_missing_modalities(present):
    available = {m: float(m in present) for m in reference.MODALITIES}
    outputs = reference.example_outputs(available=available)
    (_, terms), gradient = value_and_gradients(outputs, BATCH, reference.example_weights())
    chex.assert_tree_all_finite((terms, gradient))
    for name in ("heterogeneous", "noise", "redundancy", "reconstruction"):
        assert (terms[name] > 0) == (len(present) > 0)
    assert (terms["homogeneous"] > 0) == (len(present) > 1)
    assert terms["feature_distillation"] > 0


def test_rows_that_only_fill_the_batch_up_change_nothing():
    outputs = reference.example_outputs()
    kept = slice(0, 14)
    small = jax.tree.map(lambda x: x[:, kept], outputs)
    batch = jax.tree.map(lambda x: x[kept], BATCH)
    (_, terms), all_gradients = value_and_gradients(outputs, BATCH, reference.example_weights())
    (_, expected), small_gradients = value_and_gradients(small, batch, reference.example_weights())
    chex.assert_trees_all_close(terms, expected, rtol=1e-5)
    all_gradients = all_gradients.replace(codes=all_gradients.codes.replace(available={}))
    small_gradients = small_gradients.replace(codes=small_gradients.codes.replace(available={}))
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[:, kept], all_gradients), small_gradients, rtol=1e-4, atol=1e-7
    )
    for leaf in jax.tree.leaves(jax.tree.map(lambda x: x[:, 14:], all_gradients)):
        np.testing.assert_array_equal(leaf, 0)


def test_options_reach_their_terms():
    outputs = reference.example_outputs()
    default = terms_of(outputs)
    others = LossOptions(
        task_kind="mse",
        homogeneous="mse",
        noise_bound=0.5,
        feature_distillation=((1.0, "cosine"),),
    )
    numbers = LossOptions(temperature=0.5, noise_floor=2.0, mmd_multiples=(1.0,))
    changed_by_numbers = {"homogeneous", "noise", "feature_distillation", "total"}
    for options, changed in (
        (others, changed_by_numbers | {"task", "heterogeneous"}),
        (numbers, changed_by_numbers),
    ):
        terms = terms_of(outputs, options)
        assert {name for name in default if not np.allclose(terms[name], default[name])} == changed


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("task_kind", "l2", "task_kind is 'l2'; it must be one of: huber, l1, mse"),
        ("homogeneous", "nce", "one of: cosine, infonce, mmd, mse"),
        ("redundancy", "cos", "redundancy is 'cos'"),
        ("feature_distillation", ((1.0, "mdd"),), "feature_distillation is 'mdd'"),
        ("temperature", 0.0, "temperature is 0.0; it must be above 0"),
        ("noise_bound", -1.0, "noise_bound is -1.0"),
        ("noise_floor", -1.0, "noise_floor is -1.0"),
        ("mmd_multiples", (), "mmd_multiples is empty"),
        ("mmd_multiples", (1.0, 0.0), "mmd_multiples is 0.0"),
    ],
)
def test_wrong_options_are_refused(option, value, message):
    with pytest.raises(ConfigError, match=message):
        LossOptions(**{option: value})


SHARDED = """
import sys, jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import losses_reference as reference
from fsrf_jax.losses import LossOptions, total_loss

assert len(jax.devices()) == 8
weights = reference.example_weights()
loss = jax.jit(jax.value_and_grad(lambda o, b: total_loss(o, b, weights, LossOptions())[0]))
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
outputs = jax.device_put(reference.example_outputs(), NamedSharding(mesh, P(None, "data")))
batch = jax.device_put(reference.example_batch(), NamedSharding(mesh, P("data")))
np.savez(sys.argv[1], *jax.tree.leaves(loss(outputs, batch)))
"""


def test_8_devices_agree_with_1(tmp_path):
    here = str(Path(__file__).parent)
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles faster
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
    }
    file = tmp_path / "sharded.npz"
    command = [sys.executable, "-c", SHARDED, str(file)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (value, _), gradient = value_and_gradients(
        reference.example_outputs(), BATCH, reference.example_weights()
    )
    leaves = jax.tree.leaves((value, gradient))
    with np.load(file) as sharded:
        for i, leaf in enumerate(leaves):
            np.testing.assert_allclose(sharded[f"arr_{i}"], leaf, rtol=1e-4, atol=1e-6)
        assert len(sharded.files) == len(leaves)
