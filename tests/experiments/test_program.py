"""The program of an export gives what the network gives, whatever the method and the options."""

import re

import jax
import numpy as np
import pytest
from export_case import network_of, raw_samples

from fsrf_jax.experiments.program import PLATFORMS, export_program

SEVERAL = {"data.cuts": [-0.5, 0.5]}


def stored(network):
    return jax.export.deserialize(export_program(network).serialize())


@pytest.fixture(scope="module")
def network():
    return network_of()


@pytest.fixture(scope="module")
def program(network):
    return stored(network)


def check(program, network, n, frames, seed=0):
    features, lengths = raw_samples(network, n, frames, seed)
    expected, found = network.predict(features, lengths), program.call(features, lengths)
    np.testing.assert_allclose(found["values"], expected.values, atol=1e-5)
    if expected.std is None:
        assert set(found) == {"values"}
    else:
        np.testing.assert_allclose(found["std"], expected.std, rtol=1e-5)
    return found["values"]


@pytest.mark.parametrize(
    ("overrides", "more"),
    [
        ({"method.name": "fsrf", "method.noise.kind": "bottleneck"}, {}),
        ({"method.name": "late_fusion", "task.kind": "gaussian"}, {}),
        ({"method.name": "misa", "task.kind": "cross_entropy"} | SEVERAL, {"outputs": 3}),
        ({"method.name": "corrkd", "task.kind": "binary_cross_entropy"} | SEVERAL, {"outputs": 2}),
        ({"model.pool": "cls", "model.missing_frame": "learned", "task.kind": "mse"}, {}),
        ({"model.pool": "last", "model.mask_aware": False, "task.kind": "huber"}, {}),
        ({"model.pool": "attention", "model.fusion": "concatenation", "model.kernel": 4}, {}),
        ({"data.bad_values": "frame", "model.encoder_layers": 0}, {"vocabulary": {"language": 7}}),
    ],
)
def test_it_predicts_what_the_network_predicts(overrides, more):
    network = network_of(overrides, **more)
    program = stored(network)
    values = check(program, network, 5, 6)
    assert np.std(values, axis=0).min() > 1e-3  # samples differ
    check(program, network, 1, 1, seed=1)


def test_what_it_takes_and_on_what_it_runs():
    program = stored(network_of(vocabulary={"audio": 9}))
    (features, lengths), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
    shapes = {m: (str(a.shape), str(a.dtype)) for m, a in features.items()}
    assert shapes == {
        "language": ("(b, t_language, 5)", "float32"),
        "audio": ("(b, t_audio)", "int32"),
        "vision": ("(b, t_vision, 1)", "float32"),
    }
    assert {(str(a.shape), str(a.dtype)) for a in lengths.values()} == {("(b,)", "int32")}
    assert program.platforms == PLATFORMS == ("cpu", "cuda", "tpu")
    # Nothing but checks of shapes, which JAX takes out, is a call into a library.
    calls = set(re.findall(r"custom_call @(\w+)", str(program.mlir_module())))
    assert calls == {"shape_assertion"}


def test_names_that_are_no_symbols():
    names = {"data.modalities": ["text-bert", "text_bert"], "method.name": "late_fusion"}
    network = network_of(names, widths={"text-bert": 2, "text_bert": 3})
    program = stored(network)
    (features, _), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
    assert [str(features[m].shape[1]) for m in ("text-bert", "text_bert")] == ["t0", "t_text_bert"]
    check(program, network, 2, 4)


def test_what_is_beyond_the_lengths_is_not_looked_at(network, program):
    features, lengths = raw_samples(network, 4, 6)
    before = program.call(features, lengths)["values"]
    for m, x in features.items():
        x[np.arange(x.shape[1])[None] >= lengths[m][:, None]] = 7
    np.testing.assert_array_equal(program.call(features, lengths)["values"], before)


def test_without_anything_it_says_what_the_network_says(network, program):
    features, lengths = raw_samples(network, 4, 6)
    nothing = {m: np.zeros_like(n) for m, n in lengths.items()}
    found = program.call(features, nothing)["values"]
    expected = network.predict({m: np.zeros_like(x) for m, x in features.items()})
    np.testing.assert_allclose(found, expected.values, atol=1e-5)
    assert np.ptp(found) == 0


def test_it_names_no_file_of_this_machine(network):
    before = jax.config.jax_traceback_in_locations_limit
    found = export_program(network).serialize()
    assert jax.config.jax_traceback_in_locations_limit == before
    assert b".py" not in found
