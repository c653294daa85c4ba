"""Rows in, predictions or codes out: any number of rows, any method, any number of devices."""

import dataclasses
import functools
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_case import with_flags
from lazy_case import staying
from linear_method import Linear

from fsrf_jax import inference, sharding
from fsrf_jax.data.dataset import Split
from fsrf_jax.data.synthetic import SyntheticOptions, make_world, sample
from fsrf_jax.errors import UserError
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.evaluation.protocols.registry import Condition
from fsrf_jax.inference import (
    Gaussian,
    make_batch,
    make_encoder,
    make_predictor,
    map_rows,
    predict_in_parts,
)
from fsrf_jax.losses import Task
from fsrf_jax.methods import Fsrf, Setting
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import split as static_part
from fsrf_jax.types import View

MODALITIES = ("language", "audio", "vision")
N = 13
MESH = sharding.data_mesh()
MODEL = ModelOptions(width=4, heads=1, encoder_layers=0, expansion=1, kernel=1)
TASKS = {
    kind: Task(kind, outputs)
    for kind, outputs in (
        *(("l1", 1), ("mse", 1), ("huber", 1), ("gaussian", 1)),
        *(("cross_entropy", 3), ("binary_cross_entropy", 2)),
    )
}
CODES = ("pooled", "homogeneous", "heterogeneous", "noise")


@functools.cache
def make_split(count=N):
    options = SyntheticOptions(frames=5, min_frames=2)
    return sample(make_world(options, MODALITIES), "test", count)[0]


@pytest.fixture(scope="module")
def split():
    return make_split()


def rows_of(split, rows):
    return Split(
        ids=split.ids[rows],
        features={m: x[rows] for m, x in split.features.items()},
        valid={m: v[rows] for m, v in split.valid.items()},
        labels=split.labels[rows],
    )


def cached(method, kind="l1"):
    """What `make_predictor` and `make_encoder` begin with, for a method with random parameters."""
    return method, Setting(TASKS[kind], MODEL), MESH, parameters_of(method, kind)


@functools.cache
def parameters_of(method, kind):
    setting, batch = Setting(TASKS[kind], MODEL), make_batch(make_split().head(1))
    if kind == "binary_cross_entropy":
        batch = batch.replace(labels=jnp.zeros((1, TASKS[kind].outputs)))
    init = jax.jit(lambda key: method.init(setting, batch, key)["inference"])
    return init(jax.random.key(0))


FSRF, _ = static_part(Fsrf())
LINEAR, _ = static_part(Linear())


def predictor(split, batch_size=512, kind="l1", method=FSRF):
    return make_predictor(*cached(method, kind), split, batch_size)


def encoder(split, batch_size=512, method=FSRF):
    return make_encoder(*cached(method), split, batch_size)


def some_masks(split, seed=0):
    """Some frames, some modalities, and nothing at all of the last sample."""
    rng = np.random.default_rng(seed)
    masks = {}
    for m, valid in split.valid.items():
        masks[m] = valid & (rng.random(valid.shape) < 0.6) & (rng.random((len(valid), 1)) < 0.7)
        masks[m][-1] = False
    return masks


def test_batch(split):
    split = dataclasses.replace(
        split, features={m: np.asarray(x, np.float64) for m, x in split.features.items()}
    )
    batch = make_batch(split)
    np.testing.assert_array_equal(batch.weights, np.ones(N))
    assert batch.labels.dtype == batch.weights.dtype == np.float32
    np.testing.assert_array_equal(batch.labels, np.asarray(split.labels, np.float32))
    for m in MODALITIES:
        assert batch.features[m].dtype == np.float32
        np.testing.assert_array_equal(batch.features[m], split.features[m].astype(np.float32))
        np.testing.assert_array_equal(batch.valid[m], split.valid[m])


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 23])
@pytest.mark.parametrize("batch_size", [1, 8, 9, 512])
def test_map_rows_takes_every_row_once_and_in_its_place(n, batch_size):
    """Rows may be on any axis of what the function gives."""
    sizes = []

    def function(inputs):
        x_b, tree = inputs
        sizes.append(len(x_b))
        y_bf = tree["y"]
        return {
            "first": x_b,
            "second": (y_bf.T, jnp.stack([y_bf.T, -y_bf.T])[:, None]),
            "third": y_bf[:, None] * x_b[:, None, None],
        }

    x_n = jnp.arange(n, dtype=jnp.float32)
    y_nf = jnp.stack([x_n, x_n**2, 1 / (1 + x_n)], axis=1)
    axes = {"first": 0, "second": (1, 3), "third": 0}
    mapped = jax.jit(lambda *inputs: map_rows(function, MESH, inputs, batch_size, axes))
    found = mapped(x_n, {"y": y_nf})
    np.testing.assert_array_equal(found["first"], x_n)
    np.testing.assert_array_equal(found["second"][0], y_nf.T)
    np.testing.assert_array_equal(found["second"][1], np.stack([y_nf.T, -y_nf.T])[:, None])
    np.testing.assert_allclose(found["third"], y_nf[:, None] * x_n[:, None, None], rtol=1e-6)
    assert set(sizes) == {sharding.padded_rows(min(n, batch_size))}


@pytest.mark.parametrize("axis", [0, 1])
def test_map_rows_with_one_axis_for_all_and_without_a_mesh(axis):
    x_nf = jnp.arange(22.0).reshape(11, 2)

    def function(x_bf):
        return {"a": jnp.moveaxis(x_bf, 0, axis), "b": (jnp.moveaxis(x_bf + 1, 0, axis),)}

    found = map_rows(function, None, x_nf, 8, axis)
    expected = np.moveaxis(np.asarray(x_nf), 0, axis)
    np.testing.assert_array_equal(found["a"], expected)
    np.testing.assert_array_equal(found["b"][0], expected + 1)


@pytest.mark.parametrize("kind", TASKS)
def test_predictions_are_one_a_sample_whatever_the_batch(split, kind):
    """And whatever the number of samples: every task has its form, and its metrics."""
    task, observed = TASKS[kind], some_masks(split)
    whole = predictor(split, kind=kind)(observed)
    few = predictor(split, 4, kind)(observed)  # filled up to 8 rows, so in two passes
    head = split.head(3)
    three = predictor(head, kind=kind)({m: mask[:3] for m, mask in observed.items()})
    for found, same, first in zip(*map(as_arrays, (whole, few, three)), strict=True):
        np.testing.assert_allclose(same, found, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(first, found[:3], rtol=1e-5, atol=1e-6)
        assert len(np.unique(found.reshape(N, -1)[:-1], axis=0)) == N - 1
    if task.form == "number":
        assert isinstance(whole, Gaussian) == (kind == "gaussian")
        assert all(array.shape == (N,) for array in as_arrays(whole))
    else:
        assert whole.shape == (N, task.outputs)
        assert ((whole > 0) & (whole < 1)).all()
        labels = np.zeros(N) if task.form == "class" else np.zeros((N, task.outputs))
        assert np.isfinite(FAMILIES[task.form].compute(whole, labels)["cross_entropy"])
    if task.form == "class":
        np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["l1", "gaussian", "cross_entropy"])
def test_in_parts_predictions_are_the_same_and_samples_are_read_once(split, kind):
    masks, read = [some_masks(split, seed) for seed in (0, 1, 2)], []
    expected = [predictor(split, 8, kind)(mask) for mask in masks]
    given = (*cached(FSRF, kind), staying(split, read), masks, 8)
    found = predict_in_parts(*given)
    assert sum(read) == len(MODALITIES) * N
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Gaussian) == (kind == "gaussian")
        for a, b in zip(as_arrays(one), as_arrays(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def as_arrays(prediction):
    return tuple(prediction) if isinstance(prediction, Gaussian) else (prediction,)


def test_predictions_are_those_of_the_method(split):
    method, setting, _, parameters = cached(FSRF)
    batch, observed = make_batch(split), some_masks(split)
    predict = jax.jit(partial(method.predict, setting))
    expected = predict(parameters, View(batch.features, batch.valid, observed))
    found = predictor(split, 8)(observed)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_program_is_compiled_once_for_methods_that_differ_in_numbers(split):
    predictor(split, 8)(split.valid)
    compiled = inference._predict._cache_size()
    for method in (Fsrf(), Fsrf(weights=dataclasses.replace(Fsrf().weights, noise=9.0))):
        static, _ = static_part(method)
        predictor(split, 8, method=static)(some_masks(split))
    assert inference._predict._cache_size() == compiled


def test_what_is_not_observed_has_no_influence(split):
    observed = make_observer(split, (0,))(Condition("x", ("language", "vision"), 0.4), 0)
    noise = np.random.default_rng(0)
    other = dataclasses.replace(
        split,
        features={
            m: np.where(observed[m][..., None], x, noise.normal(size=x.shape)).astype(np.float32)
            for m, x in split.features.items()
        },
    )
    former = predictor(split)(observed)
    np.testing.assert_array_equal(predictor(other)(observed), former)
    assert not np.allclose(predictor(other)(split.valid), predictor(split)(split.valid))
    codes, former = encoder(other)(observed), encoder(split)(observed)
    chex.assert_trees_all_equal(codes, former)


def test_padding_has_no_influence(split):
    """More frames that are not valid, and samples beside: a sample's prediction is its own."""
    padded = dataclasses.replace(
        split,
        features={
            m: np.pad(x, ((0, 0), (0, 2), (0, 0)), constant_values=7.0)
            for m, x in split.features.items()
        },
        valid={m: np.pad(v, ((0, 0), (0, 2))) for m, v in split.valid.items()},
    )
    observed = some_masks(split)
    more = {m: np.pad(mask, ((0, 0), (0, 2))) for m, mask in observed.items()}
    found = predictor(padded)(more)
    expected = predictor(split)(observed)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    order = np.random.default_rng(1).permutation(N)
    turned = predictor(rows_of(split, order))({m: mask[order] for m, mask in observed.items()})
    np.testing.assert_allclose(turned, expected[order], rtol=1e-5, atol=1e-6)


def test_nothing_observed_gives_one_number(split):
    nothing = {m: np.zeros_like(v) for m, v in split.valid.items()}
    found = predictor(split)(nothing)
    np.testing.assert_array_equal(found, found[:1].repeat(N))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("batch_size", [1, 9, 512])
def test_codes_are_joined_along_their_own_axes(split, batch_size):
    """[m, b] and [m, b, d] along the second axis, the fused code [b, d] along the first."""
    method, setting, _, parameters = cached(FSRF)
    batch, observed = make_batch(split), some_masks(split)
    encode = jax.jit(partial(method.codes, setting))
    expected = encode(parameters, View(batch.features, batch.valid, observed))
    codes = encoder(split, batch_size)(observed)
    assert codes.modalities == tuple(sorted(MODALITIES))
    assert codes.available.shape == (3, N)
    assert {getattr(codes, name).shape for name in CODES} == {(3, N, MODEL.width)}
    assert codes.fused.shape == (N, MODEL.width)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(codes))
    chex.assert_trees_all_close(codes, jax.tree.map(np.asarray, expected), rtol=1e-5, atol=1e-6)
    for i, m in enumerate(codes.modalities):
        np.testing.assert_array_equal(codes.available[i], observed[m].any(axis=1))
        absent = ~observed[m].any(axis=1)
        assert not any(getattr(codes, name)[i, absent].any() for name in CODES)


def test_codes_of_as_many_modalities_as_rows():
    """Where m = b a wrong axis would have the right length."""
    three = make_split().head(3)
    whole = encoder(make_split())(make_split().valid)
    codes = encoder(three)(three.valid)
    np.testing.assert_allclose(codes.fused, whole.fused[:3], rtol=1e-5, atol=1e-6)
    for name in ("available", *CODES):
        found, expected = getattr(codes, name), getattr(whole, name)[:, :3]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_method_without_codes_is_named(split):
    with pytest.raises(UserError, match="The method linear has no codes"):
        encoder(split, method=LINEAR)(split.valid)
    assert predictor(split, method=LINEAR)(split.valid).shape == (N,)


@pytest.mark.parametrize("has", [(), ("pooled",), ("fused",), ("pooled", "fused")])
def test_a_method_with_some_codes(split, has):
    method = dataclasses.replace(LINEAR, has=has)
    observed = some_masks(split)
    few, whole = (encoder(split, size, method)(observed) for size in (8, 512))
    chex.assert_trees_all_close(few, whole, rtol=1e-5, atol=1e-6)
    for name in (*CODES, "fused"):
        assert (getattr(few, name) is not None) == (name in has)
    assert few.available.shape == (3, N)
    if "pooled" in has:
        assert few.pooled.shape[:2] == (3, N)
        for i, m in enumerate(few.modalities):
            seen = observed[m][..., None]
            mean = (split.features[m] * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
            np.testing.assert_allclose(few.pooled[i, :, : mean.shape[1]], mean, atol=1e-5)
    if "fused" in has:
        assert few.fused.shape == (N, 1)
        expected = predictor(split, method=LINEAR)(observed)
        np.testing.assert_allclose(few.fused[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_codes_that_are_not_finite_are_refused(split):
    method = dataclasses.replace(LINEAR, has=("fused",))
    *start, parameters = cached(method)
    broken = jax.tree.map(lambda x: x.at[0, 0].set(jnp.nan), parameters)
    with pytest.raises(UserError, match="NaN or infinite numbers, expected finite ones"):
        make_encoder(*start, broken, split, 8)(split.valid)


def test_masks_follow_condition_seed_and_id(split):
    observer = make_observer(split, (0, 3))
    whole = observer(Condition("language+vision", ("language", "vision"), 0.0), 0)
    np.testing.assert_array_equal(whole["language"], split.valid["language"])
    assert not whole["audio"].any()
    half = Condition("rate=0.5", MODALITIES, 0.5)
    assert any((observer(half, 0)[m] != observer(half, 3)[m]).any() for m in MODALITIES)
    assert not any(m.any() for m in observer(Condition("rate=1.0", MODALITIES, 1.0), 0).values())
    turned = rows_of(split, np.arange(N)[::-1])
    for m, mask in make_observer(turned, (3,))(half, 3).items():
        np.testing.assert_array_equal(mask, observer(half, 3)[m][::-1])


def test_only_the_seeds_of_the_evaluation_have_masks(split):
    with pytest.raises(KeyError):
        make_observer(split, (0,))(Condition("rate=0.5", MODALITIES, 0.5), 1)


DEVICES = """
import sys, jax, numpy as np, test_inference as tests

assert tests.MESH.size == int(sys.argv[2])
split = tests.make_split()
observed = tests.some_masks(split)
prediction = tests.predictor(split, 8)(observed)  # two passes, a row for each of 8 devices
codes = tests.encoder(split, 8)(observed)
whole = tests.encoder(split)(observed)
for a, b in zip(jax.tree.leaves(codes), jax.tree.leaves(whole), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
np.savez(sys.argv[1], prediction=prediction, **{n: getattr(codes, n) for n in (
    "available", "fused", *tests.CODES)})
"""


@pytest.mark.parametrize("devices", [3, 8])
def test_devices_predict_and_encode_alike(split, tmp_path, devices):
    """3 do not divide a pass of 8 rows."""
    here = str(Path(__file__).parent)
    environment = os.environ | {
        "XLA_FLAGS": with_flags(f"--xla_force_host_platform_device_count={devices}"),
        "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
    }
    file = tmp_path / "found.npz"
    command = [sys.executable, "-c", DEVICES, str(file), str(devices)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    observed = some_masks(split)
    prediction, codes = predictor(split, 8)(observed), encoder(split, 8)(observed)
    with np.load(file) as found:
        np.testing.assert_allclose(found["prediction"], prediction, rtol=1e-5, atol=1e-6)
        for name in ("available", "fused", *CODES):
            np.testing.assert_allclose(found[name], getattr(codes, name), rtol=1e-5, atol=1e-5)
