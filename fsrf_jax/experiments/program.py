"""A network as one program of `jax.export`, which runs without this package.

Raw features in, predictions out: what `Network.predict` does to them in NumPy (cleaning, masks,
standard scores) is part of the program. Numbers of samples and of frames are symbols, so that one
program takes all of them. Axis letters: b sample, t frame, f feature, o class or task.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fsrf_jax.experiments.network import Network
from fsrf_jax.types import ByModality, View

PLATFORMS = ("cpu", "cuda", "tpu")

Program = Callable[[ByModality, ByModality], dict[str, jax.Array]]
"""Features and lengths by modality to `values`, and `std` of a Gaussian; see `make_program`."""

Inputs = tuple[dict[str, jax.ShapeDtypeStruct], dict[str, jax.ShapeDtypeStruct]]


def export_program(network: Network) -> jax.export.Exported:
    """The program of a network, ready to be serialized; it names no file of this machine."""
    exporter = jax.export.export(jax.jit(make_program(network)), platforms=PLATFORMS)
    with _without_places():
        return exporter(*_inputs(network))


def _inputs(network: Network) -> Inputs:
    """Shapes, with symbols in them, and types of the program's two arguments."""
    names = list(network.shapes.features)
    # A name may hold what no symbol can.
    symbols = [f"t_{m}" if re.fullmatch(r"\w+", m, re.A) else f"t{i}" for i, m in enumerate(names)]
    b, *times = jax.export.symbolic_shape(", ".join(["b", *symbols]))
    features = {
        m: jax.ShapeDtypeStruct((b, t), jnp.int32)
        if m in network.shapes.vocabulary
        else jax.ShapeDtypeStruct((b, t, network.shapes.features[m]), jnp.float32)
        for m, t in zip(names, times, strict=True)
    }
    return features, {m: jax.ShapeDtypeStruct((b,), jnp.int32) for m in names}


def make_program(network: Network) -> Program:
    """The function of a network, with its parameters and its normaliser inside.

    It takes, for every modality, features (float32 [b, t, f], or token ids int32 [b, t]) and
    lengths (int32 [b]; what is beyond them is padding, and 0 says that a sample lacks the
    modality); and gives numbers [b] or probabilities [b, o], and standard deviations [b].
    """
    method, setting = network.recipe.method, network.recipe.setting
    stored = jax.tree.map(np.asarray, network.parameters)  # on no device
    parts, clip = network.normaliser.to_tree(), network.normaliser.clip

    def program(features: ByModality, lengths: ByModality) -> dict[str, jax.Array]:
        parameters, view = jax.tree.map(jnp.asarray, stored), View({}, {}, {})
        for m, x in features.items():
            tokens = m in network.shapes.vocabulary
            x_btf = x[..., None] if tokens else x
            view.valid[m], view.observed[m] = _masks(network, m, x_btf, lengths[m])
            scores = x_btf if tokens else _scores(parts, clip, m, x_btf)
            view.features[m] = jnp.where(view.observed[m][..., None], scores, 0)
        found = method.predict(setting, parameters, view)
        if setting.task.kind == "gaussian":
            return {"values": found[:, 0], "std": jnp.exp(found[:, 1] / 2)}
        return {"values": found}

    return program


def _masks(
    network: Network, m: str, x_btf: jax.Array, lengths_b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Which frames are inside their sequence, and which of those are there, bool [b, t]."""
    bad_btf = ~jnp.isfinite(x_btf)
    real_bt = (~bad_btf & (x_btf != 0)).any(axis=-1)
    filled_bt = (x_btf != 0).any(axis=-1)  # as the lengths of a file are read: NaN is not zero
    inside_bt = jnp.arange(x_btf.shape[1])[None] < lengths_b[:, None]
    inside_bt &= filled_bt.any(axis=1, keepdims=True)
    there_bt = inside_bt & real_bt
    if network.config.data.bad_values == "frame":
        there_bt &= ~bad_btf.any(axis=-1)
    return inside_bt, there_bt


def _scores(parts: Mapping[str, Any], clip: float, m: str, x_btf: jax.Array) -> jax.Array:
    """Standard scores within the clip; a value that is not finite is the mean of its column."""
    high_f, rest_f, scale_f = (parts[name][m] for name in ("mean", "mean_rest", "scale"))
    x_btf = jnp.where(jnp.isfinite(x_btf), x_btf, high_f[None, None])
    # Two steps, since the mean needs more digits than float32 has. Without the barrier XLA may add
    # the two constants first, and the second is lost.
    z_btf = jax.lax.optimization_barrier(x_btf - high_f[None, None]) - rest_f[None, None]
    return jnp.clip(z_btf / scale_f[None, None], -clip, clip)


@contextlib.contextmanager
def _without_places() -> Iterator[None]:
    """Leave out of a program where its code stands: folders and lines are of this machine alone.

    They also depend on what was traced before, and equal networks have equal programs.
    """
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)
