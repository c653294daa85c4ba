import dataclasses
import os
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest

from fsrf_jax.losses import LossOptions, distillation, total_loss
from fsrf_jax.types import LossWeights

BATCH = reference.example_batch()
OPTIONS = LossOptions()
WEIGHTS = reference.example_weights()
NAMES = list(WEIGHTS.by_name())
DISTILLATION = ("feature_distillation.mmd", "feature_distillation.mse", "prediction_distillation")
jit = partial(jax.jit, compiler_options=reference.QUICK)
traced = []


@partial(jit, static_argnums=3)
def compiled(outputs, batch, weights, options):
    traced.append(options)  # not when the program runs
    return jax.value_and_grad(total_loss, has_aux=True)(outputs, batch, weights, options)


def value_and_gradients(outputs, batch, weights, options=OPTIONS):
    return compiled(outputs, batch, weights, options)


@partial(jit, static_argnames="options")
def raw_terms(outputs, batch, weights, options):
    return total_loss(outputs, batch, weights, options)[1]


@cache
def terms_of(changes=(), divergences=("mmd", "mse"), k=2):
    """Raw terms with some options changed, of outputs that have all that these ask for."""
    options = reference.options_with(dict(changes))
    outputs = reference.example_outputs(k=k, **reference.heads_for(options))
    batch = reference.example_batch(form=options.task.form)
    weights = reference.example_weights(divergences=divergences)
    return jax.device_get(raw_terms(outputs, batch, weights, options))


def single_weight(name, value=1):
    """The weights of which only one is not 0."""
    none = reference.example_weights(0)
    if "." not in name:
        return dataclasses.replace(none, **{name: jnp.float32(value)})
    term, part = name.split(".")
    return dataclasses.replace(none, **{term: getattr(none, term) | {part: jnp.float32(value)}})


def gradients(weights):
    """Of the total with respect to the outputs, as one flat vector."""
    leaves = jax.tree.leaves(value_and_gradients(reference.example_outputs(), BATCH, weights)[1])
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def test_total_is_the_weighted_sum_of_the_raw_terms():
    (total, terms), _ = value_and_gradients(reference.example_outputs(), BATCH, WEIGHTS)
    assert set(terms) == {"task", "total", *NAMES}
    assert len(NAMES) == 9
    weights = WEIGHTS.by_name()
    expected = terms["task"] + sum(weights[name] * terms[name] for name in NAMES)
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert terms["total"] == total
    assert all(terms[name] > 0 for name in NAMES)


def test_raw_terms_do_not_depend_on_the_weights():
    outputs = reference.example_outputs()
    (_, some), _ = value_and_gradients(outputs, BATCH, WEIGHTS)
    (_, none), _ = value_and_gradients(outputs, BATCH, reference.example_weights(0))
    del some["total"], none["total"]
    chex.assert_trees_all_equal(some, none)


def test_task_is_the_mean_over_views():
    outputs = reference.example_outputs()
    (_, terms), _ = value_and_gradients(outputs, BATCH, WEIGHTS)
    errors = np.abs(np.asarray(outputs.prediction)[:, :, 0] - np.asarray(BATCH.labels))
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
    (_, terms), _ = value_and_gradients(outputs, BATCH, WEIGHTS)
    alone = raw_terms(view_1, BATCH, WEIGHTS, OPTIONS)
    np.testing.assert_allclose(terms["homogeneous"], alone["homogeneous"], rtol=1e-5)
    assert all(alone[name] == 0 for name in DISTILLATION)


def test_three_views_are_distilled_in_every_pair():
    y = np.asarray(reference.example_outputs(k=3).prediction)[:, :, 0]
    squares = [np.square(y[i] - y[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = np.average(squares, axis=1, weights=BATCH.weights).mean()
    np.testing.assert_allclose(terms_of(k=3)["prediction_distillation"], expected, rtol=1e-5)


def test_without_weights_only_the_task_is_learnt():
    outputs = reference.example_outputs()
    _, gradient = value_and_gradients(outputs, BATCH, reference.example_weights(0))
    prediction, labels, weights = map(np.asarray, (outputs.prediction, BATCH.labels, BATCH.weights))
    slope = np.sign(prediction[:, :, 0] - labels) * weights / weights.sum() / 2
    np.testing.assert_allclose(gradient.prediction[:, :, 0], slope, rtol=1e-5)
    others = (gradient.auxiliary, gradient.codes, gradient.completeness)
    chex.assert_trees_all_equal(others, jax.tree.map(jnp.zeros_like, others))


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_of_zero_takes_the_gradient_of_its_term_away(name):
    alone = gradients(single_weight(name)) - gradients(reference.example_weights(0))
    assert np.abs(alone).sum() > 0
    weight = WEIGHTS.by_name()[name]
    without = jax.tree.map(jnp.subtract, WEIGHTS, single_weight(name, weight))
    expected = gradients(without) + weight * alone
    np.testing.assert_allclose(gradients(WEIGHTS), expected, rtol=1e-4, atol=1e-6)


def test_changing_a_weight_does_not_trace_again():
    outputs = reference.example_outputs()
    value_and_gradients(outputs, BATCH, WEIGHTS)
    before = len(traced)
    assert before > 0
    for value in (0.0, 0.5, 3.0):
        # An equal but separate object: options are hashed by value.
        weights = reference.example_weights(value)
        value_and_gradients(outputs, BATCH, weights, LossOptions())
    assert len(traced) == before


def test_a_grid_of_weights_is_one_vmap():
    outputs = reference.example_outputs()
    members = [reference.example_weights(value) for value in (0.0, 0.5)]
    grid = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    loss = jit(jax.vmap(total_loss, in_axes=(None, None, 0, None)), static_argnums=3)
    totals, _ = loss(outputs, BATCH, grid, OPTIONS)
    for total, weights in zip(totals, members, strict=True):
        alone = value_and_gradients(outputs, BATCH, weights)[0][0]
        np.testing.assert_allclose(total, alone, rtol=1e-6)


@pytest.mark.parametrize("available", [0, 1])
def test_batch_without_weight(available):
    outputs = reference.example_outputs(available=dict.fromkeys(reference.MODALITIES, available))
    empty = BATCH.replace(weights=jnp.zeros_like(BATCH.weights))
    (_, terms), gradient = value_and_gradients(outputs, empty, WEIGHTS)
    assert all(value == 0 for value in terms.values())
    chex.assert_trees_all_equal(gradient, jax.tree.map(jnp.zeros_like, gradient))


@pytest.mark.parametrize("present", [(), ("audio",), ("language", "vision")])
def test_missing_modalities(present):
    available = {m: float(m in present) for m in reference.MODALITIES}
    outputs = reference.example_outputs(available=available)
    (_, terms), gradient = value_and_gradients(outputs, BATCH, WEIGHTS)
    chex.assert_tree_all_finite((terms, gradient))
    for name in ("heterogeneous", "noise", "variance_floor", "redundancy", "reconstruction"):
        assert (terms[name] > 0) == (len(present) > 0)
    assert (terms["homogeneous"] > 0) == (len(present) > 1)
    assert all(terms[name] > 0 for name in DISTILLATION)


def test_rows_that_only_fill_the_batch_up_change_nothing():
    """Whatever they hold; that they may be left out as well is tested of every term."""
    outputs, other = reference.example_outputs(), reference.example_outputs(seed=1)
    mixed = jax.tree.map(lambda x, y: x.at[:, 14:].set(y[:, 14:]), outputs, other)
    labels = BATCH.labels.at[14:].set(0)
    (_, terms), gradient = value_and_gradients(outputs, BATCH, WEIGHTS)
    same = value_and_gradients(mixed, BATCH.replace(labels=labels), WEIGHTS)
    chex.assert_trees_all_close(same[0][1], terms, rtol=1e-6)
    chex.assert_trees_all_close(same[1], gradient, rtol=1e-5, atol=1e-7)
    for leaf in jax.tree.leaves(jax.tree.map(lambda x: x[:, 14:], gradient)):
        np.testing.assert_array_equal(leaf, 0)


# Options that reach different terms are changed together, as each change is a program to compile:
# options in common, divergences, and each option with its other value and the terms it changes.
CONTRAST = {"heterogeneous.kind": "contrastive", "noise.kind": "dependence"}
NUMBERED = ("cmd", "gaussian_kl", "sinkhorn", "sliced_wasserstein")
REACH = {
    "measures": (
        {},
        ("mmd", "mse"),
        {
            "task.kind": ("mse", ("task", "heterogeneous")),
            "homogeneous.divergence": ("cosine", ("homogeneous",)),
            "noise.bound": (0.5, ("noise",)),
            "noise.floor": (2.0, ("variance_floor",)),
            "redundancy.dependence": ("hsic", ("redundancy",)),
            "reconstruction.target": ("view", ("reconstruction",)),
            "distillation.direction": ("off", DISTILLATION),
        },
    ),
    "kinds": (
        {},
        ("mmd", "mse"),
        {
            "heterogeneous.kind": ("modality", ("heterogeneous",)),
            "noise.kind": ("bottleneck", ("noise",)),
            "redundancy.dependence": ("cosine_squared", ("redundancy",)),
            "reconstruction.crossed": (True, ("reconstruction",)),
            "distillation.direction": ("to_less_complete", DISTILLATION),
            "measures.temperature": (0.5, ("homogeneous",)),
        },
    ),
    "other kinds": (
        {},
        ("mmd", "mse"),
        {
            "heterogeneous.kind": ("contrastive", ("heterogeneous",)),
            "noise.kind": ("uniform", ("noise",)),
            "redundancy.dependence": ("orthogonality", ("redundancy",)),
            "distillation.weigh_teacher": (True, DISTILLATION),
        },
    ),
    "numbers": (
        CONTRAST,
        ("mmd", "sinkhorn"),
        {
            "heterogeneous.temperature": (0.5, ("heterogeneous",)),
            "noise.dependence": ("cross_correlation", ("noise",)),
            "distillation.codes": (
                ("fused",),
                ("feature_distillation.mmd", "feature_distillation.sinkhorn"),
            ),
        },
    ),
    "other numbers": (
        CONTRAST,
        ("mmd", "sinkhorn"),
        {
            "heterogeneous.bandwidth": (1.0, ("heterogeneous",)),
            "noise.dependence": ("orthogonality", ("noise",)),
            "measures.mmd_multiples": ((1.0,), ("feature_distillation.mmd",)),
            "measures.iterations": (1, ("feature_distillation.sinkhorn",)),
        },
    ),
    "numbers of divergences": (
        {"task.kind": "cross_entropy"},
        NUMBERED,
        {
            "measures.cmd_moments": (3, ("feature_distillation.cmd",)),
            "measures.gaussian_floor": (0.1, ("feature_distillation.gaussian_kl",)),
            "measures.projections": (3, ("feature_distillation.sliced_wasserstein",)),
            "measures.blur": (1.0, ("feature_distillation.sinkhorn",)),
            "distillation.temperature": (4.0, ("prediction_distillation",)),
        },
    ),
}


@pytest.mark.parametrize("group", sorted(REACH))
def test_options_reach_their_terms_and_no_other(group):
    common, divergences, changes = REACH[group]
    default = terms_of(tuple(common.items()), divergences)
    changed = common | {name: value for name, (value, _) in changes.items()}
    terms = terms_of(tuple(changed.items()), divergences)
    reached = [term for _, of_option in changes.values() for term in of_option]
    assert len(reached) == len(set(reached))
    differ = {name for name in default if not np.allclose(terms[name], default[name], rtol=1e-4)}
    assert differ == {"total", *reached}


def test_every_option_is_among_those_that_reach_their_terms():
    tried = {name for _, _, changes in REACH.values() for name in changes}
    every = {
        f"{section.name}.{option.name}"
        for section in dataclasses.fields(LossOptions)
        for option in dataclasses.fields(getattr(OPTIONS, section.name))
    }
    # Warm-up belongs to the training; the other two have tests of their own.
    others = {"distillation.warmup", "distillation.prediction", "redundancy.held"}
    assert every - tried == others


@pytest.mark.parametrize("held", ["homogeneous", "none"])
def test_redundancy_teaches_homogeneous_codes_only_where_they_are_not_held(held):
    weights = dataclasses.replace(reference.example_weights(0), redundancy=jnp.float32(1))
    options = reference.options_with({"redundancy.held": held})
    outputs = reference.example_outputs()
    _, gradient = value_and_gradients(outputs, BATCH, weights, options)
    for code in (gradient.codes.heterogeneous, gradient.codes.noise):
        assert all(np.abs(x).max() > 1e-5 for x in code.values())
    largest = max(np.abs(x).max() for x in gradient.codes.homogeneous.values())
    assert (largest == 0) if held == "homogeneous" else (largest > 1e-5)


def test_task_alone_is_the_same_loss_of_another_head():
    terms = terms_of((("heterogeneous.kind", "task_alone"),))
    chex.assert_trees_all_close(terms, terms_of(), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "prediction", "expected"),
    [
        ("l1", "auto", distillation.squared),
        ("gaussian", "auto", distillation.squared),
        ("gaussian", "gaussian_kl", distillation.gaussian_kl),
        ("cross_entropy", "auto", partial(distillation.kl, temperature=2.0)),
        ("cross_entropy", "kl", partial(distillation.kl, temperature=2.0)),
        ("binary_cross_entropy", "auto", partial(distillation.binary_kl, temperature=2.0)),
    ],
)
def test_predictions_disagree_as_the_labels_ask(kind, prediction, expected):
    options = reference.options_with(
        {
            "task.kind": kind,
            "distillation.prediction": prediction,
            "distillation.temperature": 2.0,
        }
    )
    outputs = reference.example_outputs(**reference.heads_for(options))
    batch = reference.example_batch(form=options.task.form)

    @jit
    def both(outputs):
        terms = total_loss(outputs, batch, WEIGHTS, options)[1]
        w = batch.weights
        alone = distillation.predictions(*outputs.prediction, w, w, expected)
        return terms["prediction_distillation"], alone.value

    value, alone = both(outputs)
    np.testing.assert_allclose(value, alone, rtol=1e-5)


@pytest.mark.parametrize("target", ["view", "complete"])
def test_target_of_the_decoders(target):
    """The encoding of the same view, or of the last one, held still."""
    options = reference.options_with({"reconstruction.target": target})
    outputs = reference.example_outputs(k=3, **reference.heads_for(options))

    @jit
    @jax.value_and_grad
    def reconstruction(pooled):
        codes = outputs.codes.replace(pooled=pooled)
        changed = outputs.replace(codes=codes)
        return total_loss(changed, BATCH, WEIGHTS, options)[1]["reconstruction"]

    value, gradient = reconstruction(outputs.codes.pooled)
    errors = [
        np.mean(
            [
                reference.mse(
                    np.asarray(outputs.auxiliary.reconstruction[m][k]),
                    np.asarray(outputs.codes.pooled[m][k if target == "view" else -1]),
                    np.asarray(outputs.codes.available[m][k] * BATCH.weights),
                )
                for m in reference.MODALITIES
            ]
        )
        for k in range(3)
    ]
    np.testing.assert_allclose(value, np.mean(errors), rtol=1e-5)
    chex.assert_trees_all_equal(gradient, jax.tree.map(jnp.zeros_like, gradient))


def test_only_the_more_complete_view_teaches():
    """View 1 is complete: its predictions feel nothing of distillation."""
    options = reference.options_with({"distillation.direction": "to_less_complete"})
    outputs = reference.example_outputs()
    completeness = outputs.completeness.at[1].set(1)

    @jit
    @jax.grad
    def slope(prediction):
        changed = outputs.replace(prediction=prediction, completeness=completeness)
        return total_loss(changed, BATCH, WEIGHTS, options)[1]["prediction_distillation"]

    gradient = slope(outputs.prediction)
    assert np.abs(gradient[0]).sum() > 0
    np.testing.assert_array_equal(gradient[1], 0)


def test_divergences_are_those_that_have_a_weight():
    names = [f"feature_distillation.{name}" for name in NUMBERED]
    terms = terms_of((("task.kind", "cross_entropy"),), NUMBERED)
    assert [name for name in sorted(terms) if name.startswith("feature")] == sorted(names)
    assert all(terms[name] > 0 for name in names)


def test_without_divergences_there_is_no_feature_distillation():
    terms = terms_of(divergences=())
    default = terms_of()
    assert set(terms) == set(default) - set(DISTILLATION[:2])
    for name in set(terms) - {"total"}:
        np.testing.assert_allclose(terms[name], default[name], rtol=1e-5)


def test_shapes_are_checked():
    outputs = reference.example_outputs()
    flat = outputs.replace(prediction=outputs.prediction[:, :, 0])
    with pytest.raises(AssertionError):
        total_loss(flat, BATCH, WEIGHTS, OPTIONS)
    short = BATCH.replace(labels=BATCH.labels[:8])
    with pytest.raises(AssertionError):
        total_loss(outputs, short, WEIGHTS, OPTIONS)


def test_names_of_the_weights():
    weights = reference.example_weights(divergences=("sinkhorn", "cmd"))
    names = list(weights.by_name())
    assert names[-3:] == [
        "feature_distillation.cmd",
        "feature_distillation.sinkhorn",
        "prediction_distillation",
    ]
    assert len(names) == len(dataclasses.fields(LossWeights)) + 1


OTHER = {
    "task.kind": "binary_cross_entropy",
    "homogeneous.divergence": "gaussian_kl",
    "heterogeneous.kind": "contrastive",
    "noise.kind": "uniform",
    "redundancy.dependence": "hsic",
    "reconstruction.target": "complete",
    "reconstruction.crossed": True,
    "distillation.direction": "to_less_complete",
    "distillation.weigh_teacher": True,
}
SHARDED = """
import sys, jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import test_losses_total as case

assert len(jax.devices()) == 8
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
leaves = []
for outputs, batch, weights, options in case.sharded_cases():
    outputs = jax.device_put(outputs, NamedSharding(mesh, P(None, "data")))
    batch = jax.device_put(batch, NamedSharding(mesh, P("data")))
    leaves += jax.tree.leaves(case.value_and_gradients(outputs, batch, weights, options))
np.savez(sys.argv[1], *leaves)
"""


def sharded_cases():
    """Default options, and as many others as go together."""
    for changes, divergences in (({}, ("mmd", "mse")), (OTHER, ())):
        options = reference.options_with(changes)
        outputs = reference.example_outputs(**reference.heads_for(options))
        batch = reference.example_batch(form=options.task.form)
        yield outputs, batch, reference.example_weights(divergences=divergences), options


def test_8_devices_agree_with_1(tmp_path):
    here = str(Path(__file__).parent)
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
    }
    file = tmp_path / "sharded.npz"
    command = [sys.executable, "-c", SHARDED, str(file)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    leaves = [
        leaf for case in sharded_cases() for leaf in jax.tree.leaves(value_and_gradients(*case))
    ]
    with np.load(file) as sharded:
        for i, leaf in enumerate(leaves):
            np.testing.assert_allclose(sharded[f"arr_{i}"], leaf, rtol=1e-4, atol=1e-6)
        assert len(sharded.files) == len(leaves)
